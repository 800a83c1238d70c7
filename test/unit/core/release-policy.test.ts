import { describe, expect, it } from 'vitest'
import { canonicalJson, type Json } from '../../../src/core/encoding/canonical-json.ts'
import { formatClaimPath, lookUp, parseClaimPath } from '../../../src/core/keys/claim-path.ts'
import { evaluateReleasePolicy } from '../../../src/core/keys/evaluate.ts'
import {
  parseReleasePolicy,
  releasePolicyDigest,
  releasePolicyToJson,
} from '../../../src/core/keys/release-policy.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'

const NOW = 1_790_000_000
const blame = { code: 'ERR_POLICY_INVALID', at: 'test' } as const
const token = {
  iss: 'https://v',
  n: 5,
  s: 'kernel-6.12',
  b: false,
  list: ['x', 'y'],
  none: null,
  date: '2026-05-14T00:00:00Z',
  issued: NOW - 50,
  'a.b': { 'c\\d': 1 },
  devices: { gpu0: { ok: true, n: 1 }, gpu1: { ok: true, n: 2 } },
} as const satisfies Json

const policyOf = (...allOf: unknown[]) => parseReleasePolicy({ version: '1.0.0', allOf })
const holds = (...allOf: unknown[]) => evaluateReleasePolicy(policyOf(...allOf), token, NOW).met

describe('operators', () => {
  it.each<[Json, boolean]>([
    [{ claim: 'n', equals: 5 }, true],
    [{ claim: 'n', equals: '5' }, false],
    [{ claim: 'list', equals: ['x', 'y'] }, true],
    [{ claim: 'list', equals: ['y', 'x'] }, false],
    [{ claim: 'list.1', equals: 'y' }, true],
    [{ claim: 'list.01', equals: 'y' }, false],
    [{ claim: 'b', equals: false }, true],
    [{ claim: 'n', notEquals: 6 }, true],
    [{ claim: 'n', notEquals: 5 }, false],
    [{ claim: 'gone', notEquals: 5 }, false],
    [{ claim: 'none', notEquals: 5 }, false],
    [{ claim: 'n', less: 6 }, true],
    [{ claim: 'n', less: 5 }, false],
    [{ claim: 'n', lessOrEquals: 5 }, true],
    [{ claim: 'n', greater: 5 }, false],
    [{ claim: 'n', greater: 4 }, true],
    [{ claim: 'n', greaterOrEquals: 5 }, true],
    [{ claim: 's', greater: 1 }, false],
    [{ claim: 'date', greaterOrEquals: '2026-05-14' }, true],
    [{ claim: 'date', greater: '2026-05-14' }, false],
    [{ claim: 'date', less: 5 }, false],
    [{ claim: 'n', in: [4, 5] }, true],
    [{ claim: 'n', in: ['5'] }, false],
    [{ claim: 'gone', in: [5] }, false],
    [{ claim: 'n', notIn: [4] }, true],
    [{ claim: 'n', notIn: [5] }, false],
    [{ claim: 'gone', notIn: [5] }, false],
    [{ claim: 's', prefix: 'kernel-6.' }, true],
    [{ claim: 's', prefix: 'kernel-7.' }, false],
    [{ claim: 'n', prefix: '5' }, false],
    [{ claim: 'issued', within: 60 }, true],
    [{ claim: 'issued', within: 10 }, false],
    [{ claim: 's', within: 10 }, false],
    [{ claim: 'n', exists: true }, true],
    [{ claim: 'none', exists: true }, false],
    [{ claim: 'gone', exists: false }, true],
    [{ claim: 'n', exists: false }, false],
    [{ claim: String.raw`a\.b.c\\d`, equals: 1 }, true],
    [{ claim: ['a.b', String.raw`c\d`], equals: 1 }, true],
    [{ claim: '__proto__.constructor', exists: true }, false],
    [{ claim: 'list.length', exists: true }, false],
  ])('%j is %s', (condition, want) => {
    expect(holds(condition)).toBe(want)
  })
})

