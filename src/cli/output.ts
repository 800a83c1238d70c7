/** How results and errors look to people, and to programs with `--json`. @packageDocumentation */
import type { Check } from '../core/appraisal/check.ts'
import type { Tier } from '../core/appraisal/result.ts'
import type { VouchsafeError } from '../core/errors.ts'

const CODES = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 } as const

/** Escape codes around a text; the text alone without colour. */
export function paint(text: string, style: keyof typeof CODES, color: boolean): string {
  return color ? `\u001B[${CODES[style]}m${text}\u001B[0m` : text
}

const OUTCOME_STYLE = {
  pass: 'green',
  warn: 'yellow',
  fail: 'red',
  waived: 'dim',
} as const satisfies Record<Check['outcome'], keyof typeof CODES>

const TIER_STYLE = {
  affirming: 'green',
  warning: 'yellow',
  none: 'red',
  contraindicated: 'red',
} as const satisfies Record<Tier, keyof typeof CODES>

/** One line for a check: outcome, id, and why. */
export function checkLine(check: Check, color: boolean): string {
  const word = paint(check.outcome.padEnd(6), OUTCOME_STYLE[check.outcome], color)
  return `  ${word}  ${check.id.padEnd(30)}  ${clean(reason(check))}\n`
}

function reason({ outcome, expected, actual }: Check): string {
  if (outcome === 'waived') {
    const why = /^any \(([^]*)\)$/.exec(expected)?.[1] ?? expected
    return `not asked: ${why}; found ${actual}`
  }
  if (outcome !== 'pass') return `found ${actual}, want ${expected}`
  return actual === expected ? actual : `${actual} (want ${expected})`
}

/** The tier in its colour. */
export function tierText(tier: Tier, color: boolean): string {
  return paint(tier, TIER_STYLE[tier], color)
}

/** Columns as wide as their widest cell, two blanks between; the last is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  }
  return rows
    .map((row) =>
      row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  '),
    )
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}

/** JSON for programs: one value, two-space indent, a final newline. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** An error in JSON. */
export function errorJson(
  error: VouchsafeError,
): Readonly<Record<'code' | 'at' | 'detail', string>> {
  const { code, at, message } = error
  return { code, at, detail: message.slice(at.length + 2) }
}

/**
 * An error as its code, its place and what to do, with a line for each mistake.
 *
 * @returns As JSON `{error: {code, at, detail}}`.
 */
export function renderError(
  error: VouchsafeError,
  { json, color }: { readonly json: boolean; readonly color: boolean },
): string {
  const { code, at, detail } = errorJson(error)
  if (json) return jsonText({ error: { code, at, detail } })
  const head = `${paint(code, 'red', color)} at ${at}:`
  const [first = '', ...more] = `${detail}${systemWord(error.cause)}`.split('\n').map(clean)
  // Indented, so that a newline in what somebody wrote cannot begin a line of ours.
  const lines = [first, ...more].map((line) => `\n  ${line}`)
  return `${head}${more.length === 0 ? ` ${first}` : lines.join('')}\n`
}

/** Why the system refused (`EACCES`, `database is locked`): never text that could quote a file. */
function systemWord(cause: unknown): string {
  if (!(cause instanceof Error)) return ''
  const { code, errstr } = cause as { readonly code?: unknown; readonly errstr?: unknown }
  if (typeof errstr === 'string') return ` (${errstr})`
  return typeof code === 'string' && /^E[A-Z0-9]{2,15}$/.test(code) ? ` (${code})` : ''
}

/** Evidence is written by strangers: what it says may not move the cursor or change the title. */
export function clean(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, '�')
}
