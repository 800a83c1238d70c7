import { describe, expect, it } from 'vitest'
import type { ErrorCode } from '../../../src/core/errors.ts'
import { detectFormat, openEvidence } from '../../../src/core/evidence/formats.ts'
import { describePassport, parsePassport } from '../../../src/core/evidence/passport/evidence.ts'
import { PASSPORT_FORMATS } from '../../../src/core/evidence/passport/format.ts'
import { mintJws, mintPassport } from '../../../src/testing/index.ts'
import { passportIssuer } from '../../support/mint-case.ts'
import { KINDS, NOW } from '../../support/passports.ts'

const MALFORMED = 'ERR_EVIDENCE_MALFORMED'
const UNSUPPORTED = 'ERR_EVIDENCE_UNSUPPORTED'
const issuer = passportIssuer('ear')
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const b64 = (text: string): string => Buffer.from(text).toString('base64url')
const good = Buffer.from(mintPassport({ issuer, at: NOW })).toString()
const [head = '', body = '', tail = ''] = good.split('.')
const withHeader = (text: string): string => mintJws({ issuer, at: NOW, headerText: text })
const withPayload = (text: string): string => mintJws({ issuer, at: NOW, payloadText: text })

describe('a token', () => {
  it('is found by its shape, each kind as its own', () => {
    for (const kind of KINDS) {
      const token = mintPassport({ issuer: passportIssuer(kind), at: NOW })
      expect(detectFormat(token).id).toBe(kind)
      const found = Object.values(PASSPORT_FORMATS).filter((format) => format.detects(token))
      expect(found.map(({ id }) => id)).toEqual([kind])
    }
  })

  it('may be the token of an issuer’s answer, and end with a newline', () => {
    for (const text of [`${good}\n`, `\r\n ${good}`, JSON.stringify({ token: good, other: 1 })]) {
      expect(openEvidence(bytes(text))).toMatchObject({ format: { id: 'ear' } })
      expect(parsePassport(bytes(text), 'ear').token.text).toBe(good)
    }
  })

  it('is described with every claim, and proves nothing by it', () => {
    const names = describePassport(parsePassport(bytes(good), 'ear')).map(({ name }) => name)
    expect(names).toContain('header alg')
    expect(names).toContain('submods')
    expect(names).toContain('signature')
    const nras = mintPassport({ issuer: passportIssuer('nvidia-nras'), at: NOW })
    const fields = describePassport(parsePassport(nras, 'nras'))
    expect(fields).toContainEqual({ name: 'GPU-0 dbgstat', value: 'disabled' })
  })

  it('keeps its bytes apart from what it was given', () => {
    const given = bytes(good)
    const parsed = parsePassport(given, 'ear')
    given.fill(0)
    expect(parsed.token.text).toBe(good)
  })

  it.each<[string, string, ErrorCode]>([
    ['nothing', '', MALFORMED],
    ['two parts', `${head}.${body}`, MALFORMED],
    ['four parts', `${good}.x`, MALFORMED],
    ['five parts, as encrypted ones have', `${good}.x.y`, MALFORMED],
    ['an empty header', `.${body}.${tail}`, MALFORMED],
    ['an empty payload', `${head}..${tail}`, MALFORMED],
    ['padding', `${head}=.${body}.${tail}`, MALFORMED],
    ['standard base64', `${head}.${body}+/.${tail}`, MALFORMED],
    ['blanks inside', `${head}. ${body}.${tail}`, MALFORMED],
    ['bits that say nothing', `${head}.${body}.${tail.slice(0, -1)}B`, MALFORMED],
    ['a header that is a list', `${b64('[]')}.${body}.${tail}`, MALFORMED],
    ['a header without alg', withHeader('{"typ":"JWT"}'), MALFORMED],
    ['an alg that is no text', withHeader('{"alg":["ES256"]}'), MALFORMED],
    ['alg twice', withHeader('{"alg":"ES256","alg":"none"}'), MALFORMED],
    ['alg twice, once escaped', withHeader('{"alg":"ES256","\\u0061lg":"none"}'), MALFORMED],
    ['a kid that is no text', withHeader('{"alg":"ES256","kid":1}'), MALFORMED],
    ['a typ that is no text', withHeader('{"alg":"ES256","typ":null}'), MALFORMED],
    ['x5c that is no list', withHeader('{"alg":"ES256","x5c":"MII"}'), MALFORMED],
    ['x5c with anything but texts', withHeader('{"alg":"ES256","x5c":[1]}'), MALFORMED],
    ['a prototype', withHeader('{"alg":"ES256","__proto__":{"kid":"x"}}'), MALFORMED],
    ['crit', withHeader('{"alg":"ES256","crit":["exp"],"exp":1}'), UNSUPPORTED],
    ['b64, unencoded', withHeader('{"alg":"ES256","b64":false,"crit":["b64"]}'), UNSUPPORTED],
    ['b64, encoded', withHeader('{"alg":"ES256","b64":true}'), UNSUPPORTED],
    ['compression', withHeader('{"alg":"ES256","zip":"DEF"}'), UNSUPPORTED],
    ['encryption', withHeader('{"alg":"ES256","enc":"A128GCM"}'), UNSUPPORTED],
    ['an unknown parameter', withHeader('{"alg":"ES256","x-kid":"a"}'), UNSUPPORTED],
    ['a payload that is text', withPayload('"ear"'), MALFORMED],
    ['a payload that is null', withPayload('null'), MALFORMED],
    ['a claim twice', withPayload('{"iss":"a","iss":"b"}'), MALFORMED],
    ['a claim twice, deep down', withPayload('{"submods":{"a":{"x":1,"x":2}}}'), MALFORMED],
    ['text after the claims', withPayload('{} {}'), MALFORMED],
    ['a number beyond a double', withPayload('{"iat":1e999}'), MALFORMED],
    ['half a character', withPayload('{"iss":"\\ud800"}'), MALFORMED],
    [
      'claims deeper than anyone looks',
      withPayload(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`),
      MALFORMED,
    ],
    ['a byte order mark', withPayload('\ufeff{}'), MALFORMED],
    ['JSON without a token', '{"tokens":"x"}', MALFORMED],
    ['a token that is no text', '{"token":["x"]}', MALFORMED],
    ['an empty list', '[]', MALFORMED],
    ['a bundle of another type', `[["CWT","${good}"],{"GPU-0":"${good}"}]`, MALFORMED],
    ['a bundle without detached tokens', `[["JWT","${good}"],{}]`, MALFORMED],
    ['a bundle with no second part', `[["JWT","${good}"]]`, MALFORMED],
    ['a bundle with a third part', `[["JWT","${good}"],{"GPU-0":"${good}"},{}]`, MALFORMED],
    ['a bundle with more in its head', `[["JWT","${good}",1],{"GPU-0":"${good}"}]`, MALFORMED],
    ['a detached token that is none', `[["JWT","${good}"],{"GPU-0":{}}]`, MALFORMED],
    [
      'a detached token twice',
      `[["JWT","${good}"],{"GPU-0":"${good}","GPU-0":"${good}"}]`,
      MALFORMED,
    ],
    ['a name with a control character', `[["JWT","${good}"],{"GPU\\n0":"${good}"}]`, MALFORMED],
    [
      'more devices than anyone has',
      JSON.stringify([
        ['JWT', good],
        Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`G${i}`, good])),
      ]),
      MALFORMED,
    ],
  ])('refuses %s', (_, text, code) => {
    expect(() => parsePassport(bytes(text), 'ear')).toThrow(expect.objectContaining({ code }))
    for (const format of Object.values(PASSPORT_FORMATS)) format.detects(bytes(text))
  })

  it('refuses what is not UTF-8, outside and inside', () => {
    expect(() => parsePassport(Uint8Array.of(0x65, 0x79, 0xff), 'ear')).toThrow(
      expect.objectContaining({ code: MALFORMED }),
    )
    const latin = Buffer.from('{"iss":"\xe9"}', 'latin1').toString('base64url')
    expect(() => parsePassport(bytes(`${head}.${latin}.${tail}`), 'ear')).toThrow(
      expect.objectContaining({ code: MALFORMED }),
    )
  })

  it('is at most 128 KiB', () => {
    const padded = (size: number): Uint8Array => bytes(good.padEnd(size, '\n'))
    expect(parsePassport(padded(128 * 1024), 'ear').token.text).toBe(good)
    expect(() => parsePassport(padded(128 * 1024 + 1), 'ear')).toThrow(
      expect.objectContaining({ code: MALFORMED, at: 'ear.token' }),
    )
  })

  it('is refused in a time that grows with it and no faster: blanks before its end', () => {
    for (const text of [
      `e${' '.repeat(130_000)}x`,
      ` \n{${'\r\n\t '.repeat(30_000)}`,
      ' '.repeat(131_072),
    ]) {
      const from = performance.now()
      expect(() => parsePassport(bytes(text), 'ear')).toThrow(
        expect.objectContaining({ code: MALFORMED }),
      )
      for (const format of Object.values(PASSPORT_FORMATS)) format.detects(bytes(text))
      // It took fourteen seconds; with room for a machine that is busy.
      expect(performance.now() - from).toBeLessThan(1000)
    }
  })
})
