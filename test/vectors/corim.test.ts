/** Every CoRIM and store of the shared folder is read whole: what it says is mapped, or listed. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Imported, setOf } from '../../src/core/reference-values/import.ts'
import { readUnsigned } from '../support/corim.ts'
import { sharedDir } from '../support/shared.ts'

const dir = sharedDir()
const AT = new Date('2025-06-01T00:00:00Z')
const read = async (file: string, at = AT): Promise<Imported> =>
  readUnsigned(new Uint8Array(readFileSync(join(dir ?? '', 'evidence/cca', file))), at)

const EXPECTED = [
  // entries, measurements of the first, keys, left out
  ['veraison-corim-cca-platform-valid.cbor', 1, 5, 1, 5],
  ['veraison-corim-cca-realm-valid.cbor', 1, 6, 0, 0],
  ['veraison-e2e-cca-endorsements.cbor', 1, 5, 1, 10],
  ['veraison-e2e-cca-realm-endorsements.cbor', 1, 6, 0, 0],
  ['trustee-rvstore.json', 1, 20, 0, 15],
  ['rust-rv.json', 2, 8, 0, 13],
  ['rust-ta.json', 0, 0, 1, 0],
  ['rust-ta-tfa.json', 0, 0, 1, 0],
] as const

describe.skipIf(dir === undefined)('reference values of the field', () => {
  it.each(EXPECTED)('%s', async (...[file, entries, values, keys, unmapped]) => {
    const imported = await read(file)
    const set = setOf([imported], {})
    expect({
      entries: set?.entries.length ?? 0,
      values: Object.keys(set?.entries[0]?.values ?? {}).length,
      keys: imported.platformKeys.length,
      unmapped: imported.unmapped.length,
    }).toEqual({ entries, values, keys, unmapped })
  })

  it('an old and a new manifest of one platform say the same of its firmware', async () => {
    const [old, now] = await Promise.all(
      ['veraison-e2e-cca-endorsements.cbor', 'veraison-corim-cca-platform-valid.cbor'].map(
        async (file) => setOf([await read(file)], {})?.entries[0]?.values,
      ),
    )
    expect(old).toEqual(now)
  })

  it('is refused after its validity, and before', async () => {
    for (const at of ['2021-12-30T23:59:59Z', '2025-12-31T00:00:01Z']) {
      await expect(read('veraison-e2e-cca-endorsements.cbor', new Date(at))).rejects.toMatchObject({
        code: 'ERR_REFERENCE_VALUES_UNTRUSTED',
        at: 'corim.rim-validity',
      })
    }
  })
})
