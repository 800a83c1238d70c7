/**
 * The evidence of one machine, and what each piece of it must be bound to: the CPU's statement names
 * the evidence of every companion device, and the statement is what the CPU signs.
 *
 * @see spec/envelope.md §10
 * @packageDocumentation
 */
import { type Blame, VouchsafeError } from '../errors.ts'
import { canBeNamed, type FormatId, splitMachine } from '../evidence/common/format-ids.ts'
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
 * The parts of one machine: first the one that vouches, a CPU as a rule, then the devices' in the
 * order given.
 *
 * @throws {@link VouchsafeError} with the code of `blame` unless there is exactly one that vouches and
 *   at most 16 devices.
 */
export function arrangeParts<P extends Pick<Part, 'format'>>(
  parts: readonly P[],
  blame: Blame,
): readonly [P, ...P[]] {
  const { voucher, devices } = splitMachine(parts)
  if (voucher === undefined) throw new VouchsafeError(blame, 'nothing in it can vouch for a key')
  const other = devices.find(({ format }) => !canBeNamed(format))
  if (other !== undefined) {
    throw new VouchsafeError(
      blame,
      `${other.format} beside ${voucher.format}: one statement, one CPU`,
    )
  }
  if (devices.length > MAX_DEVICES) {
    throw new VouchsafeError(blame, `${devices.length} devices, at most ${MAX_DEVICES}`)
  }
  return [voucher, ...devices]
}

/** Devices as a statement names them. */
export async function nameDevices(
  devices: readonly Part[],
  hasher: Hasher,
): Promise<readonly DeviceEvidence[]> {
  return Promise.all(
    devices.map(async ({ format, evidence }) => ({
      evidence: await digestOf(evidence, hasher),
      kind: format,
    })),
  )
}

/** A part, and what it must be bound to. */
export interface BoundPart<P extends Part> {
  readonly part: P
  readonly binding: Binding
}

/**
 * What each of the parts must be bound to so that together they are one machine. Whether they are is
 * for their checks to say.
 *
 * @param parts - As {@link arrangeParts} has them; the same order comes back.
 */
export async function bindParts<P extends Part>(
  [first, ...others]: readonly [P, ...P[]],
  { nonce, statement }: { readonly nonce: Binding['nonce']; readonly statement: string },
  hasher: Hasher,
): Promise<readonly [BoundPart<P>, ...BoundPart<P>[]]> {
  const devices = await nameDevices(others, hasher)
  const named = { statement, devices }
  return [
    // Without devices it is the binding of one CPU that it always was, to the byte.
    { part: first, binding: { nonce, reportData: devices.length === 0 ? { statement } : named } },
    ...others.map((part, index) => ({ part, binding: { nonce, reportData: { ...named, index } } })),
  ]
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
