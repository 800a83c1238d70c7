/**
 * RA-TLS: certificates that carry a quote, whose REPORTDATA is made of the certificate's own key.
 * Reading takes quote and key out and believes neither. {@link bindingOfKey} says whether the one
 * names the other, which is all that such a certificate proves: who signed it, its names and its
 * dates are not looked at.
 *
 * @packageDocumentation
 * @see CCC Interoperable RA-TLS, "SGX/TDX evidence formats"; Open Enclave `common/attest_cert`
 */
import { concat, equal, utf8, zeroPad } from '../../bytes/bytes.ts'
import { type CborValue, decodeCbor } from '../../encoding/cbor.ts'
import {
  contextTag,
  type Der,
  readChildren,
  readDer,
  readOctets,
  readOid,
  TAG,
} from '../../encoding/der.ts'
import { encodePem } from '../../encoding/pem.ts'
import { VouchsafeError } from '../../errors.ts'
import type { HashAlgorithm, Hasher } from '../../ports/crypto.ts'

/** What a certificate carries. Views into one copy of it. */
export interface CertifiedQuote {
  /** The quote, or what another header stands before. */
  readonly quote: Uint8Array
  /** Claims in CBOR that REPORTDATA is the hash of; `undefined` where it is the key's own. */
  readonly claims: Uint8Array | undefined
  /** DER SubjectPublicKeyInfo of the certificate. */
  readonly spki: Uint8Array
}

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'evidence.certificate' } as const
/** PCK certificates have this extension too, with something else in it. */
const INTEL_SGX = '1.2.840.113741.1.13.1'
/** Where quotes are, the most telling first: who writes two of them means the first. */
const EXTENSIONS = [
  // TCG DICE tagged evidence: Interoperable RA-TLS, Gramine since 1.5.
  '2.23.133.5.4.9',
  // Intel's own.
  `${INTEL_SGX}.0`,
  INTEL_SGX,
  // Gramine; not registered.
  '1.2.840.113741.1337.6',
  // Open Enclave: reports and evidence, by the identifiers of Microsoft, new and old.
  '1.3.6.1.4.1.311.105.1',
  '1.3.6.1.4.1.311.105.2',
  '1.2.840.113556.10.1.1',
  '1.2.840.113556.10.1.2',
]
/** CBOR tags of "an Intel quote and its claims": IANA's, and the one before it was registered. */
const QUOTE_TAGS = [60000, 0x1a7501]
const CBOR_TAG = 6
const CLAIM = 'pubkey-hash'
/** IANA Named Information Hash Algorithm Registry. */
const HASHES = new Map<number, HashAlgorithm>([
  [1, 'SHA-256'],
  [7, 'SHA-384'],
  [8, 'SHA-512'],
])

