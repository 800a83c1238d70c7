/**
 * Evidence of one device as NVIDIA's tools write it: JSON with the report and the certificate chain in
 * base64. Or the bare report, whose certificates then come with the endorsements.
 *
 * @packageDocumentation
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { utf8 } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { textIn } from '../../bytes/utf8.ts'
import { type JsonNode, memberOf, parseJsonTree } from '../../encoding/json-tree.ts'
import { decodePem } from '../../encoding/pem.ts'
import { VouchsafeError } from '../../errors.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { jsonIn, type Sample } from '../common/sample.ts'
import { ARCHS, type Arch, kindOfArch } from './arch.ts'
import type { Opaque } from './opaque.ts'
import { looksLikeReport, parseReport, type SpdmReport } from './spdm.ts'

export interface NvidiaEvidence {
  /** What stands beside the report; `undefined` for a bare one. */
  readonly statedArch: Arch | undefined
  readonly report: SpdmReport
  /** In the order in which they came, the leaf first; empty for a bare report. */
  readonly certificates: readonly Certificate[]
}

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'nvidia.evidence' } as const
const MAX_BYTES = 2 * 1024 * 1024
const MAX_CERTIFICATES = 8
/** A machine has at most eight GPUs and four switches; racks are several machines. */
const MAX_DEVICES = 144
const OPENING = /^\s*[[{]/

/** Does it look like evidence of a device of this kind? Of several, the first decides. */
export function looksLikeDevice(
  { bytes, sample }: { readonly bytes: Uint8Array; readonly sample: Sample },
  kind: Opaque['kind'],
): boolean {
  if (looksLikeReport(bytes)) return sample(kindOfReport) === kind
  const tree = sample(jsonIn)
  const [first] = tree === undefined ? [] : devicesIn(tree)
  const arch = first && memberOf(first, 'arch')?.node
  const known = ARCHS.find((word) => arch?.kind === 'string' && arch.value === word)
  return known !== undefined && kindOfArch(known) === kind
}

function kindOfReport(bytes: Uint8Array): Opaque['kind'] | undefined {
  try {
    return parseReport(bytes).opaque.kind
  } catch (error) {
    // No report after all: of some other format.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

/**
 * Parses evidence of one device. Proves nothing.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for anything else, among it evidence of
 *   several devices (see {@link splitDevices}) and a nonce beside the report that is not its own;
 *   `ERR_EVIDENCE_UNSUPPORTED` for another architecture or version of SPDM.
 */
export function parseDevice(bytes: Uint8Array, kind: Opaque['kind']): NvidiaEvidence {
  const evidence = looksLikeReport(bytes) ? bare(bytes) : fromJson(bytes)
  const found = evidence.report.opaque.kind
  if (found !== kind) throw new VouchsafeError(BLAME, `a report of a ${found}, want ${kind}`)
  return evidence
}

/**
 * Evidence of several devices, as NVIDIA's tools write a machine's, one by one: each piece is what
 * {@link parseDevice} takes, and what the enclave's own splitting names in its statement. Evidence of
 * one device comes back as it is.
 *
 * @returns Copies, in their order.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` if it is neither, or of over 144 devices.
 */
export function splitDevices(bytes: Uint8Array): readonly Uint8Array[] {
  if (looksLikeReport(bytes)) return [bytes.slice()]
  const text = textOf(bytes)
  const devices = devicesOf(bytes)
  if (devices.length === 0 || devices.length > MAX_DEVICES) {
    throw new VouchsafeError(BLAME, `${devices.length} devices, want 1 to ${MAX_DEVICES}`)
  }
  if (devices.length === 1) return [bytes.slice()]
  return devices.map(({ start, end }) => utf8(text.slice(start, end)))
}

function bare(bytes: Uint8Array): NvidiaEvidence {
  return { statedArch: undefined, report: parseReport(bytes), certificates: [] }
}

function fromJson(bytes: Uint8Array): NvidiaEvidence {
  const [device, ...more] = devicesOf(bytes)
  if (device === undefined) throw new VouchsafeError(BLAME, 'no device')
  if (more.length > 0) {
    throw new VouchsafeError(BLAME, `${more.length + 1} devices; verify them one by one`)
  }
  const arch = member(device, 'arch')
  const statedArch = ARCHS.find((word) => word === arch)
  if (statedArch === undefined) {
    const at = `${BLAME.at}.arch`
    throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, `known: ${ARCHS.join(', ')}`)
  }
  const report = parseReport(fromBase64(member(device, 'evidence'), at('evidence')))
  requireNonce(device, report)
  return { statedArch, report, certificates: readChain(member(device, 'certificate')) }
}

function readChain(base64: string): readonly Certificate[] {
  const pem = new TextDecoder().decode(fromBase64(base64, at('certificate')))
  const chain = decodePem(pem, 'CERTIFICATE', at('certificate'))
  if (chain.length > MAX_CERTIFICATES) {
    throw new VouchsafeError(at('certificate'), `${chain.length} certificates`)
  }
  return chain.map((der, i) => parseCertificate(der, at(`certificate[${i}]`)))
}

/** Where one stands beside the report, it must be its own: people read it there. */
function requireNonce(device: JsonNode, { requestNonce }: SpdmReport): void {
  if (memberOf(device, 'nonce') === undefined) return
  const stated = member(device, 'nonce').toLowerCase().replace(/^0x/, '')
  if (stated !== toHex(requestNonce)) throw new VouchsafeError(at('nonce'), 'not the report’s')
}

function member(device: JsonNode, name: string): string {
  const node = memberOf(device, name)?.node
  if (node?.kind !== 'string') throw new VouchsafeError(at(name), 'absent or not a text')
  return node.value
}

/** A list, one object, or a list in the member `evidences`. */
function devicesOf(bytes: Uint8Array): readonly JsonNode[] {
  const text = textOf(bytes)
  if (!OPENING.test(text)) throw new VouchsafeError(BLAME, 'not JSON')
  return devicesIn(parseJsonTree(text, BLAME))
}

function devicesIn(tree: JsonNode): readonly JsonNode[] {
  const list = memberOf(tree, 'evidences')?.node ?? tree
  return list.kind === 'array' ? list.items : [list]
}

function textOf(bytes: Uint8Array): string {
  if (bytes.length > MAX_BYTES) throw new VouchsafeError(BLAME, `${bytes.length} bytes`)
  const text = textIn(bytes)
  if (text === undefined) throw new VouchsafeError(BLAME, 'neither a report nor text')
  return text
}

function at(name: string) {
  return { code: BLAME.code, at: `${BLAME.at}.${name}` }
}
