/**
 * Replaying what rests on an EAR: releases of keys, and keysets that clients were told of. The log has
 * the EAR, and the appraisal that it is about; what a broker or a gateway says must follow from both.
 *
 * @packageDocumentation
 */
import type { Binding } from '../appraisal/binding.ts'
import { decodeBinding } from '../appraisal/binding-record.ts'
import { requireAffirmingMachine } from '../appraisal/composite.ts'
import { resultFromJson } from '../appraisal/record.ts'
import type { AttestationResult } from '../appraisal/result.ts'
import { fromBase64url } from '../bytes/base64url.ts'
import { toHex } from '../bytes/hex.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { canonicalBytes, canonicalJson, type Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import { decodeDecisionInput } from '../keys/decision-record.ts'
import { recipientOf, recipientThumbprint } from '../keys/recipient.ts'
import { type DecisionInput, decideRelease } from '../keys/release.ts'
import { parseReleasePolicy, releasePolicyDigest } from '../keys/release-policy.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import { digestOf, parseStatement } from '../sealing/statement.ts'
import type { AppraisalLeaf, Digest, KeysetLeaf, ReleaseLeaf } from '../tlog/leaf.ts'
import { malformed } from '../tlog/text.ts'
import { toldOfOthers, toldOtherwise } from './ear-told.ts'
import { type LogSource, readBlob } from './source.ts'

/** As many as an EAR may have. */
const MAX_SUBMODULES = 64

/** What replaying these needs besides the log. */
export interface VouchedTools {
  readonly source: LogSource
  readonly crypto: CryptoProvider
  /** The leaf at an index before the one being replayed: releases rest on appraisals. */
  readonly appraisalAt: (index: number) => AppraisalLeaf | undefined
  /**
   * Whether a key of the Verifier, which the auditor has from elsewhere, signed this EAR. Without it
   * no signature is looked at, and whoever reports the outcome says so.
   */
  readonly isEarSigned?: ((ear: string) => Promise<boolean>) | undefined
}

/** Indexes of the appraisals that an EAR's claims name, each once. */
export function appraisalIndexesOf(claims: Json): readonly number[] {
  const indexes = Object.values(indexesOf(claims, Object.keys(submodulesOf(claims))))
  return [...new Set(indexes)].filter((index) => index !== undefined).slice(0, MAX_SUBMODULES)
}

/** The claims of an EAR blob. Proves nothing. */
export function claimsOfEar(token: Uint8Array): Json {
  const blame = malformed('log.ear')
  const payload = decodeUtf8(token, blame).split('.')[1] ?? ''
  return parseJson(decodeUtf8(fromBase64url(payload, blame), blame), blame)
}

/** The digest of the keyset that a release was decided for, if it is one. */
export function keysetBlobOf({ keysetDigest }: DecisionInput): Digest | undefined {
  return /^sha256:[0-9a-f]{64}$/.test(keysetDigest) ? keysetDigest : undefined
}

/** @returns How the release does not follow from the log; `undefined` if it does. */
export async function replayRelease(
  leaf: ReleaseLeaf,
  tools: VouchedTools,
): Promise<string | undefined> {
  const { source, crypto } = tools
  const input = decodeDecisionInput(await readBlob(source, leaf.decision, crypto))
  const decision = decideRelease(input)
  if (!decision.release) return `recomputed a refusal: ${decision.code} at ${decision.at}`
  if (input.key.uri !== leaf.key || input.key.version !== leaf.version) {
    return `decided about ${input.key.uri} version ${input.key.version}`
  }
  // A decision that could choose its time could use an EAR that had expired.
  if (input.at !== leaf.time) return `decided at ${input.at}, the leaf says ${leaf.time}`
  if ((await releasePolicyDigest(parseReleasePolicy(input.policy), crypto)) !== leaf.policy) {
    return 'decided by another release policy'
  }
  const claims = claimsOfEar(await readBlob(source, leaf.ear, crypto))
  if (canonicalJson(claims) !== canonicalJson(input.claims)) return 'decided on another EAR'
  return (
    (await wrongRecipient(leaf, input, tools)) ??
    (await unfounded({ claims, keysetDigest: input.keysetDigest, ear: leaf.ear }, tools))
  )
}

