/**
 * The attestation document of an AWS Nitro Enclave: a CBOR map, signed as a COSE_Sign1.
 *
 * @packageDocumentation
 * @see AWS Nitro Enclaves User Guide, "Attestation process", and the NSM API
 */
import { type CborValue, decodeCbor } from '../../encoding/cbor.ts'
import { type CoseSign1, decodeCoseSign1 } from '../../encoding/cose.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { evidenceInCertificate } from '../common/carried.ts'

export interface NitroDocument {
  readonly moduleId: string
  /** Milliseconds since 1970, by the hypervisor's clock. */
  readonly timestamp: number
  /** By index; 32, 48 or 64 bytes each. Only what the document lists. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>
  /** DER of the signer's certificate. */
  readonly certificate: Uint8Array
  /** DER of its issuers; the root is first by custom, which nothing here relies on. */
  readonly cabundle: readonly Uint8Array[]
  /** Each up to 1024 bytes; `undefined` for absent and null alike, since both occur. */
  readonly publicKey: Uint8Array | undefined
  readonly userData: Uint8Array | undefined
  readonly nonce: Uint8Array | undefined
}

export interface NitroEvidence {
  readonly document: NitroDocument
  readonly message: CoseSign1
}

const MALFORMED = { code: 'ERR_EVIDENCE_MALFORMED', at: 'nitro.document' } as const
/** The device's whole answer is at most 12 KiB (NSM_RESPONSE_MAX_SIZE). */
const MAX_SIZE = 16 * 1024
const MAX_BYTES = 1024
const MAX_BUNDLE = 8
const MAX_PCRS = 32
const PCR_SIZES = [32, 48, 64]
const MEMBERS = [
  'module_id',
  'digest',
  'timestamp',
  'pcrs',
  'certificate',
  'cabundle',
  'public_key',
  'user_data',
  'nonce',
]

/**
 * Finds the COSE_Sign1 in what the field keeps it in: itself, the device's `Attestation` response,
 * or an RA-TLS certificate that carries it as a hexadecimal DNS name.
 *
 * @returns The bytes of the COSE_Sign1; the input itself where it is in nothing.
 */
export function locateDocument(bytes: Uint8Array): Uint8Array {
  const carried = evidenceInCertificate(bytes)
  if (carried !== undefined) return carried
  const ONE_PAIR = 0xa1
  if (bytes[0] !== ONE_PAIR) return bytes
  const at = { ...MALFORMED, at: 'nitro.response' }
  const response = asMap(decodeCbor(bytes, [], at), at)
  const inner = asMap(response.get('Attestation'), at)
  const document = inner.get('document')
  if (response.size !== 1 || inner.size !== 1 || !(document instanceof Uint8Array)) {
    throw new VouchsafeError(at, 'want {"Attestation": {"document": bytes}}')
  }
  return document
}

/**
 * Parses the signed document. Parsing proves nothing: every field is the attacker's until
 * `authenticateDocument` has checked the signature over it.
 *
 * @param bytes - A COSE_Sign1, tagged or not, or a wrapper that {@link locateDocument} knows.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for anything but strict CBOR with every
 *   required field within the sizes AWS gives; `ERR_EVIDENCE_UNSUPPORTED` for another signature
 *   algorithm than ES384, another digest than SHA384, and members that AWS has not documented.
 */
export function parseDocument(bytes: Uint8Array): NitroEvidence {
  if (bytes.length > MAX_SIZE * 4) throw new VouchsafeError(MALFORMED, `${bytes.length} bytes`)
  const located = locateDocument(bytes)
  if (located.length > MAX_SIZE) throw new VouchsafeError(MALFORMED, `${located.length} bytes`)
  const message = decodeCoseSign1(located, { ...MALFORMED, at: 'nitro.cose' })
  return { message, document: readDocument(message.payload) }
}

