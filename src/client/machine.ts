/**
 * The machine below an enclave: its CPU and every device that its statement names, each appraised here
 * by the policy that was pinned for its format.
 *
 * @packageDocumentation
 */
import { appraise } from '../core/appraisal/appraise.ts'
import type { Check } from '../core/appraisal/check.ts'
import { checkTogether, nameSubmodules, type Submodules } from '../core/appraisal/composite.ts'
import { bindParts } from '../core/appraisal/parts.ts'
import type { AttestationResult } from '../core/appraisal/result.ts'
import { withShipped } from '../core/endorsements/shipped.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Memo } from '../core/evidence/common/memo.ts'
import type { CryptoProvider } from '../core/ports/crypto.ts'
import type { KeysetAnswer } from './keyset-answer.ts'
import type { ClientPin } from './pin.ts'

/** Results by submodule, and all checks in one list: those of a device begin with its name. */
export interface AppraisedMachine {
  readonly submodules: Submodules
  readonly checks: readonly Check[]
}

/** What was shown, and what it must be. */
interface Shown {
  readonly answer: KeysetAnswer
  readonly pin: ClientPin
  readonly nonce: Uint8Array
  readonly now: Date
}

/**
 * Appraises every part, and all of them together.
 *
 * @throws {@link VouchsafeError} as {@link appraise}; `ERR_POLICY_INVALID` at `pin.policies` if none
 *   is pinned for a format.
 */
export async function appraiseMachine(
  { answer, pin, nonce, now }: Shown,
  tools: { readonly crypto: CryptoProvider; readonly memo: Memo },
): Promise<AppraisedMachine> {
  const { statement, evidence: parts, endorsements: given } = answer
  const { referenceValues, anchors } = pin
  const question = { nonce: { require: nonce }, statement }
  const bound = await bindParts(parts, question, tools.crypto)
  const results = await Promise.all(
    bound.map(async ({ part: { format, evidence }, binding }) => {
      const policy = pin.policies.find((candidate) => candidate.format === format)
      if (policy === undefined) {
        const blame = { code: 'ERR_POLICY_INVALID', at: 'pin.policies' } as const
        throw new VouchsafeError(blame, `no policy is pinned for ${format} evidence`)
      }
      const endorsements = withShipped(format, given)
      const input = { format, evidence, endorsements, referenceValues, policy, binding }
      return appraise({ ...input, anchors, now }, tools)
    }),
  )
  const submodules = nameSubmodules(results)
  return { submodules, checks: [...listChecks(submodules), checkDevices(results, pin)] }
}

/** The CPU's under their own ids, since for most machines they are all there is. */
function listChecks(submodules: Submodules): readonly Check[] {
  const [cpu, ...devices] = Object.entries(submodules)
  const own = cpu?.[1].checks ?? []
  if (devices.length === 0) return own
  const others = devices.flatMap(([name, { checks }]) =>
    checks.map((check) => ({ ...check, id: `${name}.${check.id}` })),
  )
  return [...own, ...others, ...checkTogether(submodules)]
}

/** Are there as many devices as we meant to rely on? What nobody counts can be left out. */
function checkDevices(results: readonly AttestationResult[], { devices }: ClientPin): Check {
  const id = 'client.devices'
  const countOf = (format: string): number =>
    results.filter((result) => result.format === format).length
  if (devices.size === 0) {
    const formats = new Set(results.slice(1).map(({ format }) => format))
    const actual = [...formats].map((format) => `${countOf(format)} ${format}`).join(', ')
    const expected = 'any (no devices are pinned)'
    return { id, outcome: 'waived', expected, actual: actual || 'none' }
  }
  const wanted = [...devices]
  return {
    id,
    outcome: wanted.every(([format, least]) => countOf(format) >= least) ? 'pass' : 'fail',
    expected: wanted.map(([format, least]) => `at least ${least} ${format}`).join(', '),
    actual: wanted.map(([format]) => `${countOf(format)} ${format}`).join(', '),
  }
}
