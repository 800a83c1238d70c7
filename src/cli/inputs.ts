/** Arguments and files, turned into what the core takes; every mistake says what to do. @packageDocumentation */
import { createHash } from 'node:crypto'
import { fromHex } from '../core/bytes/hex.ts'
import { decodePem, decodePemBlocks } from '../core/encoding/pem.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../core/endorsements/anchors.ts'
import { PASSPORT_KINDS, type PassportKind } from '../core/endorsements/passport-trust.ts'
import { VouchsafeError } from '../core/errors.ts'
import { parseEventLog } from '../core/evidence/common/event-log/parse.ts'
import type { EvidenceFormat } from '../core/evidence/common/format.ts'
import { FORMAT_IDS, type FormatId } from '../core/evidence/common/format-ids.ts'
import { detectFormat, FORMATS, formatOf, openEvidence } from '../core/evidence/formats.ts'
import type { CliContext } from './context.ts'
import { readWithin } from './input-file.ts'
import { usage } from './usage.ts'

const ISO_TIME = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/

/** For options that may be given more than once. */
export const collect = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
]

/** Evidence, policies, keys, certificates: four times what the longest of them may be. */
const MAX_INPUT = 4 * 1024 * 1024
const STDIN = /^(?:-|\/dev\/stdin|\/(?:dev|proc\/self)\/fd\/0)$/

/**
 * The bytes of a file, or of stdin for `-`.
 *
 * @param most - Bytes: more are refused.
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` as {@link readWithin}.
 */
export async function readInput(
  file: string,
  context: CliContext,
  most = MAX_INPUT,
): Promise<Uint8Array> {
  if (STDIN.test(file)) return context.readStdin(most)
  return readWithin(file, { flag: 'file', most })
}

/** DER as it is, or of every block with this label of a PEM text; none if there is none. */
export function derBlocks(bytes: Uint8Array, label: string, flag: string): readonly Uint8Array[] {
  const DER_SEQUENCE = 0x30
  if (bytes[0] === DER_SEQUENCE) return [bytes]
  const blame = { code: 'ERR_USAGE_INVALID', at: `cli.${flag}` } as const
  return decodePemBlocks(new TextDecoder().decode(bytes), [label], blame)
}

/** For help texts. */
export const FORMAT_WORDS = `auto, ${FORMAT_IDS.join(', ')}`

/** The format with this name, or for `auto` the one the bytes look like. */
export function chooseFormat(name: string, evidence: Uint8Array): EvidenceFormat {
  return name === 'auto' ? detectFormat(evidence) : formatOf(checkedName(name))
}

/** The evidence in what a file holds, of the format with this name, or what it looks like. */
export function openInput(
  bytes: Uint8Array,
  name: string,
): { readonly format: EvidenceFormat; readonly evidence: Uint8Array } {
  const wanted = checkedName(name)
  if (isEventLog(bytes)) {
    const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'evidence.format' } as const
    const detail =
      'an event log, which nobody signed; evidence is the quote that goes with it (refvalue add takes the log itself with --event-log)'
    throw new VouchsafeError(blame, detail)
  }
  return openEvidence(bytes, wanted)
}