/** @returns How the keyset's registration does not follow from the log. */
export async function replayKeyset(
  leaf: KeysetLeaf,
  tools: VouchedTools,
): Promise<string | undefined> {
  const { source, crypto } = tools
  const blame = malformed('log.keyset')
  const text = decodeUtf8(await readBlob(source, leaf.keyset, crypto), blame)
  const keyset = parseJson(text, blame)
  const models = memberOf(memberOf(keyset, 'vouchsafe') ?? null, 'models')
  const told = { models: leaf.models, not_after: leaf.not_after } as unknown as Json
  const found = { models: models ?? null, not_after: memberOf(keyset, 'not_after') ?? null }
  if (canonicalJson(told) !== canonicalJson(found)) return 'the keyset says something else'
  const claims = claimsOfEar(await readBlob(source, leaf.ear, crypto))
  if (memberOf(claims, 'vouchsafe.keyset_digest') !== leaf.keyset) {
    return 'the EAR vouches for another keyset'
  }
  const results = Object.entries(submodulesOf(claims)).map(
    ([name, result]): readonly [string, AttestationResult] => [name, resultFromJson(result)],
  )
  requireAffirmingMachine(Object.fromEntries(results))
  return unfounded({ claims, keysetDigest: leaf.keyset, ear: leaf.ear }, tools)
}

/** The key must be wrapped to the keyset that the evidence vouches for, and to nobody else. */
async function wrongRecipient(
  leaf: ReleaseLeaf,
  input: DecisionInput,
  { source, crypto }: VouchedTools,
): Promise<string | undefined> {
  const thumbprint = await recipientThumbprint(input.recipient, crypto)
  if (thumbprint !== leaf.recipient) return 'decided about another recipient'
  const digest = keysetBlobOf(input)
  if (digest === undefined) return 'decided for no keyset'
  const blame = malformed('log.keyset')
  const keyset = parseJson(decodeUtf8(await readBlob(source, digest, crypto), blame), blame)
  const attested = await recipientOf(keyset, crypto)
  if (attested.digest !== digest) return 'the keyset is not in its canonical form'
  if ((await recipientThumbprint(attested.recipient, crypto)) === thumbprint) return undefined
  return 'the recipient is not the release key of the attested keyset'
}

interface Vouched {
  readonly claims: Json
  readonly keysetDigest: string
  readonly ear: Digest
}

/**
 * An EAR can be invented by whoever shows it, where nobody gave us keys to check it with; what cannot
 * be invented are appraisals in the log before it, one for each submodule, of this evidence, with these
 * results, at this time, for this challenge and about this keyset.
 */
async function unfounded(vouched: Vouched, tools: VouchedTools): Promise<string | undefined> {
  const { claims, ear } = vouched
  const submodules = submodulesOf(claims)
  const indexes = indexesOf(claims, Object.keys(submodules))
  const digests = digestsOf(claims)
  if (digests.length !== Object.keys(submodules).length) {
    return `the EAR names ${digests.length} pieces of evidence`
  }
  const bindings: Binding[] = []
  const appraisals: AppraisalLeaf[] = []
  for (const [i, [name, result]] of Object.entries(submodules).entries()) {
    const index = indexes[name]
    const appraisal = index === undefined ? undefined : tools.appraisalAt(index)
    if (appraisal === undefined) return 'the EAR names no appraisal that the log has before it'
    const at = `leaf ${index ?? ''}`
    const { crypto, source } = tools
    if ((await digestOf(canonicalBytes(result), crypto)) !== appraisal.result) {
      return `the EAR does not say what ${at} says`
    }
    if (!isAbout(appraisal, digests[i])) return `the EAR is about other evidence than ${at}`
    if (memberOf(claims, 'iat') !== appraisal.time) return `the EAR is not of the time of ${at}`
    const binding = decodeBinding(await readBlob(source, appraisal.binding, crypto))
    const other = boundElsewhere(binding, vouched, at)
    if (other !== undefined) return other
    const told = toldOtherwise(claims, name)
    if (told !== undefined) return told
    bindings.push(binding)
    appraisals.push(appraisal)
  }
  const [statement = ''] = bindings.map(({ reportData }) =>
    'statement' in reportData ? reportData.statement : '',
  )
  const missing =
    incomplete(bindings) ?? (await toldOfOthers({ claims, appraisals, statement }, tools.crypto))
  if (missing !== undefined || tools.isEarSigned === undefined) return missing
  const token = decodeUtf8(await readBlob(tools.source, ear, tools.crypto), malformed('log.ear'))
  return (await tools.isEarSigned(token))
    ? undefined
    : 'the EAR is signed by none of the keys given'
}

