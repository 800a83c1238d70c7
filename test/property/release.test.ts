import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { decodeDecisionInput, encodeDecisionInput } from '../../src/core/keys/decision-record.ts'
import { evaluateReleasePolicy } from '../../src/core/keys/evaluate.ts'
import { decideRelease } from '../../src/core/keys/release.ts'
import { parseReleasePolicy, releasePolicyToJson } from '../../src/core/keys/release-policy.ts'
import { decisionInput } from '../support/release.ts'

const NOW = 1_790_000_000
const bounded = { interruptAfterTimeLimit: 4000, markInterruptAsFailure: false } as const

const name = fc.constantFrom('a', 'b', 'c.d', 'e\\')
const scalar = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom('x', 'xy'), fc.boolean())
const claims = fc.dictionary(
  name,
  fc.oneof(scalar, fc.dictionary(name, scalar, { noNullPrototype: true })),
  { noNullPrototype: true },
) as fc.Arbitrary<Readonly<Record<string, Json>>>
const claim = fc.array(name, { minLength: 1, maxLength: 2 })

/** No `exists`, which asks about absence itself, and no `forEach`, which counts what is there. */
const condition = fc.oneof(
  fc.record({ claim, equals: scalar }),
  fc.record({ claim, notEquals: scalar }),
  fc.record({ claim, less: fc.integer({ min: -3, max: 3 }) }),
  fc.record({ claim, greaterOrEquals: fc.integer({ min: -3, max: 3 }) }),
  fc.record({ claim, in: fc.array(scalar, { minLength: 1, maxLength: 3 }) }),
  fc.record({ claim, notIn: fc.array(scalar, { minLength: 1, maxLength: 3 }) }),
  fc.record({ claim, prefix: fc.constantFrom('x', 'xy') }),
)
const { node } = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    condition,
    fc.record({ not: tie('node') }),
    fc.record({ allOf: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ anyOf: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }),
  ),
}))
const policies = fc.record({
  version: fc.constant('1.0.0'),
  allOf: fc.array(node, { minLength: 1, maxLength: 3 }),
})

it('absent-never-passes: no claim that goes missing opens anything', () => {
  fc.assert(
    fc.property(policies, claims, (value, given) => {
      const policy = parseReleasePolicy(value)
      if (evaluateReleasePolicy(policy, given, NOW).met) return
      for (const gone of Object.keys(given)) {
        const less = Object.fromEntries(Object.entries(given).filter(([name]) => name !== gone))
        expect(evaluateReleasePolicy(policy, less, NOW).met).toBe(false)
      }
    }),
    { ...bounded, numRuns: 2000 },
  )
})

it('tightening-never-helps: one condition more never opens anything', () => {
  fc.assert(
    fc.property(policies, node, claims, (value, more, given) => {
      const tighter = parseReleasePolicy({ ...value, allOf: [...value.allOf, more] })
      if (evaluateReleasePolicy(tighter, given, NOW).met) {
        expect(evaluateReleasePolicy(parseReleasePolicy(value), given, NOW).met).toBe(true)
      }
    }),
    { ...bounded, numRuns: 1000 },
  )
})

it('accepted-is-canonical: what is accepted, written out and read again is the same', () => {
  fc.assert(
    fc.property(policies, (value) => {
      const policy = parseReleasePolicy(value)
      expect(parseReleasePolicy(releasePolicyToJson(policy))).toEqual(policy)
    }),
    bounded,
  )
})

it('garbage-is-typed: any policy, any claims, any record', () => {
  const typed = (work: () => unknown): void => {
    try {
      work()
    } catch (err) {
      expect(err).toBeInstanceOf(VouchsafeError)
    }
  }
  const garbage = fc.jsonValue({ noUnicodeString: false }) as fc.Arbitrary<Json>
  fc.assert(
    fc.property(garbage, fc.uint8Array({ maxLength: 200 }), (value, bytes) => {
      typed(() => parseReleasePolicy(value))
      typed(() => parseReleasePolicy({ version: '1.0.0', anyOf: [value] }))
      typed(() => decodeDecisionInput(bytes))
      const input = decisionInput({ claims: value })
      typed(() => encodeDecisionInput(input))
      typed(() => decideRelease(input))
    }),
    bounded,
  )
})

it('truncation-is-typed: every prefix of a record', () => {
  const bytes = encodeDecisionInput(decisionInput())
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decodeDecisionInput(bytes.subarray(0, length))).toThrow(VouchsafeError)
  }
})
