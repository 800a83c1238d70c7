/**
 * The statement: the exact bytes that report data is the digest of. It ties keyset and challenge, and
 * companion devices if there are any, to the evidence (spec/envelope.md §10).
 *
 * @packageDocumentation
 */
import { concat, utf8, zeroPad } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { canonicalBytes, canonicalJson } from '../encoding/canonical-json.ts'
import { VouchsafeError } from '../errors.ts'
import type { Hasher } from '../ports/crypto.ts'
import { parseJson } from './json.ts'

/** What is stated. With devices it is the native form, without them that of ACI. */
export interface Statement {
  /** `sha256:<hex>`. */
  readonly keysetDigest: string
  /** The challenge, 64 lower-case hexadecimal digits; `null` proves binding but no freshness. */
  readonly nonce: string | null
  /** `sha256:<hex>` of {@link devicesDigest}, if there are companion devices. */
  readonly devices?: string
}

/** One companion device's evidence. */
export interface DeviceEvidence {
  /** `sha256:<hex>` of the evidence, byte for byte as it is appraised. */
  readonly evidence: string
  /** Name of the format of the evidence: `nvidia-gpu`. */
  readonly kind: string
}

/** Devices that one statement may name: a machine of eight GPUs and four switches has twelve. */
export const MAX_DEVICES = 16

const ACI = 'aci.report_data.v1'
const NATIVE = 'vouchsafe.report_data.v1'
const BLAME = { code: 'ERR_STATEMENT_MALFORMED', at: 'statement' } as const
const NONCE = /^[0-9a-f]{64}$/
const REPORT_DATA_LENGTH = 64

/**
 * The exact text: canonical JSON, members in this order.
 *
 * @throws {@link VouchsafeError} `ERR_STATEMENT_MALFORMED` if a digest or the nonce has not its form,
 *   or a nonce is missing where there are devices.
 */
export function statementText(statement: Statement): string {
  const text = spell(statement)
  parseStatement(text)
  return text
}

/**
 * Parses a statement. There is one spelling of each; every other text is refused, because report
 * data is over the text.
 *
 * @throws {@link VouchsafeError} `ERR_STATEMENT_MALFORMED`.
 */
export function parseStatement(text: string): Statement {
  const root = parseJson(text, BLAME, 512)
  const members = root.object(['keyset_digest', 'nonce', 'purpose'], ['devices'])
  const { keyset_digest, nonce, purpose, devices } = members
  const native = devices.present
  purpose.oneOf([native ? NATIVE : ACI])
  const statement: Statement = {
    keysetDigest: keyset_digest.digest(),
    nonce: nonce.value === null && !native ? null : nonce.text(NONCE),
    ...(native && { devices: devices.digest() }),
  }
  if (spell(statement) !== text) throw new VouchsafeError(BLAME, 'not the one spelling')
  return statement
}

/** What the hardware is asked to vouch for: SHA-256 of the statement, then 32 zeros. */
export async function reportData(
  statement: string,
  hasher: Hasher,
): Promise<Uint8Array<ArrayBuffer>> {
  return zeroPad(await hasher.digest('SHA-256', utf8(statement)), REPORT_DATA_LENGTH)
}

/** The nonce that companion devices answer: derived, so that one challenge covers all of them. */
export async function deviceNonce(
  nonce: Uint8Array,
  hasher: Hasher,
): Promise<Uint8Array<ArrayBuffer>> {
  const label = utf8('vouchsafe device nonce v1')
  return hasher.digest('SHA-256', concat(label, Uint8Array.of(0), nonce))
}

/** `sha256:<hex>` of bytes: how statements name evidence. */
export async function digestOf(bytes: Uint8Array, hasher: Hasher): Promise<string> {
  return `sha256:${toHex(await hasher.digest('SHA-256', bytes))}`
}

/** `sha256:<hex>` over the devices' evidence, in the order given. */
export async function devicesDigest(
  devices: readonly DeviceEvidence[],
  hasher: Hasher,
): Promise<string> {
  const json = devices.map(({ evidence, kind }) => ({ evidence, kind }))
  return digestOf(canonicalBytes(json), hasher)
}

function spell({ keysetDigest, nonce, devices }: Statement): string {
  const purpose = devices === undefined ? ACI : NATIVE
  return canonicalJson({ devices, keyset_digest: keysetDigest, nonce, purpose })
}
