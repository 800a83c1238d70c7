import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJson, parseJsonSource, pointerStep } from '../../../src/core/encoding/json-source.ts'

const blame = { code: 'ERR_CONFIG_INVALID', at: 'config' } as const
const refused = expect.objectContaining({ code: 'ERR_CONFIG_INVALID', at: 'config' }) as Error

describe('parseJson', () => {
  it('reads what JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), fc.nat(2), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent)
        // The one difference wanted: a member that would name a prototype.
        fc.pre(!text.includes('__proto__'))
        // JSON.parse is no measure: V8 mixes names up (nodejs/node#63785). Nor does JSON have a -0.
        expect(parseJson(text, blame)).toEqual(withoutNegativeZero(value))
      }),
      { interruptAfterTimeLimit: 4_000 },
    )
  })

  it.each([
    ['nothing', ''],
    ['a member twice', '{"a":1,"a":1}'],
    ['a member twice, once escaped', '{"a":1,"\\u0061":2}'],
    ['a prototype', '{"__proto__":{}}'],
    ['a trailing comma', '{"a":1,}'],
    ['a trailing comma in an array', '[1,]'],
    ['a comment', '{} // no'],
    ['two values', '1 2'],
    ['a leading zero', '01'],
    ['a bare fraction', '.5'],
    ['infinity by exponent', '1e999'],
    ['a control character', '"\u0001"'],
    ['an unknown escape', '"\\x"'],
    ['a lone surrogate', '"\\ud800"'],
    ['a byte-order mark', '\ufeff{}'],
    ['an open object', '{"a":1'],
    ['an open array', '[1'],
    ['an open string', '"a'],
    ['no colon', '{"a" 1}'],
    ['a name that is no string', '{a:1}'],
    ['too deep', `${'['.repeat(34)}${']'.repeat(34)}`],
    ['far too deep', '['.repeat(200_000)],
  ])('refuses %s', (_, text) => {
    expect(() => parseJson(text, blame)).toThrow(refused)
  })

  it('takes what parseJsonSource takes, and as the same value', () => {
    const tokens = [
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a":',
      '"a":1,',
      '{"a":{"a":1}}',
      '1',
      'null',
      ' ',
    ]
    const texts = [
      '"a:b"',
      '"\\""',
      '"\\\\"',
      '"\\/"',
      '"/"',
      '"/":1,',
      '"\\/":1',
      '"\\u0061"',
      '"\\\\u"',
    ]
    const odd = ['"__proto__":1', '"\\ud800"', '"\ud800"', '1e999', '-0', '"', '\\', '\ufeff']
    const piece = fc.constantFrom(...tokens, ...texts, ...odd)
    const wrapped = fc
      .tuple(fc.constantFrom('{}', '[]', '  '), fc.array(piece, { maxLength: 8 }))
      .map(([around, pieces]) => `${around.charAt(0)}${pieces.join('')}${around.charAt(1)}`)
    const read = (parse: () => unknown): unknown => {
      try {
        return parse()
      } catch (err) {
        return err instanceof Error ? err.message : err
      }
    }
    let taken = 0
    fc.assert(
      fc.property(wrapped, (text) => {
        const value = read(() => parseJson(text, blame))
        if (typeof value !== 'string') taken++
        expect(value).toEqual(read(() => parseJsonSource(text, blame).value))
      }),
      { numRuns: 20_000, interruptAfterTimeLimit: 8_000 },
    )
    expect(taken).toBeGreaterThan(100)
  })

  it.each(['\\n', '\\"', '\\/', '\\\\', '\\r'])(
    'reads a name with %s as it stands, whatever was read before',
    (escape) => {
      // V8 remembers the name `\` of the first, and gives it to the second (nodejs/node#63785).
      JSON.parse('{"v8":1,"\\\\":1}')
      const name = JSON.parse(`"${escape}"`) as string
      expect(parseJson(`{"v8":1,"${escape}":"a\\nb"}`, blame)).toEqual({ v8: 1, [name]: 'a\nb' })
    },
  )

  it.each([32, 33])('nests %i deep as parseJsonSource does', (depth) => {
    for (const inside of ['', '1', '"a"', 'null']) {
      const text = `${'['.repeat(depth)}${inside}${']'.repeat(depth)}`
      let expected: unknown = 'refused'
      try {
        expected = parseJsonSource(text, blame).value
      } catch {
        // Too deep.
      }
      const found = (): unknown => parseJson(text, blame)
      if (expected === 'refused') expect(found).toThrow(refused)
      else expect(found()).toEqual(expected)
    }
  })

  it('garbage-is-typed', () => {
    const pieces = fc.constantFrom('{', '}', '[', ']', ',', ':', '"a"', '1', 'null', ' ', '"', '\\')
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (tokens) => {
        const text = tokens.join('')
        let ok = true
        try {
          parseJson(text, blame)
        } catch (err) {
          expect(err).toEqual(refused)
          ok = false
        }
        if (ok) expect(JSON.parse(text)).toBeDefined()
      }),
      { numRuns: 2_000, interruptAfterTimeLimit: 4_000 },
    )
  })
})

describe('parseJsonSource', () => {
  const text = '{\n  "a": [10,\n    {"b/c": true}]\n}'
  const source = parseJsonSource(text, blame)

  it('knows where values stand', () => {
    expect(source.valuePosition('')).toEqual({ line: 1, column: 1 })
    expect(source.valuePosition('/a')).toEqual({ line: 2, column: 8 })
    expect(source.valuePosition('/a/0')).toEqual({ line: 2, column: 9 })
    expect(source.valuePosition(`/a/1${pointerStep('b/c')}`)).toEqual({ line: 3, column: 13 })
    expect(source.valuePosition('/none')).toBeUndefined()
  })

  it('knows where names stand', () => {
    expect(source.namePosition('/a')).toEqual({ line: 2, column: 3 })
    expect(source.namePosition('/a/1/b~1c')).toEqual({ line: 3, column: 6 })
    expect(source.namePosition('/a/0')).toBeUndefined()
  })
})

function withoutNegativeZero(value: unknown): unknown {
  if (Object.is(value, -0)) return 0
  if (Array.isArray(value)) return value.map(withoutNegativeZero)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, withoutNegativeZero(member)]),
  )
}
