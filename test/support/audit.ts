/** A log with real decisions in it, as files that a test may change. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AppraisalInput, appraise } from '../../src/core/appraisal/appraise.ts'
import { policyDigest } from '../../src/core/appraisal/policy.ts'
import { encodeInput, encodeResult } from '../../src/core/appraisal/record.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import type { LogSource } from '../../src/core/audit/source.ts'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { canonicalBytes, type Json } from '../../src/core/encoding/canonical-json.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { encodeDecisionInput } from '../../src/core/keys/decision-record.ts'
import { recipientThumbprint } from '../../src/core/keys/recipient.ts'
import type { DecisionInput } from '../../src/core/keys/release.ts'
import { parseReleasePolicy, releasePolicyDigest } from '../../src/core/keys/release-policy.ts'
import type { BlobStore } from '../../src/core/ports/log.ts'
import { reportData, statementText } from '../../src/core/sealing/statement.ts'
import type {
  AppraisalLeaf,
  KeyLeaf,
  KeysetLeaf,
  RefusalLeaf,
  ReleaseLeaf,
} from '../../src/core/tlog/leaf.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { AT as APPRAISED_AT, NONCE, nitroInput } from './appraisal.ts'
import { createPlace, type LogPlace, leafOf, type OpenLog, openTestLog } from './log.ts'
import { claimsOf, decisionInput, GENERATOR } from './release.ts'
import { createTestLog, type TestLog } from './tlog.ts'

const crypto = createCrypto()

/** Of the enclave that everything here is about; its release key is that of `decisionInput`. */
export const KEYSET = {
  not_after: 1_900_000_000,
  vouchsafe: {
    models: [{ id: 'qwen', manifest: `sha256:${'77'.repeat(32)}` }],
    release_key: { algo: 'p256', public_key: GENERATOR },
  },
} as const satisfies Json

export async function digestOf(value: Json): Promise<string> {
  return `sha256:${toHex(await crypto.digest('SHA-256', canonicalBytes(value)))}`
}

/** Every file below a directory, by relative path; what a test changes, it changes here only. */
export function loadFiles(root: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    files.set(path.slice(root.length + 1), new Uint8Array(readFileSync(path)))
  }
  return files
}

export function sourceOver(files: ReadonlyMap<string, Uint8Array>): LogSource {
  return { read: async (path) => files.get(path)?.slice() }
}

/** An affirming appraisal of evidence for one keyset, bound as the verifier binds it. */
export async function boundInput(
  keyset: Json = KEYSET,
  change: Partial<AppraisalInput> = {},
): Promise<AppraisalInput> {
  const statement = statementText({ keysetDigest: await digestOf(keyset), nonce: toHex(NONCE) })
  const members = { user_data: await reportData(statement, crypto) }
  const binding = { nonce: { require: NONCE }, reportData: { statement } }
  const input = nitroInput({ members }, { binding, ...change })
  // The same each time, as of an enclave that asked once: an EAR names its evidence.
  const evidence = asked.get(statement) ?? input.evidence
  asked.set(statement, evidence)
  return { ...input, evidence }
}

/** Evidence by statement. */
const asked = new Map<string, Uint8Array>()

/** Leaves by the result that is in them. */
const recorded = new WeakMap<AttestationResult, AppraisalLeaf>()

/** Appraises, stores everything it was made of, and writes the leaf, as the verifier does. */
export async function recordAppraisal(
  input: AppraisalInput,
  blobs: BlobStore,
): Promise<{ readonly leaf: AppraisalLeaf; readonly result: AttestationResult }> {
  const result = await appraise(input, { crypto, memo: createMemo(0) })
  const bytes = encodeInput(input)
  const leaf: AppraisalLeaf = {
    v: 1,
    type: 'appraisal',
    time: Math.floor(input.now.getTime() / 1000),
    evidence: [{ format: input.format, digest: await blobs.put(bytes.evidence) }],
    endorsements: await blobs.put(bytes.endorsements),
    policy: await blobs.put(bytes.policy),
    policy_id: result.policyId,
    reference_values: await blobs.put(bytes.referenceValues),
    binding: await blobs.put(bytes.binding),
    result: await blobs.put(encodeResult(result)),
    tier: result.tier,
  }
  recorded.set(result, leaf)
  return { leaf, result }
}

/** What the verifier says about an appraisal in the log, as {@link recordAppraisal} made it. */
export async function earClaims(
  result: AttestationResult,
  logIndex: number,
  keyset: Json = KEYSET,
): Promise<Readonly<Record<string, Json>>> {
  return {
    ...claimsOf({ cpu0: result }),
    iat: Math.floor(APPRAISED_AT.getTime() / 1000),
    eat_nonce: toHex(NONCE),
    'vouchsafe.keyset_digest': await digestOf(keyset),
    'vouchsafe.evidence': (recorded.get(result)?.evidence ?? []).map(({ digest }) => digest),
    'vouchsafe.log_index': logIndex,
  }
}

