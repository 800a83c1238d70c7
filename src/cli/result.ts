/** How a verdict looks. @packageDocumentation */
import type { AppraisalInput } from '../core/appraisal/appraise.ts'
import type { Check } from '../core/appraisal/check.ts'
import { resultToJson } from '../core/appraisal/record.ts'
import type { AttestationResult } from '../core/appraisal/result.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { checkLine, clean, jsonText, paint, table, tierText } from './output.ts'

/** `{format, tier, checks, claims, tcb}`: the shape that other implementations are compared by. */
export function resultJson(result: AttestationResult): string {
  const { format, tier, checks, claims } = resultToJson(result) as Readonly<Record<string, Json>>
  // Every member every time: who reads this need not know that some vendors give no date.
  const tcb = result.tcb && {
    status: result.tcb.status,
    date: result.tcb.date ?? null,
    advisoryIds: result.tcb.advisoryIds,
  }
  return jsonText({ format, tier, checks, claims, tcb })
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
