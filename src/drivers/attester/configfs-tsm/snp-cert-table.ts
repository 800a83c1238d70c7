/**
 * The certificate table that an SEV-SNP host hands its guest: entries of GUID, offset and length,
 * ended by an entry of zeros. The host wrote it, so nothing in it is trusted: it saves a download.
 *
 * @see AMD 56421, GHCB specification, SNP Extended Guest Request; GUIDs in RFC 4122 byte order
 * @packageDocumentation
 */
import { isZero } from '../../../core/bytes/bytes.ts'
import { toHex } from '../../../core/bytes/hex.ts'
import { ByteReader } from '../../../core/bytes/reader.ts'
import type { EndorsementSet } from '../../../core/endorsements/endorsement-set.ts'
import { NO_ENDORSEMENTS } from '../../../core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../../core/errors.ts'
import { parseCertificate } from '../../../core/x509/certificate.ts'

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'attester.snp_cert_table' } as const
const MAX_ENTRIES = 64

/** What an entry is, by GUID. Hosts may add entries of their own: those are left alone. */
const KINDS: ReadonlyMap<string, 'certificate' | 'crl'> = new Map([
  ['63da758de6644564adc5f4b93be8accd', 'certificate'], // VCEK
  ['a8074bc2a25a483eaae639c045a0b8a1', 'certificate'], // VLEK
  ['4ab7b379bbac4fe4a02f05aef327c782', 'certificate'], // ASK or ASVK
  ['c0b406a4a803495297433fb6014cd0ae', 'certificate'], // ARK
  ['92f81bc358114d3d97ffd19f88dc67ea', 'crl'],
])

/**
 * Reads the table. Parsing proves nothing.
 *
 * @param table - `auxblob`: the entries, then what they point to. Offsets count from its start.
 * @returns The certificates and revocation lists of the GUIDs we know. A certificate that does not
 *   parse is left out: some hosts hand over damaged CA certificates, and the verifier has its own.
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_MALFORMED` for a table that points outside itself
 *   or never ends.
 */
export function parseSnpCertTable(table: Uint8Array): EndorsementSet {
  const certificates: Uint8Array[] = []
  const crls: Uint8Array[] = []
  const r = new ByteReader(table, 'le', BLAME)
  for (let i = 0; i < MAX_ENTRIES; i++) {
    const guid = r.bytes(16, `entry[${i}].guid`)
    const offset = r.u32(`entry[${i}].offset`)
    const length = r.u32(`entry[${i}].length`)
    if (isZero(guid)) return { ...NO_ENDORSEMENTS, certificates, crls }
    if (offset + length > table.length) r.fail(`entry[${i}]`, 'points outside the table')
    const kind = KINDS.get(toHex(guid))
    const der = table.slice(offset, offset + length)
    if (kind === 'crl') crls.push(der)
    if (kind === 'certificate' && parses(der)) certificates.push(der)
  }
  throw new VouchsafeError(BLAME, `no end after ${MAX_ENTRIES} entries`)
}

function parses(der: Uint8Array): boolean {
  try {
    parseCertificate(der, BLAME)
    return true
  } catch {
    // Nothing is authenticated here; what is left out is missing, and missing fails closed.
    return false
  }
}
