/** Found by `npm run fuzz -- --target nvidia-rim`: what has no canonical form is a typed refusal. */
import { expect, it } from 'vitest'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { parseRim } from '../../../src/core/evidence/nvidia-spdm/rim.ts'
import { mintedInput } from '../../support/minted-input.ts'

it('a namespace that is no absolute address', async () => {
  const [rim] = mintedInput('nvidia-gpu').endorsements.rims ?? []
  const text = new TextDecoder().decode(rim)
  const broken = text.replace(/xmlns="http:/, 'xmlns="h tp:')
  expect(broken).not.toBe(text)
  await expect(parseRim(utf8(broken))).rejects.toMatchObject({
    code: 'ERR_ENDORSEMENT_MALFORMED',
  })
})
