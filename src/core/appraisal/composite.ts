/**
 * Several pieces of evidence, one machine. The CPU's statement names the evidence of every companion
 * device, and the statement is what the CPU signs: so a device is bound exactly if the CPU's own
 * binding check and the device's have passed over the same statement. A machine is as good as the
 * worst of its parts.
 *
 * What this does not show: that the devices are wired to this CPU. Software that the CPU's evidence
 * measures has collected theirs, over a nonce of this challenge, and is believed about that.
 *
 * @see spec/envelope.md §10
 * @packageDocumentation
 */
import { VouchsafeError } from '../errors.ts'
import { FORMAT_HEADS, type FormatHead, splitMachine } from '../evidence/common/format-ids.ts'
import { checkTopology } from '../evidence/nvidia-spdm/topology.ts'
import { lookUp } from '../keys/claim-path.ts'
import { isCompanionBinding } from './binding.ts'
import type { Check } from './check.ts'
import { BINDING_IDS } from './check-ids.ts'
import {
  type AffirmingResult,
  type AttestationResult,
  requireAffirming,
  type Tier,
  tierOf,
} from './result.ts'

/** Results by submodule name: `cpu0`, `gpu0`. */
export type Submodules = Readonly<Record<string, AttestationResult>>

/** At least one, and all of them. */
export type AffirmingResults = readonly [AffirmingResult, ...AffirmingResult[]]

/** From best to worst. `none` learned nothing, which is no better than a refusal. */
const ORDER: readonly Tier[] = ['affirming', 'warning', 'none', 'contraindicated']

/** The worst tier; `none` of nothing. */
export function worstTier(tiers: readonly Tier[]): Tier {
  if (tiers.length === 0) return 'none'
  return ORDER[Math.max(...tiers.map((tier) => ORDER.indexOf(tier)))] ?? 'contraindicated'
}

/** The tier of a machine: its worst part's, or that of what was found over all of them. */
export function machineTier(submodules: Submodules): Tier {
  const tiers = Object.values(submodules).map(({ tier }) => tier)
  return worstTier([...tiers, tierOf(checkTogether(submodules))])
}

/** Results by submodule name, numbered in their order: `cpu0`, `gpu0`, `gpu1`. */
export function nameSubmodules(results: readonly AttestationResult[]): Submodules {
  const counts = new Map<string, number>()
  const named = results.map((result) => {
    const { device } = FORMAT_HEADS[result.format]
    const count = counts.get(device) ?? 0
    counts.set(device, count + 1)
    return [`${device}${count}`, result] as const
  })
  return Object.fromEntries(named)
}

/** Whether every result stands under a name of its own kind of device, numbered without gaps. */
export function areNamedRight(submodules: Submodules): boolean {
  const names = Object.keys(nameSubmodules(Object.values(submodules)))
  return Object.entries(submodules).every(([name, { format }]) => {
    return names.includes(name) && name.replace(/\d+$/, '') === FORMAT_HEADS[format].device
  })
}

/**
 * What can only be seen over all parts at once. It is computed from the results alone, so everybody
 * who relies on several results computes it anew: Verifier, broker, client and auditor.
 *
 * Checks of a vendor over its devices belong in here, beside {@link sameDevice}: NVIDIA's compare which
 * GPU hangs on which switch.
 *
 * @returns The same ids in the same order, whatever was found.
 */
export function checkTogether(submodules: Submodules): readonly Check[] {
  const { voucher, devices } = splitMachine(Object.values(submodules))
  const names = areNamedRight(submodules) ? undefined : Object.keys(submodules).join(', ')
  const claimsOf = (format: AttestationResult['format']) =>
    devices.filter((device) => device.format === format).map(({ claims }) => claims)
  return [
    checkOver('composite.names', 'submodules named for their devices', names),
    checkOver('composite.voucher', 'a CPU whose statement names the rest', noVoucher(voucher)),
    checkOver('composite.nonce', 'one nonce for all devices', otherNonce(devices)),
    checkOver('composite.distinct', 'devices that are all different', sameDevice(devices)),
    ...checkTopology({ gpus: claimsOf('nvidia-gpu'), switches: claimsOf('nvidia-switch') }),
  ]
}

/**
 * The only door from several results to trust in a machine: every one of them through
 * {@link requireAffirming}, a CPU among them, and all of them together.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_NOT_AFFIRMING` at `ear.submods.<name>` or `ear.submods`.
 */
export function requireAffirmingMachine(submodules: Submodules): AffirmingResults {
  const code = 'ERR_RESULT_NOT_AFFIRMING'
  const affirming: AffirmingResult[] = []
  for (const [name, result] of Object.entries(submodules)) {
    try {
      affirming.push(requireAffirming(result))
    } catch (err) {
      if (!(err instanceof VouchsafeError)) throw err
      const detail = err.message.slice(err.at.length + 2)
      throw new VouchsafeError({ code, at: `ear.submods.${name}` }, detail, { cause: err })
    }
  }
  const [first, ...others] = affirming
  const blame = { code, at: 'ear.submods' } as const
  if (first === undefined) throw new VouchsafeError(blame, 'none')
  const failed = checkTogether(submodules).filter(({ outcome }) => outcome !== 'pass')
  if (failed.length === 0) return [first, ...others]
  const why = failed.map(({ id, expected, actual }) => `${id}: want ${expected}, got ${actual}`)
  throw new VouchsafeError(blame, why.join('; '))
}

/** What a CPU left behind when it was taken away: a TPM that could vouch, and was only named. */
function noVoucher(voucher: AttestationResult | undefined): string | undefined {
  if (voucher === undefined) return 'none'
  const id = `${FORMAT_HEADS[voucher.format].prefix}.${BINDING_IDS.reportData}`
  const isNamed = voucher.checks.some(
    (check) => check.id === id && isCompanionBinding(check.expected),
  )
  return isNamed ? `${voucher.format}, itself a device of the statement` : undefined
}

/** One challenge for all: what one device answered a minute ago is no part of this machine. */
function otherNonce(devices: readonly AttestationResult[]): string | undefined {
  const nonces = devices.map(({ format, checks }) => {
    const id = `${FORMAT_HEADS[format].prefix}.${BINDING_IDS.nonce}`
    return checks.find((check) => check.id === id)?.expected
  })
  if (nonces.includes(undefined)) return 'a device without'
  const { size } = new Set(nonces)
  return size <= 1 ? undefined : `${size}`
}

/** One GPU that signs twice is not two GPUs: its reports differ, and a statement can name both. */
function sameDevice(devices: readonly AttestationResult[]): string | undefined {
  const seen = new Set<string>()
  for (const result of devices) {
    const identity = identityOf(result)
    if (identity === undefined) return `${result.format} without an identity`
    const name = `${result.format} ${identity}`
    if (seen.has(name)) return `${name} twice`
    seen.add(name)
  }
  return undefined
}

function identityOf({ format, claims }: AttestationResult): string | undefined {
  const { identity }: FormatHead = FORMAT_HEADS[format]
  const value = identity === undefined ? undefined : lookUp(claims, identity)
  return typeof value === 'string' && value !== '' ? value : undefined
}

function checkOver(id: string, expected: string, found: string | undefined): Check {
  if (found === undefined) return { id, outcome: 'pass', expected, actual: expected }
  return { id, outcome: 'fail', expected, actual: found }
}
