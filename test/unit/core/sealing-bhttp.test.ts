import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { toHex } from '../../../src/core/bytes/hex.ts'
import {
  decodeRequest,
  decodeResponse,
  encodeContent,
  encodeRequest,
  encodeRequestHead,
  encodeResponse,
  encodeResponseHead,
  type Field,
  fieldValue,
  INDETERMINATE_END,
} from '../../../src/core/sealing/bhttp.ts'
import { createBhttpDecoder } from '../../../src/core/sealing/bhttp-decoder.ts'
import { decodeVarint, encodeVarint } from '../../../src/core/sealing/varint.ts'
import { hex } from '../../support/sealing.ts'

const malformed = (at?: string): unknown =>
  expect.objectContaining({ code: 'ERR_BHTTP_MALFORMED', ...(at !== undefined && { at }) })

const REQUEST = {
  method: 'POST',
  scheme: 'https',
  authority: 'vouchsafe.invalid',
  path: '/v1/embeddings?x=1',
  headers: [
    ['content-type', 'application/json'],
    ['x-empty', ''],
    ['x-latin', 'caf\u00e9'],
  ],
  body: utf8('{"input":"hello"}'),
  trailers: [['x-digest', 'abc']],
} as const
const RESPONSE = {
  status: 200,
  headers: [['content-type', 'text/plain']],
  body: utf8('hi'),
} as const

/** Control data of `GET https://a/`, which most of these messages begin with. */
const CONTROL = '03474554056874747073016101 2f'.replaceAll(' ', '')

