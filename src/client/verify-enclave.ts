/**
 * Is this keyset an enclave's own, is that enclave what was pinned, and has the world seen the
 * keyset? Every question is a check with an id, so that a refusal explains itself; no answer of the
 * service is taken for one of them.
 *
 * @packageDocumentation
 */
import { type Check, checkOf } from '../core/appraisal/check.ts'
import { requireAffirmingMachine, type Submodules } from '../core/appraisal/composite.ts'
import { toHex } from '../core/bytes/hex.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Memo } from '../core/evidence/common/memo.ts'
import type { CryptoProvider } from '../core/ports/crypto.ts'
import { type ChosenKey, chooseKey, type Keyset, keysetDigest } from '../core/sealing/keyset.ts'
import { parseStatement } from '../core/sealing/statement.ts'
import type { Checkpoint } from '../core/tlog/checkpoint.ts'
import { checkLog, type LogMemory } from './check-log.ts'
import type { KeysetAnswer } from './keyset-answer.ts'
import { appraiseMachine } from './machine.ts'
import type { ClientPin } from './pin.ts'

/** An enclave that passed every check. Sealing takes nothing else. */
export interface VerifiedEnclave {
  readonly keyset: Keyset
  readonly keysetDigest: string
  /** The key to seal to. */
  readonly key: ChosenKey
  readonly receiptsUrl: string
  readonly report: VerificationReport
}

/** What was checked, for people and for `/verification`. */
export interface VerificationReport {
  readonly model: string
  readonly verified: boolean
  /** Of the evidence; of several, the CPU's first. */
  readonly format: string
  /** Whether any of it is no hardware at all. */
  readonly simulated: boolean
  /** That the CPU was judged by. */
  readonly policyId: string
  readonly keysetDigest: string
  readonly nonce: string
  /** ISO 8601. */
  readonly at: string
  readonly checks: readonly Check[]
}

/** What a verification is about. */
export interface VerificationRequest {
  readonly answer: KeysetAnswer
  readonly model: string
  /** The one we asked with: 32 bytes. */
  readonly nonce: Uint8Array
  readonly now: Date
  readonly pin: ClientPin
  /** The newest checkpoint seen before; the log must not have gone back behind it. */
  readonly seen: Checkpoint | undefined
}

/** No sealing happened, and why. */
export class EnclaveRefusedError extends VouchsafeError {
  readonly report: VerificationReport

  constructor(report: VerificationReport) {
    const failed = report.checks.filter(({ outcome }) => outcome === 'fail')
    const why = failed.map(({ id, expected, actual }) => `${id}: want ${expected}, got ${actual}`)
    const blame = { code: 'ERR_KEYSET_REFUSED', at: failed[0]?.id ?? 'client' } as const
    super(blame, why.join('; ') || 'not affirming')
    this.report = report
  }
}

/** What a verification works with. */
export interface VerificationTools {
  readonly crypto: CryptoProvider
  readonly memo: Memo
  readonly memory: LogMemory
}

/**
 * Verifies an enclave.
 *
 * @throws {@link EnclaveRefusedError} if a check failed; another {@link VouchsafeError} if there is
 *   no verdict, such as `ERR_ENDORSEMENT_UNAVAILABLE`, `ERR_LOG_UNAVAILABLE` or `ERR_POLICY_INVALID`
 *   (no policy is pinned for this format).
 */
export async function verifyEnclave(
  request: VerificationRequest,
  tools: VerificationTools,
): Promise<VerifiedEnclave> {
  const { answer } = request
  const { keyset, receiptsUrl, proof } = answer
  const digest = await keysetDigest(keyset, tools.crypto)
  const machine = await appraiseMachine(request, tools)
  const logChecks = await checkLog({ ...request, proof, keysetDigest: digest }, tools)
  const { key, checks: keyChecks } = checkKeys(request)
  const statement = checkStatement(answer.statement, digest)
  const report = reportOf(request, {
    digest,
    submodules: machine.submodules,
    checks: [...machine.checks, statement, ...keyChecks, ...logChecks],
  })
  if (!report.verified || key === undefined) throw new EnclaveRefusedError(report)
  requireAffirmingMachine(machine.submodules)
  return { keyset, keysetDigest: digest, key, receiptsUrl, report }
}

function reportOf(
  { model, nonce, now }: VerificationRequest,
  found: {
    readonly digest: string
    readonly submodules: Submodules
    readonly checks: readonly Check[]
  },
): VerificationReport {
  const results = Object.values(found.submodules)
  const [cpu] = results
  return {
    model,
    verified: found.checks.every(({ outcome }) => outcome === 'pass' || outcome === 'waived'),
    format: results.map(({ format }) => format).join(', '),
    simulated: results.some(({ format }) => format === 'simulated'),
    policyId: cpu?.policyId ?? '',
    keysetDigest: found.digest,
    nonce: toHex(nonce),
    at: now.toISOString(),
    checks: found.checks,
  }
}

/** Report data vouches for the statement; here the statement must vouch for the keyset. */
function checkStatement(statement: string, digest: string): Check {
  const actual = readStatement(statement)
  const ok = actual === digest
  return { id: 'client.keyset.digest', outcome: ok ? 'pass' : 'fail', expected: digest, actual }
}

function readStatement(text: string): string {
  try {
    return parseStatement(text).keysetDigest
  } catch (error) {
    if (error instanceof VouchsafeError) return error.message
    throw error
  }
}

/** Is there a current key for the model, and is the model the one we pinned? */
function checkKeys({ answer, model, now, pin }: VerificationRequest): {
  readonly checks: readonly Check[]
  readonly key: ChosenKey | undefined
} {
  const { models } = answer.keyset.vouchsafe
  const actual = models.find(({ id }) => id === model)?.manifest ?? 'absent'
  const pinned = pin.manifests.get(model)
  const id = 'client.model.manifest'
  const manifest: Check =
    pinned === undefined
      ? { id, outcome: 'waived', expected: 'any (no manifest is pinned for the model)', actual }
      : { id, outcome: actual === pinned ? 'pass' : 'fail', expected: pinned, actual }
  const usable = 'a current key for the model'
  try {
    const key = chooseKey(answer.keyset, { model, now })
    return { key, checks: [checkOf('client.keyset.key', undefined, usable), manifest] }
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    const problem = { expected: usable, actual: error.message }
    return { key: undefined, checks: [checkOf('client.keyset.key', problem, ''), manifest] }
  }
}
