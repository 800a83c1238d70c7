/**
 * What a leaf certificate says of the firmware that holds its key: the TCG DICE extension. Hopper and
 * LS10 write the one of the first edition, Blackwell the one of the second.
 *
 * @packageDocumentation
 * @see TCG DICE Attestation Architecture, "DiceTcbInfo"; before that "CompositeDeviceID"
 */
import {
  contextTag,
  type Der,
  DerCursor,
  readChildren,
  readDer,
  readOctets,
  readOid,
  readSmallInteger,
  TAG,
} from '../../encoding/der.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'

export interface FirmwareId {
  /** SHA-384 over the firmware. */
  readonly fwid: Uint8Array
  /** Operational flags that are raised, of those that no firmware in service raises; or `unstated`. */
  readonly alarms: readonly string[]
}

const BLAME: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'nvidia.certificate.fwid' }
const COMPOSITE = '2.23.133.5.4.1'
const TCB_INFO = '2.23.133.5.4.1.1'
const SHA384 = '2.16.840.1.101.3.4.2.2'
const SIZE = 48
/** By bit; bit 0 is the highest of the first byte. */
const ALARMS = ['notSecure', 'recovery', 'debug'] as const
const FIRST_ALARM = 1
/** An extension that has room for flags, and none: whether the device is being debugged is not said. */
const UNSTATED = 'unstated'

/**
 * Reads whichever of the two extensions there is.
 *
 * @returns `undefined` for a certificate with neither.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for one with both, or of another form.
 */
export function readFirmwareId({ extensions }: Certificate): FirmwareId | undefined {
  const composite = extensions.get(COMPOSITE)
  const tcbInfo = extensions.get(TCB_INFO)
  if (composite !== undefined && tcbInfo !== undefined) fail('two firmware ids')
  if (composite !== undefined) return { fwid: readComposite(composite.value), alarms: [] }
  return tcbInfo && readTcbInfo(tcbInfo.value)
}

/** A SEQUENCE of version, key of the device, and FWID. */
function readComposite(value: Uint8Array): Uint8Array {
  const r = new DerCursor(readDer(value, BLAME), TAG.sequence, BLAME)
  const version = readSmallInteger(r.take('version'), BLAME)
  if (version !== 1) fail(`version ${version}`)
  r.take('deviceID', TAG.sequence)
  const fwid = readFwid(r.take('fwid', TAG.sequence))
  r.end()
  return fwid
}

/** Of its members, all optional: fwids is [6], flags is [7]. The first FWID is the firmware's. */
function readTcbInfo(value: Uint8Array): FirmwareId {
  const members = readChildren(readDer(value, BLAME), BLAME)
  const list = only(members, contextTag(6))
  const [first] = list === undefined ? [] : readChildren(list, BLAME)
  if (first === undefined) return fail('no firmware id')
  const IMPLICIT_7 = 0x87
  const flags = only(members, IMPLICIT_7)
  return { fwid: readFwid(first), alarms: flags === undefined ? [UNSTATED] : alarmsOf(flags) }
}

/** X.690 §8.6: the first byte counts unused bits. Zeros at the end may be left out (§11.2.2). */
function alarmsOf({ content }: Der): readonly string[] {
  const [unused, bits = 0] = content
  if (unused === undefined || unused > 7 || (unused > 0 && content.length === 1)) fail('flags')
  return ALARMS.filter((_, i) => (bits & (0x80 >> (FIRST_ALARM + i))) !== 0)
}

function readFwid(element: Der): Uint8Array {
  const r = new DerCursor(element, TAG.sequence, BLAME)
  const hash = readOid(r.take('hashAlg', TAG.oid), BLAME)
  const digest = readOctets(r.take('digest', TAG.octetString), BLAME).slice()
  r.end()
  if (hash !== SHA384 || digest.length !== SIZE) fail(`${digest.length} bytes by ${hash}`)
  return digest
}

function only(members: readonly Der[], tag: number): Der | undefined {
  const found = members.filter((member) => member.tag === tag)
  return found.length > 1 ? fail('a member occurs twice') : found[0]
}

function fail(detail: string): never {
  throw new VouchsafeError(BLAME, detail)
}