function isEventLog(bytes: Uint8Array): boolean {
  try {
    return parseEventLog(bytes).events.length > 0
  } catch (error) {
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

function checkedName(name: string): string {
  if (name === 'auto' || Object.hasOwn(FORMATS, name)) return name
  throw usage('format', `${name} is not known; use ${FORMAT_WORDS}`)
}

/** ISO 8601 with a zone (a date alone is midnight UTC), or Unix seconds. */
export function parseTime(text: string): Date {
  const time = /^\d{1,11}$/.test(text) ? new Date(Number(text) * 1000) : isoTime(text)
  if (time !== undefined && !Number.isNaN(time.getTime())) return time
  throw usage('at', `${text} is not a time; use 2026-01-31T12:00:00Z, 2026-01-31 or Unix seconds`)
}

/** `Date` rolls the 31st of February over to March; a time that does not come back was never one. */
function isoTime(text: string): Date | undefined {
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`)
  const real = ISO_TIME.test(text) && !Number.isNaN(day.getTime())
  return real && day.toISOString().startsWith(text.slice(0, 10)) ? new Date(text) : undefined
}

/** Hex given on the command line: 1 to `most` bytes. */
export function parseHexFlag(text: string, flag: string, most: number): Uint8Array {
  const hex = /^(?:0x)?((?:[0-9a-fA-F]{2})+)$/.exec(text)?.[1]
  if (hex === undefined || hex.length > 2 * most) {
    throw usage(flag, `--${flag} wants 1 to ${most} bytes in hexadecimal`)
  }
  return fromHex(hex, { code: 'ERR_USAGE_INVALID', at: `cli.${flag}` })
}

/**
 * The vendors' anchors, and whatever roots someone chose to trust besides, for this format alone:
 * certificates (DER or PEM) or SHA-256 digests in hex; for Arm CCA and TPMs, public keys of machines
 * in the same forms. For test hierarchies: whoever holds such a root's key can forge anything.
 */
export async function withUnsafeAnchors(
  given: readonly string[],
  format: FormatId,
  context: CliContext,
): Promise<TrustAnchors> {
  const extra: string[] = []
  if (given.length > 0 && isPassport(format)) {
    throw usage('unsafe-anchor', `${format} tokens need an issuer too; use --passport-trust`)
  }
  for (const anchor of given) extra.push(...(await anchorDigests(anchor, context)))
  const { intel, amd, aws, arm, hygon, nvidia, tpm, tpmKeys, simulated } = VENDOR_ANCHORS
  // Of either purpose: whoever gives an anchor knows which of the two it is.
  const bothNvidia = {
    nvidia: { device: [...nvidia.device, ...extra], rim: [...nvidia.rim, ...extra] },
  }
  const tdx = { intel: [...intel, ...extra] }
  const sevSnp = {
    amd: {
      Milan: [...amd.Milan, ...extra],
      Genoa: [...amd.Genoa, ...extra],
      Turin: [...amd.Turin, ...extra],
    },
  }
  const added = {
    tdx,
    'sev-snp': sevSnp,
    nitro: { aws: [...aws, ...extra] },
    'arm-cca': { arm: [...arm, ...extra] },
    sgx: { intel: [...intel, ...extra] },
    'nvidia-gpu': bothNvidia,
    'nvidia-switch': bothNvidia,
    'hygon-csv': { hygon: [...hygon, ...extra] },
    // A digest may be of either: a certificate and a key never have the same.
    tpm: { tpm: [...tpm, ...extra], tpmKeys: [...tpmKeys, ...extra] },
    'azure-snp-vtpm': sevSnp,
    'azure-tdx-vtpm': tdx,
    simulated: { simulated: [...simulated, ...extra] },
  }
  return isPassport(format) ? VENDOR_ANCHORS : { ...VENDOR_ANCHORS, ...added[format] }
}

function isPassport(format: FormatId): format is PassportKind {
  return PASSPORT_KINDS.some((kind) => kind === format)
}

async function anchorDigests(anchor: string, context: CliContext): Promise<readonly string[]> {
  if (/^[0-9a-fA-F]{64}$/.test(anchor)) return [anchor.toLowerCase()]
  const bytes = await readInput(anchor, context)
  const DER_SEQUENCE = 0x30
  const roots = bytes[0] === DER_SEQUENCE ? [bytes] : pemBlocks(new TextDecoder().decode(bytes))
  return roots.map((der) => createHash('sha256').update(der).digest('hex'))
}

/** Certificates, or the bare public keys that stand in their place for Arm CCA and TPMs. */
function pemBlocks(text: string): readonly Uint8Array[] {
  const blame = { code: 'ERR_USAGE_INVALID', at: 'cli.unsafe-anchor' } as const
  const label = text.includes('-----BEGIN PUBLIC KEY-----') ? 'PUBLIC KEY' : 'CERTIFICATE'
  return decodePem(text, label, blame)
}