function boundElsewhere(
  { reportData, nonce }: Binding,
  { claims, keysetDigest }: Vouched,
  at: string,
): string | undefined {
  const bound = 'statement' in reportData && parseStatement(reportData.statement).keysetDigest
  if (bound !== keysetDigest) return `${at} appraised evidence for another keyset`
  const asked = 'require' in nonce && toHex(nonce.require)
  if (asked !== memberOf(claims, 'eat_nonce')) return `${at} answered another challenge`
  return undefined
}

/**
 * A Verifier that leaves out the one GPU that failed writes leaves that are each beyond reproach: but
 * the statement names it.
 */
function incomplete(bindings: readonly Binding[]): string | undefined {
  const stated = bindings.flatMap(({ reportData }) =>
    'statement' in reportData ? [reportData] : [],
  )
  if (new Set(stated.map(({ statement }) => statement)).size > 1) {
    return 'the submodules are not of one statement'
  }
  const indexes = stated.flatMap((one) => ('index' in one ? [one.index] : []))
  const vouchers = stated.filter((one) => !('index' in one))
  const named = vouchers.flatMap(({ devices = [] }) => devices)
  if (vouchers.length !== 1) return `${vouchers.length} submodules vouch for the statement`
  if (new Set(indexes).size === indexes.length && indexes.length === named.length) return undefined
  return `the statement names ${named.length} devices, the EAR has ${new Set(indexes).size} of them`
}

/** The result of each submodule; `null` for one without. */
function submodulesOf(claims: Json): Readonly<Record<string, Json>> {
  const submods = (memberOf(claims, 'submods') ?? {}) as Readonly<Record<string, Json>>
  return Object.fromEntries(
    Object.entries(submods).map(([name, submod]) => [
      name,
      memberOf(submod, 'vouchsafe.result') ?? null,
    ]),
  )
}

/** Digests of the evidence, in the order of the submodules. */
/** Whether a leaf is about this one piece of evidence and no other. */
function isAbout({ evidence: [first, ...more] }: AppraisalLeaf, digest: Json | undefined): boolean {
  return first !== undefined && first.digest === digest && more.length === 0
}

function digestsOf(claims: Json): readonly Json[] {
  const digests = memberOf(claims, 'vouchsafe.evidence')
  return Array.isArray(digests) ? (digests as readonly Json[]) : []
}

/** Where the claims say that the appraisal of each submodule is. */
function indexesOf(
  claims: Json,
  names: readonly string[],
): Readonly<Record<string, number | undefined>> {
  const several = memberOf(claims, 'vouchsafe.log_indexes')
  const indexes = names.map((name) => {
    const alone = names.length === 1 && several === undefined
    const index = alone ? memberOf(claims, 'vouchsafe.log_index') : memberOf(several ?? null, name)
    return [name, typeof index === 'number' ? index : undefined] as const
  })
  return Object.fromEntries(indexes)
}

function memberOf(value: Json, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, Json | undefined>>)[name]
    : undefined
}
