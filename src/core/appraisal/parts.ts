/**
 * The evidence of one machine, and what each piece of it must be bound to: the CPU's statement names
 * the evidence of every companion device, and the statement is what the CPU signs.
 *
 * @see spec/envelope.md §10
 * @packageDocumentation
 */
import { type Blame, VouchsafeError } from '../errors.ts'
import { type FormatId, isCompanion } from '../evidence/common/format-ids.ts'
import type { Hasher } from '../ports/crypto.ts'
import {
  type DeviceEvidence,
  devicesDigest,
  digestOf,
  MAX_DEVICES,
  parseStatement,
} from '../sealing/statement.ts'
import type { Binding } from './binding.ts'

/** One piece of evidence of a machine. */
export interface Part {
  readonly format: FormatId
  readonly evidence: Uint8Array
}

/**
 * The parts of one machine: the CPU's first, then the devices' in the order given.
 *
 * @throws {@link VouchsafeError} with the code of `blame` unless there is exactly one CPU and at most
 *   16 devices.
 */
export function arrangeParts<P extends Pick<Part, 'format'>>(
  parts: readonly P[],
  blame: Blame,
): readonly [P, ...P[]] {
  const devices = parts.filter(({ format }) => isCompanion(format))
  const [cpu, ...others] = parts.filter(({ format }) => !isCompanion(format))
  if (cpu === undefined) throw new VouchsafeError(blame, 'none of it is of a CPU')
  if (others.length > 0) throw new VouchsafeError(blame, 'a statement is one CPU’s, not of several')
  if (devices.length > MAX_DEVICES) {
    throw new VouchsafeError(blame, `${devices.length} devices, at most ${MAX_DEVICES}`)
  }
  return [cpu, ...devices]
}

/** The devices among the parts as a statement names them. */
export async function nameDevices(
  parts: readonly Part[],
  hasher: Hasher,
): Promise<readonly DeviceEvidence[]> {
  const devices: DeviceEvidence[] = []
  for (const { format, evidence } of parts) {
    if (!isCompanion(format)) continue
    devices.push({ evidence: await digestOf(evidence, hasher), kind: format })
  }
  return devices
}

/**
 * What each of the parts must be bound to so that together they are one machine. Whether they are is
 * for their checks to say.
 *
 * @param parts - As {@link arrangeParts} has them; the same order comes back.
 */
export async function bindParts<P extends Part>(
  parts: readonly P[],
  { nonce, statement }: { readonly nonce: Binding['nonce']; readonly statement: string },
  hasher: Hasher,
): Promise<readonly { readonly part: P; readonly binding: Binding }[]> {
  const devices = await nameDevices(parts, hasher)
  let index = 0
  return parts.map((part) => {
    if (isCompanion(part.format)) {
      return { part, binding: { nonce, reportData: { statement, devices, index: index++ } } }
    }
    // Without devices it is the binding of one CPU that it always was, to the byte.
    const reportData = devices.length === 0 ? { statement } : { statement, devices }
    return { part, binding: { nonce, reportData } }
  })
}

/**
 * Refuses a set of devices that is not the one the statement names: before anybody looks at the
 * evidence, and before a challenge is used up for it.
 *
 * @throws {@link VouchsafeError} `ERR_STATEMENT_MALFORMED` at `statement.devices`.
 */
export async function requireNamed(
  statement: string,
  devices: readonly DeviceEvidence[],
  hasher: Hasher,
): Promise<void> {
  const blame = { code: 'ERR_STATEMENT_MALFORMED', at: 'statement.devices' } as const
  const named = parseStatement(statement).devices
  const digests = new Set(devices.map(({ evidence }) => evidence))
  if (digests.size < devices.length) throw new VouchsafeError(blame, 'a device is listed twice')
  if (devices.length === 0) {
    if (named === undefined) return
    throw new VouchsafeError(blame, 'names devices without evidence')
  }
  if (named === undefined) throw new VouchsafeError(blame, 'absent, and there is evidence of some')
  if (named !== (await devicesDigest(devices, hasher))) {
    throw new VouchsafeError(blame, 'names other evidence, or in another order')
  }
}
