/**
 * What a PCK certificate says about its platform, in Intel's own X.509 extension.
 *
 * @packageDocumentation
 * @see Intel SGX PCK Certificate and CRL Profile Specification, §1.3.5
 */
import { toHex } from '../../bytes/hex.ts'
import {
  type Der,
  DerCursor,
  readBoolean,
  readChildren,
  readDer,
  readOctets,
  readOid,
  readSmallInteger,
  TAG,
} from '../../encoding/der.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'

/** The platform of a PCK certificate. Byte strings are lower-case hex. */
export interface PckPlatform {
  /** 6 bytes: which family of platforms, the key to TCB Info. */
  readonly fmspc: string
  /** 2 bytes. */
  readonly pceId: string
  /** 16 bytes. Encrypted hardware identity: the same for every certificate of one platform. */
  readonly ppid: string
  /** SVNs of the 16 SGX TCB components, in order. */
  readonly sgxComponents: readonly number[]
  readonly pceSvn: number
  /** 16 bytes. */
  readonly cpuSvn: string
  /** 16 bytes; only certificates of the Platform CA have one. */
  readonly platformInstanceId: string | undefined
  /** Whether multi-threading is on; `undefined` if the certificate does not say. */
  readonly smtEnabled: boolean | undefined
}

/** Object identifier of the extension. */
export const SGX_EXTENSION = '1.2.840.113741.1.13.1'
const COMPONENTS = 16
const AT = 'dcap.pck.sgx_extension'

/**
 * Reads the extension of a PCK certificate. The walk follows the fixed structure, three levels deep;
 * members it does not know are skipped, members that occur twice are refused.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` if the extension or one of FMSPC, PCEID,
 *   PPID, the 16 component SVNs, PCESVN and CPUSVN is absent or has another type or size.
 */
export function readPckPlatform(pck: Certificate): PckPlatform {
  const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: AT } as const
  const extension = pck.extensions.get(SGX_EXTENSION)
  if (extension === undefined) throw new VouchsafeError(blame, 'absent')
  const members = readMembers(readDer(extension.value, blame), SGX_EXTENSION, blame)
  const tcb = readMembers(required(members, 2, blame), `${SGX_EXTENSION}.2`, blame)
  const instance = members.get(6)
  const configuration = members.get(7)
  return {
    ppid: octets(required(members, 1, blame), 16, blame),
    sgxComponents: Array.from({ length: COMPONENTS }, (_, i) =>
      readSmallInteger(required(tcb, i + 1, blame), blame),
    ),
    pceSvn: readSmallInteger(required(tcb, 17, blame), blame),
    cpuSvn: octets(required(tcb, 18, blame), 16, blame),
    pceId: octets(required(members, 3, blame), 2, blame),
    fmspc: octets(required(members, 4, blame), 6, blame),
    platformInstanceId: instance && octets(instance, 16, blame),
    smtEnabled: configuration && readSmt(configuration, blame),
  }
}

/** A SEQUENCE OF SEQUENCE of identifier and value, by the last arc under `prefix`. */
function readMembers(list: Der, prefix: string, blame: Blame): ReadonlyMap<number, Der> {
  if (list.tag !== TAG.sequence) throw new VouchsafeError(blame, 'not a sequence')
  const members = new Map<number, Der>()
  for (const element of readChildren(list, blame)) {
    const r = new DerCursor(element, TAG.sequence, blame)
    const oid = readOid(r.take('type', TAG.oid), blame)
    const value = r.take('value')
    r.end()
    if (!oid.startsWith(`${prefix}.`)) continue
    const arc = Number(oid.slice(prefix.length + 1))
    if (members.has(arc)) throw new VouchsafeError(blame, `${oid} occurs twice`)
    members.set(arc, value)
  }
  return members
}

function required(members: ReadonlyMap<number, Der>, arc: number, blame: Blame): Der {
  const value = members.get(arc)
  if (value === undefined) throw new VouchsafeError(blame, `member ${arc} is absent`)
  return value
}

function octets(element: Der, size: number, blame: Blame): string {
  const bytes = readOctets(element, blame)
  if (bytes.length !== size) throw new VouchsafeError(blame, `${bytes.length} bytes, want ${size}`)
  return toHex(bytes)
}

function readSmt(configuration: Der, blame: Blame): boolean | undefined {
  const value = readMembers(configuration, `${SGX_EXTENSION}.7`, blame).get(3)
  return value && readBoolean(value, blame)
}
