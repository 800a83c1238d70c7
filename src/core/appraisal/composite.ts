/**
 * Several devices, one verdict: a machine is as good as the worst of its parts.
 *
 * @packageDocumentation
 */
import { FORMAT_HEADS } from '../evidence/common/format-ids.ts'
import type { AttestationResult, Tier } from './result.ts'

/** From best to worst. `none` learned nothing, which is no better than a refusal. */
const ORDER: readonly Tier[] = ['affirming', 'warning', 'none', 'contraindicated']

/** The worst tier; `none` of nothing. */
export function worstTier(tiers: readonly Tier[]): Tier {
  if (tiers.length === 0) return 'none'
  return ORDER[Math.max(...tiers.map((tier) => ORDER.indexOf(tier)))] ?? 'contraindicated'
}

/** Results by submodule name, numbered in their order: `cpu0`, `gpu0`, `gpu1`. */
export function nameSubmodules(
  results: readonly AttestationResult[],
): Readonly<Record<string, AttestationResult>> {
  const counts = new Map<string, number>()
  const named = results.map((result) => {
    const { device } = FORMAT_HEADS[result.format]
    const count = counts.get(device) ?? 0
    counts.set(device, count + 1)
    return [`${device}${count}`, result] as const
  })
  return Object.fromEntries(named)
}
