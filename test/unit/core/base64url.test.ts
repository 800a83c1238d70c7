import fc from 'fast-check'
import { expect, it } from 'vitest'
import { fromBase64url } from '../../../src/core/bytes/base64url.ts'

const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'x' } as const

it('inverts the platform encoder', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const text = Buffer.from(bytes).toString('base64url')
      expect(fromBase64url(text, blame)).toEqual(Uint8Array.from(bytes))
    }),
  )
})

it.each(['A', 'AB', 'AA==', 'A A', 'A+', 'AA\n'])('refuses %j', (text) => {
  expect(() => fromBase64url(text, blame)).toThrow(
    expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }),
  )
})