describe('Binary HTTP', () => {
  it('known-length messages, there and back', () => {
    expect(decodeRequest(encodeRequest(REQUEST))).toEqual(REQUEST)
    expect(decodeResponse(encodeResponse(RESPONSE))).toEqual({ ...RESPONSE, trailers: [] })
  })

  it('messages of indeterminate length, there and back', () => {
    const { method, scheme, authority, path, headers, body } = REQUEST
    const head = { method, scheme, authority, path, headers }
    const request = concat(
      encodeRequestHead(head),
      encodeContent(body.subarray(0, 5)),
      encodeContent(new Uint8Array(0)),
      encodeContent(body.subarray(5)),
      INDETERMINATE_END,
    )
    expect(decodeRequest(request)).toEqual({ ...REQUEST, trailers: [] })
    const response = concat(
      encodeResponseHead(RESPONSE),
      encodeContent(RESPONSE.body),
      hex('00'),
      hex('0161 0162 00'.replaceAll(' ', '')),
    )
    expect(decodeResponse(response)).toEqual({ ...RESPONSE, trailers: [['a', 'b']] })
    expect(toHex(encodeResponseHead({ status: 200, headers: [] }))).toBe('0340c800')
  })

  it('where a known-length message may end, and where not (RFC 9292 §3.8)', () => {
    const whole = encodeRequest({ ...REQUEST, trailers: [] })
    const control = 1 + 5 + 6 + 18 + 19
    const headers = control + 1 + (13 + 17) + (8 + 1) + (8 + 5)
    const content = headers + 1 + REQUEST.body.length
    const mayEnd = new Set([control, headers, content, whole.length])
    for (let length = 0; length <= whole.length; length++) {
      const message = whole.subarray(0, length)
      if (mayEnd.has(length)) {
        const decoded = decodeRequest(message)
        expect(decoded.path).toBe(REQUEST.path)
        expect(decoded.headers.length).toBe(length === control ? 0 : 3)
        expect(decoded.body.length).toBe(length < content ? 0 : REQUEST.body.length)
      } else {
        expect(() => decodeRequest(message), `${length}`).toThrow(malformed())
      }
    }
  })

  it('where a message of indeterminate length may end, and where not', () => {
    const head = encodeResponseHead(RESPONSE)
    const content = encodeContent(RESPONSE.body)
    const whole = concat(head, content, INDETERMINATE_END)
    const mayEnd = new Set([head.length, whole.length - 1, whole.length])
    for (let length = 0; length <= whole.length; length++) {
      const message = whole.subarray(0, length)
      if (mayEnd.has(length)) expect(decodeResponse(message).status).toBe(200)
      else expect(() => decodeResponse(message), `${length}`).toThrow(malformed())
    }
  })

  it('padding is zeros, also after a message that left out its empty parts', () => {
    for (const message of [`00${CONTROL}`, `00${CONTROL}00`, `00${CONTROL}000000`]) {
      for (const padding of ['00', '00'.repeat(100)]) {
        expect(decodeRequest(hex(message + padding)).method).toBe('GET')
      }
    }
    for (const padding of ['01', '0001', '00'.repeat(99) + '80']) {
      expect(() => decodeRequest(hex(`00${CONTROL}000000${padding}`))).toThrow(
        malformed('bhttp.padding'),
      )
    }
  })

  it('informational responses are left out', () => {
    const message = hex('01 4066 0401610162 4067 00 40c8 00 0131 00'.replaceAll(' ', ''))
    expect(decodeResponse(message)).toMatchObject({ status: 200, body: utf8('1') })
    const endless = hex(`01${'406600'.repeat(20)}40c8`)
    expect(() => decodeResponse(endless)).toThrow(malformed('bhttp.status'))
  })

  it.each([
    ['no message', '', 'bhttp.end'],
    ['framing 4', '04', 'bhttp.framing'],
    ['framing 64', '4040', 'bhttp.framing'],
    ['status 99', '014063', 'bhttp.status'],
    ['status 600', '014258', 'bhttp.status'],
    ['an enormous length', '00ffffffffffffffff', 'bhttp.method'],
    ['a length of 1 GiB', '00bfffffff', 'bhttp.method'],
    ['an empty method', '0000056874747073016101 2f', 'bhttp.method'],
    ['a method with a blank', '000347 2054056874747073016101 2f', 'bhttp.method'],
    ['no path', '000347455405687474707301610000', 'bhttp.path'],
    ['a path with a newline', '00034745540568747470730161020a2f', 'bhttp.path'],
    ['no authority and no host', '0003474554056874747073000 12f', 'bhttp.authority'],
    ['an upper-case name', `00${CONTROL}0401410162`, 'bhttp.field.name'],
    ['a pseudo-field', `00${CONTROL}05023a610162`, 'bhttp.field.name'],
    ['an empty name', `00${CONTROL}03000162`, 'bhttp.field.name'],
    ['a name with a blank', `00${CONTROL}0502612001 62`, 'bhttp.field.name'],
    ['a value with a newline', `00${CONTROL}0401 61010a`, 'bhttp.field.value'],
    ['a value with NUL', `00${CONTROL}0401610100`, 'bhttp.field.value'],
    ['a value that begins with a blank', `00${CONTROL}050161022062`, 'bhttp.field.value'],
    ['a field that ends behind its section', `00${CONTROL}0301610562 00`, 'bhttp.end'],
    ['content shorter than said', `00${CONTROL}000541`, 'bhttp.end'],
  ])('%s: refused', (_, message, at) => {
    const bytes = hex(message.replaceAll(' ', ''))
    const decode = message.startsWith('01') ? decodeResponse : decodeRequest
    expect(() => decode(bytes)).toThrow(malformed(at))
  })

  it.each(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])(
    '%s is about a connection: neither read nor written',
    (name) => {
      const headers: Field[] = [[name, 'close']]
      expect(() => encodeRequest({ ...REQUEST, headers })).toThrow(malformed('bhttp.field.name'))
      const line = concat(encodeVarint(name.length), utf8(name), hex('0178'))
      const message = concat(hex(`00${CONTROL}`), encodeVarint(line.length), line)
      expect(() => decodeRequest(message)).toThrow(malformed('bhttp.field.name'))
    },
  )

  it('te is for trailers only', () => {
    const te = (value: string) => encodeRequest({ ...REQUEST, headers: [['te', value]] })
    expect(fieldValue(decodeRequest(te('trailers')).headers, 'te')).toBe('trailers')
    expect(() => te('gzip')).toThrow(malformed('bhttp.field.name'))
  })

  it('an empty authority needs a host', () => {
    const request = { ...REQUEST, authority: '', headers: [['host', 'a']] as const }
    expect(decodeRequest(encodeRequest(request)).authority).toBe('')
    expect(() => encodeRequest({ ...request, headers: [] })).toThrow(malformed('bhttp.authority'))
  })

  it('a request is no response', () => {
    expect(() => decodeResponse(encodeRequest(REQUEST))).toThrow(malformed('bhttp.framing'))
    expect(() => decodeRequest(encodeResponse(RESPONSE))).toThrow(malformed('bhttp.framing'))
  })

  it('a head above 64 KiB is refused before it has come', () => {
    const decoder = createBhttpDecoder()
    expect(() => decoder.push(hex('0080010001'))).toThrow(malformed('bhttp.method'))
    const fields: Field[] = Array.from({ length: 2000 }, (_, i) => [`x-${i}`, 'y'.repeat(40)])
    expect(() => decodeRequest(encodeRequest({ ...REQUEST, headers: fields }))).toThrow(malformed())
    const head = encodeRequestHead({ ...REQUEST, headers: fields })
    expect(() => decodeRequest(concat(head, INDETERMINATE_END))).toThrow(malformed())
  })

  it('content is handed on as it comes', () => {
    const decoder = createBhttpDecoder()
    const head = encodeResponseHead(RESPONSE)
    expect(decoder.push(head.subarray(0, head.length - 1))).toEqual([])
    expect(decoder.push(head.subarray(head.length - 1))).toMatchObject([{ kind: 'response' }])
    expect(decoder.push(hex('0561'))).toEqual([{ kind: 'content', bytes: utf8('a') }])
    expect(decoder.push(hex('62'))).toEqual([{ kind: 'content', bytes: utf8('b') }])
    expect(() => decoder.end()).toThrow(malformed('bhttp.end'))
  })
})

describe('varint', () => {
  it('shortest encodings, at every boundary', () => {
    const cases = [
      [0, '00'],
      [63, '3f'],
      [64, '4040'],
      [16383, '7fff'],
      [16384, '80004000'],
      [2 ** 30 - 1, 'bfffffff'],
    ] as const
    for (const [value, encoded] of cases) {
      expect(toHex(encodeVarint(value))).toBe(encoded)
      expect(decodeVarint(hex(encoded))).toBe(value)
    }
  })

  it('longer ones are read, and what passes 2^53 is not', () => {
    for (const zero of ['00', '4000', '80000000', 'c000000000000000']) {
      expect(decodeVarint(hex(zero))).toBe(0)
    }
    expect(decodeVarint(hex('c01fffffffffffff'))).toBe(Number.MAX_SAFE_INTEGER)
    expect(decodeVarint(hex('c020000000000000'))).toBeUndefined()
    for (const value of [-1, 0.5, 2 ** 30, Number.NaN]) {
      expect(() => encodeVarint(value)).toThrow(RangeError)
    }
  })
})
