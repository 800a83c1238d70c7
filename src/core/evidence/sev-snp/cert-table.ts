/**
 * The table of certificates that a host hands to its guests along with reports: identifiers, places
 * and lengths, an entry of zeros, then what they point at.
 *
 * @packageDocumentation
 * @see AMD 56421 (GHCB), §4.1.8.1 "SNP Extended Guest Request"
 */
import { isZero } from '../../bytes/bytes.ts'
import { ByteReader } from '../../bytes/reader.ts'

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'snp.certificates' } as const
const GUID_SIZE = 16
const ENTRY_SIZE = 24
/** Six kinds are known; a host may have some of its own. */
const MAX_ENTRIES = 32

/**
 * What a table points at, in its order. Which kind an entry says it has decides nothing: hosts confuse
 * them, and whoever uses one reads what it is.
 *
 * @returns Copies.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` at `snp.certificates.…` for an empty table,
 *   over 32 entries, no end, or an entry that points outside.
 */
export function readCertTable(table: Uint8Array): readonly Uint8Array[] {
  const r = new ByteReader(table, 'le', BLAME)
  const places: { readonly offset: number; readonly length: number }[] = []
  for (;;) {
    const guid = r.bytes(GUID_SIZE, 'guid')
    const [offset, length] = [r.u32('offset'), r.u32('length')]
    if (isZero(guid) && offset === 0 && length === 0) break
    places.push({ offset, length })
    if (places.length > MAX_ENTRIES) r.fail('entries', `more than ${MAX_ENTRIES}`)
  }
  if (places.length === 0) r.fail('entries', 'none')
  const first = (places.length + 1) * ENTRY_SIZE
  return places.map(({ offset, length }) => {
    if (offset < first || length === 0 || offset + length > table.length) {
      r.fail('entry', `${length} bytes at ${offset} of ${table.length}`)
    }
    return table.slice(offset, offset + length)
  })
}