describe('groups', () => {
  const yes = { claim: 'n', equals: 5 }
  const no = { claim: 'n', equals: 6 }
  const unknown = { claim: 'gone', equals: 6 }
  it.each<[Json, boolean]>([
    [{ anyOf: [no, yes] }, true],
    [{ anyOf: [unknown, yes] }, true],
    [{ anyOf: [unknown, no] }, false],
    [{ allOf: [yes, no] }, false],
    [{ allOf: [yes, unknown] }, false],
    [{ not: no }, true],
    [{ not: yes }, false],
    [{ not: unknown }, false],
    [{ not: { not: unknown } }, false],
    [{ not: { allOf: [no, unknown] } }, true],
    [{ not: { anyOf: [no, unknown] } }, false],
    [{ authority: 'https://v', anyOf: [yes] }, true],
    [{ authority: 'https://w', anyOf: [yes] }, false],
    [{ forEach: 'devices', allOf: [{ claim: 'ok', equals: true }] }, true],
    [{ forEach: 'devices', anyOf: [{ claim: 'n', equals: 1 }] }, false],
    [{ forEach: 'gone', allOf: [yes] }, false],
    [{ not: { forEach: 'gone', allOf: [yes] } }, false],
  ])('%j is %s', (node, want) => {
    expect(holds(node)).toBe(want)
  })

  it('says which condition was not met, what it wanted and what there was', () => {
    const policy = policyOf(yes, { anyOf: [no, unknown] })
    expect(evaluateReleasePolicy(policy, token, NOW)).toEqual({
      met: false,
      unmet: [
        { at: 'policy.allOf.1.anyOf.0', claim: 'n', expected: 'equals 6', actual: '5' },
        { at: 'policy.allOf.1.anyOf.1', claim: 'gone', expected: 'equals 6', actual: 'absent' },
      ],
    })
  })
})

