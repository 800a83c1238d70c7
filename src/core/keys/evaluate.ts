/**
 * Asks a release policy about the claims of an Attestation Result. Total and bounded: a policy has a
 * bounded number of nodes, and `forEach` a bounded number of members.
 *
 * @packageDocumentation
 */
import { canonicalJson, type Json } from '../encoding/canonical-json.ts'
import { type ClaimPath, formatClaimPath, lookUp } from './claim-path.ts'
import { OPERATORS, type Truth } from './operators.ts'
import type { PolicyNode, Quantifier, ReleasePolicy } from './release-policy.ts'

const MAX_MEMBERS = 64
const MAX_FAILURES = 16
const MAX_PRINTED = 200

/** One condition that was not met, and what would have met it. */
export interface UnmetCondition {
  /** Where it stands: `policy.anyOf.0.allOf.2`. */
  readonly at: string
  readonly claim: string
  readonly expected: string
  readonly actual: string
}

/** The answer of a policy; `unmet` names the conditions that decided against, at most 16. */
export interface PolicyAnswer {
  readonly met: boolean
  readonly unmet: readonly UnmetCondition[]
}

interface Scope {
  /** The whole token. */
  readonly token: Json
  /** What paths start from: the token, or a member of a `forEach`. */
  readonly claims: Json
  /** Where `claims` stands in the token, for messages. */
  readonly prefix: ClaimPath
  readonly now: number
}

interface Answer {
  readonly truth: Truth
  readonly unmet: readonly UnmetCondition[]
}

/**
 * Whether a policy lets these claims open its key. Only a policy that is certainly true does: an
 * absent claim leaves its condition undecided, under `not` as well.
 *
 * @param token - The claims of a token whose signature has been checked.
 * @param now - Unix seconds.
 */
export function evaluateReleasePolicy(
  policy: ReleasePolicy,
  token: Json,
  now: number,
): PolicyAnswer {
  const { truth, unmet } = join(policy, { token, claims: token, prefix: [], now }, 'policy')
  return { met: truth === 'true', unmet: truth === 'true' ? [] : unmet.slice(0, MAX_FAILURES) }
}

function evaluate(node: PolicyNode, scope: Scope, at: string): Answer {
  switch (node.kind) {
    case 'group': {
      if (node.authority === undefined) return join(node, scope, at)
      const issuer = conditionOf(['iss'], 'equals', node.authority)
      const authority = evaluate(
        issuer,
        { ...scope, claims: scope.token, prefix: [] },
        `${at}.authority`,
      )
      return combine('allOf', [authority, join(node, scope, at)])
    }
    case 'not':
      return negate(node.node, scope, `${at}.not`)
    case 'forEach':
      return forEach(node, scope, at)
    case 'condition':
      return condition(node, scope, at)
  }
}

function join(
  { quantifier, nodes }: { readonly quantifier: Quantifier; readonly nodes: readonly PolicyNode[] },
  scope: Scope,
  at: string,
): Answer {
  const answers = nodes.map((node, i) => evaluate(node, scope, `${at}.${quantifier}.${i}`))
  return combine(quantifier, answers)
}

/** Kleene's logic: `unknown` wins where nothing decides. */
function combine(quantifier: Quantifier, answers: readonly Answer[]): Answer {
  const decisive: Truth = quantifier === 'allOf' ? 'false' : 'true'
  const otherwise: Truth = quantifier === 'allOf' ? 'true' : 'false'
  const has = (wanted: Truth): boolean => answers.some(({ truth }) => truth === wanted)
  const truth = has(decisive) ? decisive : has('unknown') ? 'unknown' : otherwise
  if (truth === 'true') return { truth, unmet: [] }
  return { truth, unmet: answers.flatMap(({ unmet }) => unmet).slice(0, MAX_FAILURES) }
}

function negate(node: PolicyNode, scope: Scope, at: string): Answer {
  const answer = evaluate(node, scope, at)
  if (answer.truth === 'false') return { truth: 'true', unmet: [] }
  if (answer.truth === 'unknown') return answer
  const unmet = { at, claim: describe(node), expected: 'not to hold', actual: 'holds' }
  return { truth: 'false', unmet: [unmet] }
}

function forEach(
  node: Extract<PolicyNode, { readonly kind: 'forEach' }>,
  scope: Scope,
  at: string,
): Answer {
  const collection = lookUp(scope.claims, node.claim)
  const members: readonly (readonly [string, Json])[] =
    typeof collection === 'object' && collection !== null
      ? Object.entries(collection as Readonly<Record<string, Json>>)
      : []
  // Of nothing, everything holds; and that is never what was meant.
  if (members.length === 0 || members.length > MAX_MEMBERS) {
    const expected = `1 to ${MAX_MEMBERS} members`
    const actual = collection === undefined ? 'absent' : `${members.length}`
    return {
      truth: 'unknown',
      unmet: [{ at, claim: formatClaimPath(node.claim), expected, actual }],
    }
  }
  const answers = members.map(([name, claims]) =>
    join(node, { ...scope, claims }, `${at}[${print(name)}]`),
  )
  return combine('allOf', answers)
}

function condition(
  node: Extract<PolicyNode, { readonly kind: 'condition' }>,
  { claims, prefix, now }: Scope,
  at: string,
): Answer {
  const { claim, operator, operand } = node
  const actual = lookUp(claims, claim)
  const truth = testClaim(node, actual, now)
  if (truth === 'true') return { truth, unmet: [] }
  const unmet = {
    at,
    claim: formatClaimPath([...prefix, ...claim]),
    expected: `${operator} ${print(operand)}`,
    actual: actual === undefined ? 'absent' : print(actual),
  }
  return { truth, unmet: [unmet] }
}

function testClaim(
  { operator, operand }: Extract<PolicyNode, { readonly kind: 'condition' }>,
  actual: Json | undefined,
  now: number,
): Truth {
  if (actual !== undefined) return OPERATORS[operator].test(actual, operand, now)
  // Absence is what `exists` asks about; to every other question it is no answer.
  if (operator === 'exists') return operand === true ? 'false' : 'true'
  return 'unknown'
}

function conditionOf(claim: ClaimPath, operator: 'equals', operand: Json): PolicyNode {
  return { kind: 'condition', claim, operator, operand }
}

function describe(node: PolicyNode): string {
  return 'claim' in node ? formatClaimPath(node.claim) : node.kind
}

function print(value: Json): string {
  const text = canonicalJson(value)
  return text.length <= MAX_PRINTED ? text : `${text.slice(0, MAX_PRINTED)}…`
}
