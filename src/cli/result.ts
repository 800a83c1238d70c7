/** How a verdict looks. @packageDocumentation */
import type { AppraisalInput } from '../core/appraisal/appraise.ts'
import type { Check } from '../core/appraisal/check.ts'
import {
  checkTogether,
  machineTier,
  type Submodules,
  worstTier,
} from '../core/appraisal/composite.ts'
import { resultToJson } from '../core/appraisal/record.ts'
import type { AttestationResult } from '../core/appraisal/result.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { checkLine, clean, jsonText, paint, table, tierText } from './output.ts'

/** One part of a machine, appraised; `name` is for people. */
export interface AppraisedPart {
  readonly name: string
  readonly input: AppraisalInput
  readonly result: AttestationResult
}

/** `{format, tier, checks, claims, tcb}`: the shape that other implementations are compared by. */
export function resultJson(result: AttestationResult): string {
  return jsonText(resultMembers(result))
}

/** `{tier, submodules, checks}`: each submodule as {@link resultJson}, and the checks over all. */
export function machineJson(submodules: Submodules): string {
  const each = Object.entries(submodules).map(([name, one]) => [name, resultMembers(one)] as const)
  const checks = checkTogether(submodules).map((check) => ({ ...check }))
  const members: Readonly<Record<string, Json>> = Object.fromEntries(each)
  return jsonText({ tier: machineTier(submodules), submodules: members, checks })
}

/** `{tier, submodules}` of evidence that nothing holds together: the tier is the worst. */
export function eachJson(submodules: Submodules): string {
  const each = Object.entries(submodules).map(([name, one]) => [name, resultMembers(one)] as const)
  const members: Readonly<Record<string, Json>> = Object.fromEntries(each)
  return jsonText({ tier: worstTierOf(submodules), submodules: members })
}

function worstTierOf(submodules: Submodules) {
  return worstTier(Object.values(submodules).map(({ tier }) => tier))
}

function resultMembers(result: AttestationResult): Readonly<Record<string, Json>> {
  const { format, tier, checks, claims } = resultToJson(result) as Readonly<Record<string, Json>>
  // Every member every time: who reads this need not know that some vendors give no date.
  const tcb = result.tcb && {
    status: result.tcb.status,
    date: result.tcb.date ?? null,
    advisoryIds: result.tcb.advisoryIds,
  }
  return {
    format: format ?? null,
    tier: tier ?? null,
    checks: checks ?? null,
    claims: claims ?? null,
    tcb,
  }
}

/** Every part, then the checks over all of them, and the verdict on the machine last. */
export function renderMachine(
  appraised: readonly AppraisedPart[],
  submodules: Submodules,
  color: boolean,
): string {
  return [
    ...renderParts(appraised, submodules, color),
    'together\n',
    ...checkTogether(submodules).map((check) => checkLine(check, color)),
    `\n${tierText(machineTier(submodules), color)}: ${Object.keys(submodules).join(', ')}\n`,
  ].join('')
}

/** Every part by itself, and the worst verdict last. */
export function renderEach(
  appraised: readonly AppraisedPart[],
  submodules: Submodules,
  color: boolean,
): string {
  return [
    ...renderParts(appraised, submodules, color),
    'each by itself: nothing here shows that they are one machine; --statement would\n',
    `\n${tierText(worstTierOf(submodules), color)}: ${Object.keys(submodules).join(', ')}\n`,
  ].join('')
}

function renderParts(
  appraised: readonly AppraisedPart[],
  submodules: Submodules,
  color: boolean,
): readonly string[] {
  const names = Object.keys(submodules)
  return appraised.map(({ result, name, input }, i) => {
    return `${names[i] ?? ''}\n${renderResult(result, { name, input }, color)}\n`
  })
}

/** Each check on a line with its reason, and the verdict last. */
export function renderResult(
  result: AttestationResult,
  { name, input }: { readonly name: string; readonly input: AppraisalInput },
  color: boolean,
): string {
  const count = (outcome: Check['outcome']): number =>
    result.checks.filter((check) => check.outcome === outcome).length
  const verdict = `${count('pass')} passed, ${count('warn')} warned, ${count('fail')} failed, ${count('waived')} waived`
  const simulated = result.format === 'simulated'
  const label = 'SIMULATED: no hardware vouches for this; it is for development only.'
  return [
    ...(simulated ? [`${paint(label, 'yellow', color)}\n\n`] : []),
    table([
      ['evidence', `${clean(name)} (${result.format}, ${input.evidence.length} bytes)`],
      ['policy', `${result.policyId} ${result.policyDigest}`],
      ['time', input.now.toISOString()],
      ...tcbRows(result),
    ]),
    '\n',
    ...result.checks.map((check) => checkLine(check, color)),
    `\n${tierText(result.tier, color)}${simulated ? ' (simulated)' : ''}: ${verdict}\n`,
  ].join('')
}

function tcbRows({ tcb }: AttestationResult): readonly (readonly string[])[] {
  if (tcb === null) return []
  const parts = [tcb.status, tcb.date ?? '', tcb.advisoryIds.join(' ')]
  return [['tcb', clean(parts.filter((part) => part !== '').join('  '))]]
}