describe('parsing', () => {
  it('reads lower case, gives camel case, and one digest for both', async () => {
    const lower = { version: '1.0.0', anyof: [{ allof: [{ claim: 'n', greaterorequals: 1 }] }] }
    const camel = { version: '1.0.0', anyOf: [{ allOf: [{ claim: ['n'], greaterOrEquals: 1 }] }] }
    const [a, b] = [parseReleasePolicy(lower), parseReleasePolicy(camel)]
    expect(canonicalJson(releasePolicyToJson(a))).toBe(
      '{"anyOf":[{"allOf":[{"claim":"n","greaterOrEquals":1}]}],"version":"1.0.0"}',
    )
    const crypto = createCrypto()
    expect(await releasePolicyDigest(a, crypto)).toBe(await releasePolicyDigest(b, crypto))
    expect(parseReleasePolicy(releasePolicyToJson(a))).toEqual(a)
  })

  const deep = Array.from({ length: 9 }).reduce<unknown>((node) => ({ not: node }), {
    claim: 'a',
    equals: 1,
  })
  it.each<[string, unknown]>([
    ['policy', null],
    ['policy', []],
    ['policy.version', { anyOf: [{ claim: 'a', equals: 1 }] }],
    ['policy.version', { version: '2.0.0', anyOf: [{ claim: 'a', equals: 1 }] }],
    ['policy.anyOf', { version: '1.0.0' }],
    ['policy.anyOf', { version: '1.0.0', anyOf: [] }],
    ['policy', { version: '1.0.0', anyOf: [], allOf: [] }],
    ['policy', { version: '1.0.0', anyOf: [], anyof: [] }],
    ['policy', { version: '1.0.0', not: { claim: 'a', equals: 1 } }],
    ['policy.anyOf.0', { version: '1.0.0', anyOf: [{ claim: 'a' }] }],
    ['policy.anyOf.0', { version: '1.0.0', anyOf: [{ claim: 'a', equals: 1, less: 2 }] }],
    ['policy.anyOf.0', { version: '1.0.0', anyOf: [{ claim: 'a', matches: '.*' }] }],
    ['policy.anyOf.0', { version: '1.0.0', anyOf: [{ claim: 'a', Equals: 1 }] }],
    ['policy.anyOf.0', { version: '1.0.0', anyOf: [{ claim: 'a', toString: 1 }] }],
    ['policy.anyOf.0', { version: '1.0.0', anyOf: [{ claim: 'a', equals: 1, authority: 'x' }] }],
    ['policy.anyOf.0', { version: '1.0.0', anyOf: [{ not: {}, allOf: [] }] }],
    ['policy.anyOf.0.equals', { version: '1.0.0', anyOf: [{ claim: 'a', equals: null }] }],
    ['policy.anyOf.0.equals', { version: '1.0.0', anyOf: [{ claim: 'a', equals: 1.5 }] }],
    ['policy.anyOf.0.less', { version: '1.0.0', anyOf: [{ claim: 'a', less: 'abc' }] }],
    ['policy.anyOf.0.less', { version: '1.0.0', anyOf: [{ claim: 'a', less: '2026-13-01' }] }],
    ['policy.anyOf.0.in', { version: '1.0.0', anyOf: [{ claim: 'a', in: [] }] }],
    ['policy.anyOf.0.in', { version: '1.0.0', anyOf: [{ claim: 'a', in: 'a' }] }],
    ['policy.anyOf.0.prefix', { version: '1.0.0', anyOf: [{ claim: 'a', prefix: '' }] }],
    ['policy.anyOf.0.within', { version: '1.0.0', anyOf: [{ claim: 'a', within: 0 }] }],
    ['policy.anyOf.0.exists', { version: '1.0.0', anyOf: [{ claim: 'a', exists: 'yes' }] }],
    ['policy.anyOf.0.claim', { version: '1.0.0', anyOf: [{ claim: 'a..b', equals: 1 }] }],
    ['policy.anyOf.0.claim', { version: '1.0.0', anyOf: [{ claim: '', equals: 1 }] }],
    ['policy.anyOf.0.claim', { version: '1.0.0', anyOf: [{ claim: 'a.', equals: 1 }] }],
    ['policy.anyOf.0.claim', { version: '1.0.0', anyOf: [{ claim: String.raw`a\b`, equals: 1 }] }],
    ['policy.anyOf.0.authority', { version: '1.0.0', anyOf: [{ authority: '', anyOf: [{}] }] }],
    [
      'policy.anyOf.0.equals',
      { version: '1.0.0', anyOf: [{ claim: 'a', equals: 'x'.repeat(5000) }] },
    ],
    ['policy.anyOf', { version: '1.0.0', anyOf: Array(65).fill({ claim: 'a', equals: 1 }) }],
    [
      'policy',
      {
        version: '1.0.0',
        anyOf: Array(10).fill({ allOf: Array(30).fill({ claim: 'a', equals: 1 }) }),
      },
    ],
    ['policy.anyOf.0.not.not.not.not.not.not.not', { version: '1.0.0', anyOf: [deep] }],
  ])('refuses at %s: %j', (at, value) => {
    expect(() => parseReleasePolicy(value)).toThrow(
      expect.objectContaining({ code: 'ERR_POLICY_INVALID', at }),
    )
  })
})

describe('claim paths', () => {
  it.each([['a'], ['a', 'b'], ['a.b'], ['a\\', 'b'], ['\\.'], ['.', '\\']])(
    'format and parse %j',
    (...path) => {
      expect(parseClaimPath(formatClaimPath(path), blame)).toEqual(path)
    },
  )
  it('finds no inherited member', () => {
    expect(lookUp({}, ['toString'])).toBeUndefined()
    expect(lookUp([], ['length'])).toBeUndefined()
    expect(lookUp('text', ['0'])).toBeUndefined()
  })
})
