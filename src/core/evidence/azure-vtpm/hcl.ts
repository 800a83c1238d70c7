/**
 * The attestation report of Azure's paravisor (HCL), as it lies in the vTPM's NV index 0x01400001: a
 * header, the report of the hardware, and the runtime claims that the hardware report vouches for.
 *
 * @packageDocumentation
 * @see learn.microsoft.com, "Azure confidential VMs: guest attestation design", "Attestation report"
 */
import { toHex } from '../../bytes/hex.ts'
import { ByteReader } from '../../bytes/reader.ts'
import { decodeUtf8 } from '../../bytes/utf8.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import { parseJson } from '../../encoding/json-source.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { VerifyingKey } from '../../ports/crypto.ts'
import { keyOfRsaJwk } from '../../x509/rsa-key.ts'
import { unsupported } from '../tpm/algorithms.ts'
import { Members } from '../tpm/json.ts'

/** Which hardware's report it holds. */
export type HclReportType = 'snp' | 'tdx'

export interface HclReport {
  readonly type: HclReportType
  /** 1184 bytes: an SEV-SNP report, or a TDREPORT and zeros. */
  readonly hardwareReport: Uint8Array
  /** The exact JSON, whose SHA-256 the hardware report has. */
  readonly runtimeData: Uint8Array
  readonly runtime: RuntimeClaims
}

/** What the paravisor says, as far as a policy can ask. */
export interface RuntimeClaims {
  /** HCLAkPub: the attestation key of the vTPM. */
  readonly ak: VerifyingKey
  /** Lower-case hex of what was in NV index 0x01400002 when the report was made. */
  readonly userData: string | undefined
  /** As they are: Secure Boot, console, unique id. */
  readonly vmConfiguration: Readonly<Record<string, Json>>
}

const AT = 'azure.hcl'
const BLAME: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: AT }
/** "HCLA", as it stands. */
const MAGIC = 0x414c4348
const VERSIONS: readonly number[] = [1, 2]
/** The header is followed by room for either report. */
const REPORT_SIZE = 1184
const RUNTIME_HEAD = 20
const TYPES = new Map<number, HclReportType>([
  [2, 'snp'],
  [4, 'tdx'],
])
const SHA256 = 1
const MAX_BYTES = 64 * 1024
const MAX_KEYS = 16
const AK_KID = 'HCLAkPub'

/**
 * Parses the report and its runtime claims. Parsing proves nothing: the hardware report is checked by
 * its own format, and the claims by the digest in it.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED`, and `ERR_EVIDENCE_UNSUPPORTED` for other
 *   versions, hardware and hashes.
 */
export function parseHclReport(bytes: Uint8Array): HclReport {
  if (bytes.length > MAX_BYTES) throw new VouchsafeError(BLAME, `${bytes.length} bytes`)
  const r = new ByteReader(bytes, 'le', BLAME)
  if (r.u32('magic') !== MAGIC) r.fail('magic', 'not HCLA')
  const version = r.u32('version')
  if (!VERSIONS.includes(version)) unsupported(`${AT}.version`, `version ${version}`)
  r.u32('report_size')
  r.u32('request_type')
  if (r.u32('status') !== 0) r.fail('status', 'the paravisor reports an error')
  r.bytes(12, 'reserved')
  const hardwareReport = r.bytes(REPORT_SIZE, 'hw_report')
  const { type, length } = readRuntimeHead(r)
  const runtimeData = r.bytes(length, 'runtime_data')
  // The NV index is of fixed size, and what is left of it zeros.
  r.zeros(r.remaining, 'padding')
  return { type, hardwareReport, runtimeData, runtime: readRuntime(runtimeData) }
}

function readRuntimeHead(r: ByteReader): { readonly type: HclReportType; readonly length: number } {
  const size = r.u32('data_size')
  const version = r.u32('runtime_version')
  if (version !== 1) unsupported(`${AT}.runtime_version`, `version ${version}`)
  const id = r.u32('report_type')
  const type = TYPES.get(id)
  if (type === undefined) unsupported(`${AT}.report_type`, `report type ${id}`)
  const hash = r.u32('hash_type')
  if (hash !== SHA256) unsupported(`${AT}.hash_type`, `hash type ${hash}`)
  const length = r.u32('variable_data_size')
  if (size !== length + RUNTIME_HEAD) r.fail('data_size', `${size}, and ${length} of claims`)
  return { type, length }
}

function readRuntime(bytes: Uint8Array): RuntimeClaims {
  const blame: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: `${AT}.runtime_data` }
  const members = new Members(parseJson(decodeUtf8(bytes, blame), blame), blame)
  const given = members.any('user-data')
  const configuration = members.any('vm-configuration')
  return {
    ak: readAk(members),
    userData: given === undefined ? undefined : readUserData(given, members.at('user-data')),
    vmConfiguration:
      configuration === undefined
        ? {}
        : readConfiguration(configuration, members.at('vm-configuration')),
  }
}

/** With a key of this name twice, which one is meant is anybody's guess. */
function readAk(members: Members): VerifyingKey {
  const keys = members.list('keys', MAX_KEYS).map((item, i) => {
    return new Members(item, members.at(`keys[${i}]`))
  })
  const [key, ...others] = keys.filter((candidate) => candidate.any('kid') === AK_KID)
  if (key === undefined || others.length > 0) {
    throw new VouchsafeError(members.at('keys'), `${AK_KID} ${key ? 'twice' : 'absent'}`)
  }
  const [kty, n, e] = [key.any('kty'), key.any('n'), key.any('e')]
  return keyOfRsaJwk({ kty, n, e }, key.blame)
}

function readUserData(value: Json, blame: Blame): string {
  if (typeof value !== 'string' || !/^(?:[0-9a-fA-F]{2}){0,512}$/.test(value)) {
    throw new VouchsafeError(blame, 'not hexadecimal')
  }
  return value.toLowerCase()
}

function readConfiguration(value: Json, blame: Blame): Readonly<Record<string, Json>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new VouchsafeError(blame, 'not an object')
  }
  return value as Readonly<Record<string, Json>>
}

/** For people: what the hardware report should hold. */
export function describeDigest(digest: Uint8Array): string {
  return `${toHex(digest)} and 32 zeros`
}
