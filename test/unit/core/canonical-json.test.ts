/** Canonical JSON against what RFC 8785 says of names, texts and numbers. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson, type Json } from '../../../src/core/encoding/canonical-json.ts'
import { parseJson } from '../../../src/core/encoding/json-source.ts'

const BLAME = { code: 'ERR_REQUEST_INVALID', at: 'json' } as const

/** The same by the engine: of whole numbers, only the order of members needs our own code. */
function reference(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(reference).join(',')}]`
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${reference(member)}`).join(',')}}`
}

describe('canonicalJson', () => {
  it('is what the engine writes, with members in order', () => {
    // What no reader of ours takes, whoever wrote it, is below.
    const name = fc.string().filter((one) => one !== '__proto__')
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'binary-ascii' }),
        fc.maxSafeInteger(),
        fc.boolean(),
        fc.constantFrom(null, undefined),
        fc.array(tie('tree').filter((item) => item !== undefined)),
        fc.dictionary(fc.oneof(name, fc.nat(30).map(String)), tie('tree')),
      ),
    }))
    fc.assert(
      fc.property(tree, (value) => {
        fc.pre(value !== undefined)
        const text = canonicalJson(value as Json)
        expect(text).toBe(reference(value))
        expect(canonicalJson(parseJson(text, BLAME))).toBe(text)
      }),
      { numRuns: 2_000, interruptAfterTimeLimit: 8_000 },
    )
  })

  it('writes a member named __proto__ as any other, and it is not read back', () => {
    const text = canonicalJson([{ ['__proto__']: '' }])
    expect(text).toBe('[{"__proto__":""}]')
    const refusal: unknown = expect.objectContaining({ code: BLAME.code })
    expect(() => parseJson(text, BLAME)).toThrow(refusal)
  })

  it.each([
    // RFC 8785 §3.2.3: by UTF-16 code units, so an astral letter comes before U+FB33.
    [
      { '\ufb33': 1, '\u{1f600}': 2, '\u20ac': 3, '10': 4, '9': 5, '': 6 },
      '{"":6,"10":4,"9":5,"€":3,"😀":2,"\ufb33":1}',
    ],
    [
      '"\\/\b\f\n\r\t\u0000\u001f\u007f\u2028é',
      '"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u007f\u2028é"',
    ],
    [-0, '0'],
    [[Number.MAX_SAFE_INTEGER, -1, null, true], '[9007199254740991,-1,null,true]'],
  ] as const)('%j', (value, expected) => {
    expect(canonicalJson(value)).toBe(expected)
  })

  it.each([1.5, Number.NaN, Infinity, 2 ** 53, '\ud800', 'a\udc00b', { '\ud800': 1 }])(
    'refuses %j',
    (value) => {
      expect(() => canonicalJson(value as Json)).toThrow(RangeError)
      expect(() => canonicalJson([value as Json])).toThrow(RangeError)
    },
  )
})