/** The input of a release that rests on an appraisal in the log. */
export async function decisionOn(
  result: AttestationResult,
  logIndex: number,
  change: Partial<DecisionInput> = {},
): Promise<DecisionInput> {
  const claims = await earClaims(result, logIndex)
  return decisionInput({ claims, keysetDigest: await digestOf(KEYSET), ...change })
}

/** The leaf of a release, as the broker writes it. */
export async function recordRelease(
  input: DecisionInput,
  blobs: BlobStore,
  keyset: Json = KEYSET,
): Promise<ReleaseLeaf> {
  await blobs.put(canonicalBytes(keyset))
  return {
    v: 1,
    type: 'release',
    time: input.at,
    key: input.key.uri,
    version: input.key.version,
    lease: 'lease-1',
    decision: await blobs.put(encodeDecisionInput(input)),
    ear: await blobs.put(tokenOf(input.claims)),
    policy: await releasePolicyDigest(parseReleasePolicy(input.policy), crypto),
    recipient: await recipientThumbprint(input.recipient, crypto),
  }
}

export async function recordRefusal(
  input: DecisionInput,
  { code, at }: Pick<RefusalLeaf, 'code' | 'at'>,
  blobs: BlobStore,
): Promise<RefusalLeaf> {
  const decision = await blobs.put(encodeDecisionInput(input))
  return { v: 1, type: 'refusal', time: input.at, key: input.key.uri, decision, code, at }
}

/** The leaf of an enclave's registration, as the gateway writes it. */
export async function recordKeyset(
  claims: Json,
  blobs: BlobStore,
  keyset: Json = KEYSET,
): Promise<KeysetLeaf> {
  return {
    v: 1,
    type: 'keyset',
    time: 1_790_000_000,
    keyset: await blobs.put(canonicalBytes(keyset)),
    ear: await blobs.put(tokenOf(claims)),
    not_after: KEYSET.not_after,
    models: KEYSET.vouchsafe.models,
  }
}

/** A JWS with this payload; nobody looks at its signature here. */
export function tokenOf(claims: unknown): Uint8Array {
  const part = (value: unknown): string => toBase64url(utf8(JSON.stringify(value)))
  return utf8(`${part({ alg: 'ES256' })}.${part(claims)}.c2ln`)
}

/** Leaves before the first decision, the last two of which announce the policy and the key. */
export const PLAIN_LEAVES = 300

/** A log with {@link PLAIN_LEAVES}, then an appraisal, a release on it, a refusal, and a keyset. */
export interface AuditedLog {
  readonly keys: TestLog
  readonly opened: OpenLog
  readonly place: LogPlace
  /** The files before the first decision, and after the last. */
  readonly before: ReadonlyMap<string, Uint8Array>
  readonly all: ReadonlyMap<string, Uint8Array>
  readonly appraisal: AppraisalLeaf
  close(): Promise<void>
}

/** The leaf that says that the key of `decisionInput` was made, or what else became of it. */
export async function keyLeaf(change: Partial<KeyLeaf> = {}): Promise<KeyLeaf> {
  const { key, policy, at } = decisionInput()
  return {
    v: 1,
    type: 'key',
    time: at,
    key: key.uri,
    version: key.version,
    action: 'create',
    policy: await releasePolicyDigest(parseReleasePolicy(policy), crypto),
    ...change,
  }
}

export async function createAuditedLog(): Promise<AuditedLog> {
  const keys = await createTestLog('example.com/log')
  const place = createPlace()
  const opened = await openTestLog(place, keys)
  const { log, blobs } = opened
  const plain = Array.from({ length: PLAIN_LEAVES - 2 }, async (_, i) => log.append(leafOf(i)))
  await Promise.all(plain)
  const input = await boundInput()
  const { id } = input.policy
  const policy = await policyDigest(input.policy, crypto)
  await log.append({ v: 1, type: 'policy', time: 1_790_000_000, id, digest: policy })
  await log.append(await keyLeaf())
  await log.proof(PLAIN_LEAVES - 1)
  const before = loadFiles(place.filesRoot)
  const { leaf: appraisal, result } = await recordAppraisal(input, blobs)
  const decision = await decisionOn(result, PLAIN_LEAVES)
  const disabled = { ...decision, key: { ...decision.key, state: 'disabled' as const } }
  const reason = { code: 'ERR_KEY_NOT_RELEASABLE', at: 'key.state' }
  await log.append(appraisal)
  await log.append(await recordRelease(decision, blobs))
  await log.append(await recordRefusal(disabled, reason, blobs))
  await log.append(await recordKeyset(await earClaims(result, PLAIN_LEAVES), blobs))
  await log.proof(PLAIN_LEAVES + 3)
  return {
    keys,
    opened,
    place,
    before,
    all: loadFiles(place.filesRoot),
    appraisal,
    close: async () => {
      await opened.close()
      place.remove()
    },
  }
}
