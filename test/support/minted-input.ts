import type { AppraisalInput } from '../../src/core/appraisal/appraise.ts'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import type { FormatId } from '../../src/core/evidence/common/format-ids.ts'
import { shippedPolicy } from './appraisal.ts'
import { mintCase } from './mint-case.ts'

/** An appraisal of minted evidence that is affirming under the policy that asks nothing of software. */
export function mintedInput(format: FormatId): AppraisalInput {
  const unchecked = { unchecked: 'a test' }
  const policy = format === 'simulated' ? 'development' : `authentic-${format}`
  return {
    ...mintCase(format, {}),
    format,
    referenceValues: [],
    policy: parsePolicy(shippedPolicy(policy)),
    binding: { nonce: unchecked, reportData: unchecked },
  }
}
