/**
 * Release policies: which Attestation Results open a key. The grammar is that of Azure Secure Key
 * Release (`spec/keys.md` §3) with `not`, `forEach` and more operators. Strict on purpose: what is
 * not understood is refused when it is uploaded, never skipped when it is asked.
 *
 * @packageDocumentation
 */
import { toHex } from '../bytes/hex.ts'
import { canonicalBytes, canonicalJson, type Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { Hasher } from '../ports/crypto.ts'
import { type ClaimPath, formatClaimPath, parseClaimPath } from './claim-path.ts'
import { OPERATORS, type Operator } from './operators.ts'

/** The only version there is. */
const RELEASE_POLICY_VERSION = '1.0.0'

const MAX_DEPTH = 8
const MAX_NODES = 256
const MAX_CHILDREN = 64
const MAX_LENGTH = 64 * 1024
const MAX_AUTHORITY = 512

/** One node of a policy. */
export type PolicyNode =
  | {
      readonly kind: 'group'
      readonly quantifier: Quantifier
      /** Issuer of the token. */
      readonly authority: string | undefined
      readonly nodes: readonly PolicyNode[]
    }
  | { readonly kind: 'not'; readonly node: PolicyNode }
  | {
      /** Every member of an object or array, each taken as the root for the nodes below. */
      readonly kind: 'forEach'
      readonly claim: ClaimPath
      readonly quantifier: Quantifier
      readonly nodes: readonly PolicyNode[]
    }
  | {
      readonly kind: 'condition'
      readonly claim: ClaimPath
      readonly operator: Operator
      readonly operand: Json
    }

/** How a group joins its nodes. */
export type Quantifier = 'allOf' | 'anyOf'

/** A parsed policy. */
export interface ReleasePolicy {
  readonly quantifier: Quantifier
  readonly nodes: readonly PolicyNode[]
}

const KEYWORDS = ['allOf', 'anyOf', 'not', 'forEach', 'claim', 'authority', 'version'] as const
const NAMES: ReadonlyMap<string, string> = new Map(
  // Azure's grammar prints its words in lower case and its examples use camel case: both are read.
  [...KEYWORDS, ...Object.keys(OPERATORS)].flatMap((name) => [
    [name, name],
    [name.toLowerCase(), name],
  ]),
)

type Members = ReadonlyMap<string, unknown>
interface Budget {
  nodes: number
}

/**
 * Reads a policy from JSON.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID`; `at` says where, as `policy.anyOf.0.not`.
 */
export function parseReleasePolicy(value: unknown): ReleasePolicy {
  const top = membersOf(value, 'policy')
  const version = top.get('version')
  if (version !== RELEASE_POLICY_VERSION) {
    throw new VouchsafeError(blame('policy.version'), `want ${RELEASE_POLICY_VERSION}`)
  }
  assertOnly(top, ['version', 'allOf', 'anyOf'], 'policy')
  const policy = parseNodes(top, { at: 'policy', depth: 1, budget: { nodes: 0 } })
  if (canonicalJson(releasePolicyToJson(policy)).length > MAX_LENGTH) {
    throw new VouchsafeError(blame('policy'), `longer than ${MAX_LENGTH} characters`)
  }
  return policy
}

/** The one JSON form of a policy: camel case, paths as text. {@link parseReleasePolicy} reads it. */
export function releasePolicyToJson(policy: ReleasePolicy): Json {
  const nodes = policy.nodes.map(nodeToJson)
  return { version: RELEASE_POLICY_VERSION, [policy.quantifier]: nodes }
}

/** `sha256:<hex>` of the canonical policy; two spellings of one policy have one digest. */
export async function releasePolicyDigest(policy: ReleasePolicy, hasher: Hasher): Promise<string> {
  const bytes = canonicalBytes(releasePolicyToJson(policy))
  return `sha256:${toHex(await hasher.digest('SHA-256', bytes))}`
}

interface Place {
  readonly at: string
  readonly depth: number
  readonly budget: Budget
}

function parseNode(value: unknown, place: Place): PolicyNode {
  const { at, depth, budget } = place
  budget.nodes += 1
  if (budget.nodes > MAX_NODES) {
    throw new VouchsafeError(blame('policy'), `more than ${MAX_NODES} nodes`)
  }
  if (depth > MAX_DEPTH) throw new VouchsafeError(blame(at), `deeper than ${MAX_DEPTH}`)
  const node = membersOf(value, at)
  if (node.has('claim')) return parseCondition(node, at)
  if (node.has('not')) {
    assertOnly(node, ['not'], at)
    return { kind: 'not', node: parseNode(node.get('not'), child(place, 'not')) }
  }
  if (node.has('forEach')) {
    assertOnly(node, ['forEach', 'allOf', 'anyOf'], at)
    const claim = parseClaimPath(node.get('forEach'), blame(`${at}.forEach`))
    return { kind: 'forEach', claim, ...parseNodes(node, place) }
  }
  assertOnly(node, ['authority', 'allOf', 'anyOf'], at)
  return { kind: 'group', authority: parseAuthority(node, at), ...parseNodes(node, place) }
}

function parseNodes(node: Members, place: Place): ReleasePolicy {
  const { at } = place
  const both = node.has('allOf') && node.has('anyOf')
  const quantifier = node.has('allOf') ? 'allOf' : 'anyOf'
  const nodes = node.get(quantifier)
  if (both) throw new VouchsafeError(blame(at), 'allOf and anyOf side by side')
  // An empty allOf would be true, and an empty anyOf never: nobody means either.
  if (!Array.isArray(nodes) || nodes.length === 0 || nodes.length > MAX_CHILDREN) {
    const detail = `want a list of 1 to ${MAX_CHILDREN} conditions`
    throw new VouchsafeError(blame(`${at}.${quantifier}`), detail)
  }
  return {
    quantifier,
    nodes: (nodes as readonly unknown[]).map((value, i) =>
      parseNode(value, child(place, `${quantifier}.${i}`)),
    ),
  }
}

function parseCondition(node: Members, at: string): PolicyNode {
  const claim = parseClaimPath(node.get('claim'), blame(`${at}.claim`))
  const names = [...node.keys()].filter((name) => name !== 'claim')
  const [name] = names
  if (name === undefined || names.length > 1 || !isOperator(name)) {
    throw new VouchsafeError(blame(at), 'want a claim and exactly one operator')
  }
  const operand = OPERATORS[name].parse(node.get(name), blame(`${at}.${name}`))
  return { kind: 'condition', claim, operator: name, operand }
}

function parseAuthority(node: Members, at: string): string | undefined {
  if (!node.has('authority')) return undefined
  const authority = node.get('authority')
  const good = typeof authority === 'string' && authority !== '' && authority.isWellFormed()
  if (good && authority.length <= MAX_AUTHORITY) return authority
  throw new VouchsafeError(blame(`${at}.authority`), 'want the issuer as text')
}

/** The members of an object under their camel-case names; unknown ones are an error. */
function membersOf(value: unknown, at: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new VouchsafeError(blame(at), 'want an object')
  }
  const members = new Map<string, unknown>()
  for (const [spelled, member] of Object.entries(value)) {
    const name = NAMES.get(spelled)
    if (name === undefined) {
      throw new VouchsafeError(
        blame(at),
        `unknown operator ${JSON.stringify(spelled.slice(0, 64))}`,
      )
    }
    if (members.has(name)) throw new VouchsafeError(blame(at), `${name} twice`)
    members.set(name, member)
  }
  return members
}

function assertOnly(members: Members, allowed: readonly string[], at: string): void {
  const other = [...members.keys()].find((name) => !allowed.includes(name))
  if (other !== undefined) throw new VouchsafeError(blame(at), `${other} has no place here`)
}

function nodeToJson(node: PolicyNode): Json {
  switch (node.kind) {
    case 'group':
      return {
        ...(node.authority !== undefined && { authority: node.authority }),
        [node.quantifier]: node.nodes.map(nodeToJson),
      }
    case 'not':
      return { not: nodeToJson(node.node) }
    case 'forEach': {
      const nodes = node.nodes.map(nodeToJson)
      return { forEach: formatClaimPath(node.claim), [node.quantifier]: nodes }
    }
    case 'condition':
      return { claim: formatClaimPath(node.claim), [node.operator]: node.operand }
  }
}

function child({ at, depth, budget }: Place, name: string): Place {
  return { at: `${at}.${name}`, depth: depth + 1, budget }
}

function isOperator(name: string): name is Operator {
  return Object.hasOwn(OPERATORS, name)
}

function blame(at: string): Blame {
  return { code: 'ERR_POLICY_INVALID', at }
}