/** The quote and the key of a certificate in DER; `undefined` for any other bytes. */
export function quoteInCertificate(bytes: Uint8Array): CertifiedQuote | undefined {
  if (bytes[0] !== TAG.sequence) return undefined
  try {
    const [tbs] = readChildren(readDer(bytes.slice(), BLAME), BLAME)
    const parts = tbs === undefined ? [] : readChildren(tbs, BLAME)
    const hasVersion = parts[0]?.tag === contextTag(0)
    const spki = parts[hasVersion ? 6 : 5]
    const wrapper = parts.find(({ tag }) => tag === contextTag(3))
    const [list] = wrapper === undefined ? [] : readChildren(wrapper, BLAME)
    if (spki === undefined || list === undefined) return undefined
    const carried = carriedIn(list)
    return carried && { ...carried, spki: spki.bytes }
  } catch (error) {
    // Some other binary that begins like DER: for its own format to judge.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

/**
 * How REPORTDATA names a certificate's key, in words; `undefined` if it does not. With claims: it is
 * the SHA-256 of the claims, and they name the hash of the key. Without: it is the SHA-256 of the
 * key, in DER, or as Open Enclave has it in PEM with a NUL. Always over the whole 64 bytes.
 */
export async function bindingOfKey(
  reportData: Uint8Array,
  { spki, claims }: Pick<CertifiedQuote, 'spki' | 'claims'>,
  hasher: Hasher,
): Promise<string | undefined> {
  if (claims !== undefined) {
    const named =
      (await isHashOf(reportData, claims, hasher)) && (await namesKey(claims, spki, hasher))
    return named ? `SHA-256 of claims whose ${CLAIM} is that of the certificate's key` : undefined
  }
  if (await isHashOf(reportData, spki, hasher)) return "SHA-256 of the certificate's key"
  const pem = utf8(`${encodePem(spki, 'PUBLIC KEY')}\0`)
  if (await isHashOf(reportData, pem, hasher)) return "SHA-256 of the certificate's key in PEM"
  return undefined
}

/** Is REPORTDATA the SHA-256 of `data`, then zeros? */
export async function isHashOf(
  reportData: Uint8Array,
  data: Uint8Array,
  hasher: Hasher,
): Promise<boolean> {
  const digest = await hasher.digest('SHA-256', data)
  return reportData.length >= digest.length && equal(reportData, zeroPad(digest, reportData.length))
}

type Carried = Omit<CertifiedQuote, 'spki'>

function carriedIn(list: Der): Carried | undefined {
  const found = new Map<string, Uint8Array>()
  for (const extension of readChildren(list, BLAME)) {
    const [id, ...rest] = readChildren(extension, BLAME)
    const value = rest.at(-1)
    if (id === undefined || value === undefined) return undefined
    const oid = readOid(id, BLAME)
    if (!EXTENSIONS.includes(oid)) continue
    // RFC 5280 §4.2: once. Of two, another reader might take the other.
    if (found.has(oid)) throw new VouchsafeError(BLAME, `${oid} occurs twice`)
    found.set(oid, readOctets(value, BLAME))
  }
  for (const oid of EXTENSIONS) {
    const outer = found.get(oid)
    if (outer === undefined) continue
    const value = withoutOctetString(outer)
    const tagged = (value[0] ?? 0) >> 5 === CBOR_TAG
    if (tagged) return readTagged(value)
    if (oid !== INTEL_SGX) return { quote: value, claims: undefined }
  }
  return undefined
}

/** Some write DER into the extension, and some the bytes. A quote of version 4 begins like DER too. */
function withoutOctetString(value: Uint8Array): Uint8Array {
  if (value[0] !== TAG.octetString) return value
  try {
    return readOctets(readDer(value, BLAME), BLAME)
  } catch (error) {
    // Not one element, and so not DER: the bytes themselves.
    if (error instanceof VouchsafeError) return value
    throw error
  }
}

/** `#6.60000([ quote: bstr, claims: bstr ])`. */
function readTagged(bytes: Uint8Array): Carried {
  const decoded = decodeCbor(bytes, QUOTE_TAGS, BLAME)
  const isTag = typeof decoded === 'object' && decoded !== null && 'tag' in decoded
  const value: CborValue = isTag ? (decoded.value as CborValue) : null
  const [quote, claims, ...more] = Array.isArray(value) ? (value as readonly CborValue[]) : []
  if (!(quote instanceof Uint8Array) || !(claims instanceof Uint8Array) || more.length > 0) {
    throw new VouchsafeError(BLAME, 'tagged evidence is not a quote and its claims')
  }
  return { quote, claims }
}

/** `{ "pubkey-hash": [ algorithm, hash ] }`, the pair as it is or in a byte string. */
async function namesKey(claims: Uint8Array, spki: Uint8Array, hasher: Hasher): Promise<boolean> {
  const map = decodeCbor(claims, [], BLAME)
  const entry = map instanceof Map ? (map as ReadonlyMap<unknown, CborValue>).get(CLAIM) : undefined
  const pair = entry instanceof Uint8Array ? decodeCbor(entry, [], BLAME) : entry
  const [algorithm, hash, ...more] = Array.isArray(pair) ? (pair as readonly CborValue[]) : []
  const name = typeof algorithm === 'number' ? HASHES.get(algorithm) : undefined
  if (name === undefined || !(hash instanceof Uint8Array) || more.length > 0) return false
  return equal(hash, await hasher.digest(name, concat(spki)))
}
