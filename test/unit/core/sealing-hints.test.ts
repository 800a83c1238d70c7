import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import {
  checkHints,
  encodeHints,
  type HintedApi,
  type Hints,
  parseHints,
} from '../../../src/core/sealing/hints.ts'
import { encodeDictionary, parseDictionary } from '../../../src/core/sealing/structured-fields.ts'

const blame = { code: 'ERR_HINTS_MALFORMED', at: 'hints' } as const

const FULL: Hints = {
  model: 'a "quoted" \\ model',
  api: 'chat',
  stream: true,
  maxOut: 512,
  n: 2,
  inMax: 0,
  nodes: [new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)],
  strategy: 'latency',
  resolution: '1080p',
  ratio: '16:9',
  duration: 5,
  frames: 121,
  tier: 'flex',
  priority: 9,
  audio: false,
  draft: true,
  videoIn: false,
  expiresAfter: 3600,
  prefix: [],
}

describe('hints', () => {
  it('there and back', () => {
    const text = encodeHints(FULL)
    expect(text).toContain('model="a \\"quoted\\" \\\\ model", api=chat, stream, max-out=512')
    expect(text).toContain('audio=?0')
    expect(text).toContain('nodes=(:AQEBAQEBAQEBAQEBAQEBAQ==: :AgICAgICAgICAgICAgICAg==:)')
    expect(text).toContain('prefix=()')
    expect(parseHints(text)).toEqual(FULL)
    expect(parseHints('')).toEqual({})
    expect(encodeHints({})).toBe('')
  })

  it.each([
    ['an unknown key', 'model="m", prompt="p"', 'hints.unknown'],
    ['a key twice', 'n=1, n=1', 'hints'],
    ['no blank after the comma', 'n=1,stream', 'hints'],
    ['two blanks', 'n=1,  stream', 'hints'],
    ['a comma at the end', 'n=1, ', 'hints'],
    ['a blank in front', ' n=1', 'hints'],
    ['an upper-case key', 'N=1', 'hints'],
    ['true spelled out', 'stream=?1', 'hints'],
    ['a parameter', 'model="m";x=1', 'hints'],
    ['a decimal', 'n=1.0', 'hints'],
    ['a leading zero', 'n=01', 'hints'],
    ['minus zero', 'n=-0', 'hints'],
    ['sixteen digits', 'n=1234567890123456', 'hints'],
    ['an open string', 'model="m', 'hints'],
    ['a string beyond ASCII', 'model="ü"', 'hints'],
    ['an escape that is none', 'model="\\n"', 'hints'],
    ['base64 without padding', 'nodes=(:AQ:)', 'hints'],
    ['base64 with loose bits', 'nodes=(:AR==:)', 'hints'],
    ['a list of tokens', 'nodes=(a b)', 'hints'],
    ['a byte sequence for a string', 'model=(:AQ==:)', 'hints.model'],
    ['a token for a string', 'model=m', 'hints.model'],
    ['a string for a token', 'api="chat"', 'hints.api'],
    ['an API there is not', 'api=telepathy', 'hints.api'],
    ['a boolean for an integer', 'n', 'hints.n'],
    ['a negative ceiling', 'max-out=-1', 'hints.max-out'],
    ['too long', `model="${'x'.repeat(9000)}"`, 'hints'],
  ])('%s: refused', (_, text, at) => {
    expect(() => parseHints(text)).toThrow(expect.objectContaining({ ...blame, at }))
  })

  it('what has no encoding is not written', () => {
    const bad: Hints[] = [{ model: 'ü' }, { n: 1.5 }, { n: 1e15 }, { resolution: 'a\nb' }]
    for (const hints of bad) expect(() => encodeHints(hints)).toThrow(RangeError)
    expect(() => encodeDictionary(new Map([['A', 1]]))).toThrow(RangeError)
    expect(() => encodeDictionary(new Map([['a', { token: '1' }]]))).toThrow(RangeError)
  })

  it('accepted-is-canonical', () => {
    const alphabet = 'amn1-=?0"\\(): ,A;.'.split('')
    const text = fc.oneof(
      fc.array(fc.constantFrom(...alphabet)).map((chars) => chars.join('')),
      fc.tuple(fc.nat({ max: 300 }), fc.constantFrom(...alphabet)).map(([at, char]) => {
        const good = encodeHints(FULL)
        const i = at % good.length
        return good.slice(0, i) + char + good.slice(i + 1)
      }),
      fc.string(),
    )
    fc.assert(
      fc.property(text, (candidate) => {
        try {
          expect(encodeDictionary(parseDictionary(candidate, blame))).toBe(candidate)
        } catch (error) {
          if (!(error instanceof VouchsafeError)) throw error
        }
      }),
      { numRuns: 3000, interruptAfterTimeLimit: 3000, markInterruptAsFailure: false },
    )
  })
})

