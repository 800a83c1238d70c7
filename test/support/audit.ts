/** A log with real decisions in it, as files that a test may change. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AppraisalInput, appraise } from '../../src/core/appraisal/appraise.ts'
import { encodeInput, encodeResult } from '../../src/core/appraisal/record.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import type { LogSource } from '../../src/core/audit/source.ts'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { encodeDecisionInput } from '../../src/core/keys/decision-record.ts'
import { recipientThumbprint } from '../../src/core/keys/recipient.ts'
import type { DecisionInput } from '../../src/core/keys/release.ts'
import { parseReleasePolicy, releasePolicyDigest } from '../../src/core/keys/release-policy.ts'
import type { BlobStore } from '../../src/core/ports/log.ts'
import { reportData, statementText } from '../../src/core/sealing/statement.ts'
import type { AppraisalLeaf, RefusalLeaf, ReleaseLeaf } from '../../src/core/tlog/leaf.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { NONCE, nitroInput } from './appraisal.ts'
import { createPlace, type LogPlace, leafOf, type OpenLog, openTestLog } from './log.ts'
import { claimsOf, decisionInput, KEYSET_DIGEST } from './release.ts'
import { createTestLog, type TestLog } from './tlog.ts'

const crypto = createCrypto()

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
  keysetDigest = KEYSET_DIGEST,
  change: Partial<AppraisalInput> = {},
): Promise<AppraisalInput> {
  const statement = statementText({ keysetDigest, nonce: toHex(NONCE) })
  const members = { user_data: await reportData(statement, crypto) }
  const binding = { nonce: { require: NONCE }, reportData: { statement } }
  return nitroInput({ members }, { binding, ...change })
}

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
  return { leaf, result }
}

/** The input of a release that rests on an appraisal in the log. */
export function decisionOn(
  result: AttestationResult,
  logIndex: number,
  change: Partial<DecisionInput> = {},
): DecisionInput {
  const claims = { ...claimsOf({ cpu0: result }), 'vouchsafe.log_index': logIndex }
  return decisionInput({ claims, ...change })
}

/** The leaf of a release, as the broker writes it. */
export async function recordRelease(input: DecisionInput, blobs: BlobStore): Promise<ReleaseLeaf> {
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

/** A JWS with this payload; nobody looks at its signature here. */
export function tokenOf(claims: unknown): Uint8Array {
  const part = (value: unknown): string => toBase64url(utf8(JSON.stringify(value)))
  return utf8(`${part({ alg: 'ES256' })}.${part(claims)}.c2ln`)
}

/** Policy leaves before the first decision. */
export const PLAIN_LEAVES = 300

/** A log with {@link PLAIN_LEAVES}, then an appraisal, a release on it, and a refusal. */
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

export async function createAuditedLog(): Promise<AuditedLog> {
  const keys = await createTestLog('example.com/log')
  const place = createPlace()
  const opened = await openTestLog(place, keys)
  const { log, blobs } = opened
  const plain = Array.from({ length: PLAIN_LEAVES }, async (_, i) => log.append(leafOf(i)))
  await Promise.all(plain)
  await log.proof(PLAIN_LEAVES - 1)
  const before = loadFiles(place.filesRoot)
  const { leaf: appraisal, result } = await recordAppraisal(await boundInput(), blobs)
  const input = decisionOn(result, PLAIN_LEAVES)
  const disabled = { ...input, key: { ...input.key, state: 'disabled' as const } }
  const reason = { code: 'ERR_KEY_NOT_RELEASABLE', at: 'key.state' }
  await log.append(appraisal)
  await log.append(await recordRelease(input, blobs))
  await log.append(await recordRefusal(disabled, reason, blobs))
  await log.proof(PLAIN_LEAVES + 2)
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
