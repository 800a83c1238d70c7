/**
 * Cases of a policy: evidence that it must accept, and evidence that it must refuse, each for a named
 * reason. They stand beside the policy in `<name>.cases.json` and say what it is for better than its
 * description can.
 *
 * @packageDocumentation
 */
import type { Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import { type Blame, ERROR_CODES, type ErrorCode, VouchsafeError } from '../errors.ts'
import {
  parseReferenceValues,
  type ReferenceValueSet,
} from '../reference-values/reference-values.ts'
import { type AppraisalInput, type AppraisalTools, appraise } from './appraise.ts'
import { listOf, oneOf, record, text } from './policy-field.ts'
import type { Tier } from './result.ts'

/** Where a case's evidence comes from. */
export type CaseEvidence =
  /** Files, named from the directory of the cases; or under `$VOUCHSAFE_SHARED/`. */
  | {
      readonly capture: {
        readonly evidence: string
        readonly endorsements: readonly string[]
        /** ISO 8601. */
        readonly at: string
      }
    }
  /** Differences from good evidence, which whoever runs the cases mints under roots of its own. */
  | { readonly mint: Readonly<Record<string, Json | undefined>> }

export type CaseExpectation =
  | { readonly tier: Tier; readonly failing: readonly string[] }
  | { readonly error: ErrorCode }

export interface PolicyCase {
  readonly name: string
  readonly evidence: CaseEvidence
  readonly referenceValues: readonly ReferenceValueSet[]
  readonly expect: CaseExpectation
}

const BLAME = { code: 'ERR_POLICY_INVALID', at: 'cases' } as const
const anyText = text(/^[^\p{Cc}]{1,500}$/u)
const CAPTURE = record<{ evidence: string; endorsements: readonly string[]; at: string }>({
  evidence: anyText,
  endorsements: listOf(anyText, 0),
  at: text(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
})
const VERDICT = record<{ tier: Tier; failing: readonly string[] }>({
  tier: oneOf('none', 'affirming', 'warning', 'contraindicated'),
  failing: listOf(text(/^[a-z][a-zA-Z0-9_.-]{1,80}$/), 0),
})
const ERROR = record<{ error: ErrorCode }>({
  error: oneOf(...(Object.keys(ERROR_CODES) as readonly ErrorCode[])),
})

/**
 * Reads the text of a `.cases.json`: a list of at least one case to accept and one to refuse.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID` for anything else. A typo can't turn a case off.
 */
export function parseCases(source: string): readonly PolicyCase[] {
  const list = parseJson(source, BLAME)
  if (!Array.isArray(list)) throw new VouchsafeError(BLAME, 'want a list of cases')
  const cases = (list as readonly Json[]).map((item, i) => parseCase(item, `cases[${i}]`))
  const names = new Set(cases.map(({ name }) => name))
  if (names.size < cases.length) throw new VouchsafeError(BLAME, 'a name occurs twice')
  const accepted = cases.filter(({ expect }) => 'tier' in expect && expect.tier === 'affirming')
  if (accepted.length === 0 || accepted.length === cases.length) {
    throw new VouchsafeError(BLAME, 'want at least one case to accept and one to refuse')
  }
  return cases
}

/**
 * Appraises a case.
 *
 * @param input - With the policy, and the evidence that the case asks for.
 * @returns How the verdict differs from what the case expects; `undefined` if it does not.
 */
export async function runCase(
  { expect }: PolicyCase,
  input: AppraisalInput,
  tools: AppraisalTools,
): Promise<string | undefined> {
  const got = await verdictOf(input, tools)
  const wanted = 'error' in expect ? expect.error : verdictText(expect)
  return got === wanted ? undefined : `want ${wanted}, got ${got}`
}

async function verdictOf(input: AppraisalInput, tools: AppraisalTools): Promise<string> {
  try {
    const { tier, checks } = await appraise(input, tools)
    const failing = checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id)
    return verdictText({ tier, failing })
  } catch (error) {
    if (error instanceof VouchsafeError) return error.code
    throw error
  }
}

function verdictText(verdict: {
  readonly tier: Tier
  readonly failing: readonly string[]
}): string {
  return [verdict.tier, ...[...verdict.failing].sort()].join(' ')
}

function parseCase(value: Json, at: string): PolicyCase {
  const blame: Blame = { code: BLAME.code, at }
  const { name, mint, capture, reference_values = [], expect, ...rest } = objectOf(value, blame)
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw new VouchsafeError(blame, `unknown member ${unknown}`)
  if ((mint === undefined) === (capture === undefined)) {
    throw new VouchsafeError(blame, 'want either mint or capture')
  }
  if (!Array.isArray(reference_values)) {
    throw new VouchsafeError(blame, 'want reference_values to be a list')
  }
  return {
    name: anyText.parse(name, { ...blame, at: `${at}.name` }),
    evidence:
      mint === undefined
        ? { capture: CAPTURE.parse(capture, { ...blame, at: `${at}.capture` }) }
        : { mint: objectOf(mint, { ...blame, at: `${at}.mint` }) },
    referenceValues: (reference_values as readonly Json[]).map(parseReferenceValues),
    expect: parseExpectation(expect, { ...blame, at: `${at}.expect` }),
  }
}

function parseExpectation(value: Json | undefined, blame: Blame): CaseExpectation {
  if ('error' in objectOf(value, blame)) return ERROR.parse(value, blame)
  const verdict = VERDICT.parse(value, blame)
  // A refusal that does not say why would pass for any reason at all.
  const refused = verdict.tier === 'contraindicated'
  if (refused === (verdict.failing.length === 0)) {
    throw new VouchsafeError(blame, 'want failing checks exactly where the tier is contraindicated')
  }
  return verdict
}

function objectOf(
  value: Json | undefined,
  blame: Blame,
): Readonly<Record<string, Json | undefined>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, Json | undefined>>
  }
  throw new VouchsafeError(blame, 'want an object')
}