describe('hints against the request', () => {
  const check = (hints: Hints, body: Json | undefined, api: HintedApi = 'chat') => {
    const text = encodeHints(hints)
    return checkHints({ outer: text, inner: text, api, body })
  }
  const mismatch = (at: string): unknown =>
    expect.objectContaining({ code: 'ERR_HINTS_MISMATCH', at })

  it('outside and inside are the same bytes, on both sides or on none', () => {
    const inner = 'model="m"'
    for (const outer of ['model="n"', 'model="m", n=1', '', undefined]) {
      expect(() => checkHints({ outer, inner, api: 'chat', body: { model: 'm' } })).toThrow(
        mismatch('hints'),
      )
      expect(() =>
        checkHints({ outer: inner, inner: outer, api: 'chat', body: { model: 'm' } }),
      ).toThrow(mismatch('hints'))
    }
    const none = checkHints({ outer: undefined, inner: undefined, api: 'chat', body: { n: 9 } })
    expect(none).toEqual({ hints: undefined, body: { n: 9 } })
  })

  it.each<[string, Hints, Json, HintedApi, string]>([
    ['another model', { model: 'm' }, { model: 'big' }, 'chat', 'hints.model'],
    ['no model in the body', { model: 'm' }, {}, 'chat', 'hints.model'],
    ['a stream that was not hinted', { stream: false }, { stream: true }, 'chat', 'hints.stream'],
    ['another API', { api: 'embeddings' }, {}, 'chat', 'hints.api'],
    ['more choices', { n: 2 }, { n: 3 }, 'chat', 'hints.n'],
    ['more choices than the one without a hint', {}, { n: 2 }, 'chat', 'hints.n'],
    ['a count that is text', {}, { n: '1' }, 'chat', 'hints.n'],
    ['a higher ceiling', { maxOut: 5 }, { max_completion_tokens: 6 }, 'chat', 'hints.maxOut'],
    ['a higher old ceiling', { maxOut: 5 }, { max_tokens: 6 }, 'chat', 'hints.maxOut'],
    [
      'one of two ceilings higher',
      { maxOut: 5 },
      { max_completion_tokens: 5, max_tokens: 6 },
      'chat',
      'hints.maxOut',
    ],
    ['a ceiling that is text', { maxOut: 5 }, { max_tokens: '5' }, 'completions', 'hints.maxOut'],
    [
      'a higher ceiling of responses',
      { maxOut: 5 },
      { max_output_tokens: 6 },
      'responses',
      'hints.maxOut',
    ],
    [
      'a higher resolution',
      { resolution: '480p' },
      { resolution: '1080p' },
      'video',
      'hints.resolution',
    ],
    ['a longer video', { duration: 5 }, { duration: 10 }, 'video', 'hints.duration'],
    ['a length of its own', { duration: 5 }, {}, 'video', 'hints.duration'],
    ['sound', { audio: false }, { generate_audio: true }, 'video', 'hints.audio'],
    ['another tier', { tier: 'flex' }, { service_tier: 'default' }, 'video', 'hints.tier'],
  ])('%s: refused', (...[, hints, body, api, at]) => {
    expect(() => check(hints, body, api)).toThrow(mismatch(at))
  })

  it('a missing ceiling becomes the hinted one', () => {
    expect(check({ maxOut: 5 }, { model: 'm' }).body).toEqual({
      model: 'm',
      max_completion_tokens: 5,
    })
    expect(check({ maxOut: 5 }, { max_tokens: null }).body).toMatchObject({
      max_completion_tokens: 5,
    })
    expect(check({ maxOut: 5 }, {}, 'responses').body).toEqual({ max_output_tokens: 5 })
    expect(check({ maxOut: 5 }, {}, 'completions').body).toEqual({ max_tokens: 5 })
    expect(check({ maxOut: 5 }, {}, 'embeddings').body).toEqual({})
    expect(check({ maxOut: 5 }, { max_tokens: 4 }).body).toEqual({ max_tokens: 4 })
    expect(check({ n: 2 }, { n: 2 }).body).toEqual({ n: 2 })
    expect(check({ stream: false }, {}).body).toEqual({})
    expect(check({ model: 'm' }, undefined).body).toBeUndefined()
  })

  it('input-is-untouched', () => {
    const body = Object.freeze({ model: 'm' })
    check({ model: 'm', maxOut: 1 }, body)
    expect(body).toEqual({ model: 'm' })
  })
})
