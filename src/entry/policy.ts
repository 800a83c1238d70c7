/** `vouchsafe/policy`: policies and reference values. @packageDocumentation */
export type { Fixed, Requirement } from '../core/appraisal/check.ts'
export {
  encodePolicy,
  type Policy,
  type PolicyProblem,
  parsePolicy,
  policyDigest,
  policyToJson,
  readPolicy,
} from '../core/appraisal/policy.ts'
export { lintPolicy } from '../core/appraisal/policy-lint.ts'
export { policySchema } from '../core/appraisal/policy-schema.ts'
export {
  parseReferenceValues,
  type ReferenceValueEntry,
  type ReferenceValueSet,
  referenceValuesDigest,
} from '../core/reference-values/reference-values.ts'