function readDocument(payload: Uint8Array): NitroDocument {
  const map = asMap(decodeCbor(payload, [], MALFORMED), MALFORMED)
  for (const key of map.keys()) {
    if (!MEMBERS.includes(String(key))) unsupported('member', String(key))
  }
  const digest = map.get('digest')
  if (typeof digest !== 'string') fail('digest', 'absent or not text')
  if (digest !== 'SHA384') unsupported('digest', digest)
  return {
    moduleId: readModuleId(map.get('module_id')),
    timestamp: readTimestamp(map.get('timestamp')),
    pcrs: readPcrs(map.get('pcrs')),
    certificate: readBytes(map.get('certificate'), 'certificate'),
    cabundle: readBundle(map.get('cabundle')),
    publicKey: readOptional(map.get('public_key'), 'public_key'),
    userData: readOptional(map.get('user_data'), 'user_data'),
    nonce: readOptional(map.get('nonce'), 'nonce'),
  }
}

function readModuleId(value: CborValue | undefined): string {
  if (typeof value !== 'string' || value === '') fail('module_id', 'absent, empty or not text')
  if (value.length > MAX_BYTES) fail('module_id', 'too long')
  return value
}

function readTimestamp(value: CborValue | undefined): number {
  const number = typeof value === 'bigint' ? Number(value) : value
  // Beyond this JavaScript has no dates, so it could not be compared with the time.
  const MAX_DATE = 8.64e15
  if (typeof number !== 'number' || number <= 0 || number > MAX_DATE) {
    fail('timestamp', 'absent or not a time')
  }
  return number
}

function readPcrs(value: CborValue | undefined): ReadonlyMap<number, Uint8Array> {
  const map = asMap(value, { ...MALFORMED, at: `${MALFORMED.at}.pcrs` })
  if (map.size < 1 || map.size > MAX_PCRS) fail('pcrs', `${map.size} registers`)
  const pcrs = new Map<number, Uint8Array>()
  for (const [index, register] of map) {
    if (typeof index !== 'number' || index < 0 || index >= MAX_PCRS) fail('pcrs', 'index')
    if (!(register instanceof Uint8Array) || !PCR_SIZES.includes(register.length)) {
      fail('pcrs', `PCR${index} is not 32, 48 or 64 bytes`)
    }
    pcrs.set(index, register.slice())
  }
  return pcrs
}

function readBundle(value: CborValue | undefined): readonly Uint8Array[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_BUNDLE) {
    fail('cabundle', `want 1 to ${MAX_BUNDLE} certificates`)
  }
  return (value as readonly CborValue[]).map((item) => readBytes(item, 'cabundle'))
}

function readBytes(value: CborValue | undefined, field: string): Uint8Array {
  if (!(value instanceof Uint8Array)) fail(field, 'absent or not bytes')
  if (value.length < 1 || value.length > MAX_BYTES) fail(field, `${value.length} bytes`)
  return value.slice()
}

/** Empty is as good as absent: hypervisors write either for a field that was not asked for. */
function readOptional(value: CborValue | undefined, field: string): Uint8Array | undefined {
  if (value === undefined || value === null) return undefined
  if (!(value instanceof Uint8Array)) fail(field, 'not bytes')
  if (value.length > MAX_BYTES) fail(field, `${value.length} bytes`)
  return value.length === 0 ? undefined : value.slice()
}

function asMap(
  value: CborValue | undefined,
  blame: Blame,
): ReadonlyMap<number | bigint | string, CborValue> {
  if (!(value instanceof Map)) throw new VouchsafeError(blame, 'not a map')
  return value as ReadonlyMap<number | bigint | string, CborValue>
}

function fail(field: string, detail: string): never {
  throw new VouchsafeError({ code: MALFORMED.code, at: `${MALFORMED.at}.${field}` }, detail)
}

function unsupported(field: string, detail: string): never {
  const at = `${MALFORMED.at}.${field}`
  // A stranger's text, of which the start says enough.
  throw new VouchsafeError(
    { code: 'ERR_EVIDENCE_UNSUPPORTED', at },
    JSON.stringify(detail.slice(0, 40)),
  )
}
