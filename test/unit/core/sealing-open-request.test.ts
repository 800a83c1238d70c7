import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { encodeRequest, encodeResponse, type Field } from '../../../src/core/sealing/bhttp.ts'
import {
  createRequestEncoder,
  createResponseDecoder,
} from '../../../src/core/sealing/chunked-ohttp.ts'
import { generateKeyPair } from '../../../src/core/sealing/kem.ts'
import { chooseConfig, keyConfigOf } from '../../../src/core/sealing/key-config.ts'
import { type OpenRequestOptions, openRequest } from '../../../src/core/sealing/open-request.ts'
import {
  isRefreshSignal,
  PROBLEM_TYPES,
  problemOf,
  refusalResponse,
} from '../../../src/core/sealing/problem-types.ts'
import { ReplayCache } from '../../../src/core/sealing/replay-cache.ts'
import {
  REPORT_ACTIONS,
  REPORT_CODES,
  report,
  reportCodeOf,
} from '../../../src/core/sealing/report.ts'
import { importRecipient } from '../../../src/core/sealing/seal-request.ts'
import { createSealingCrypto } from '../../../src/drivers/sealing/node.ts'

const crypto = createSealingCrypto()
const now = new Date('2026-03-01T12:00:00Z')
const keyPair = await generateKeyPair(0x0020, crypto)
const chosen = chooseConfig([keyConfigOf(7, 0x0020, keyPair.publicKey)])
if (chosen === undefined) throw new Error('nothing chosen')
const recipient = await importRecipient(chosen, crypto)

async function* stream(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield part
}

/** Seals any plaintext at all, as a client that is not ours could. */
async function seal(message: Uint8Array) {
  const { encoder, head, context } = await createRequestEncoder(recipient, crypto)
  return { body: concat(head, await encoder.end(message)), context }
}

async function open(body: Uint8Array, options: Partial<OpenRequestOptions> = {}) {
  return openRequest({
    keys: [{ keyId: 7, keyPair, suites: [{ kdf: 1, aead: 2 }] }],
    mediaType: 'message/ohttp-chunked-req',
    body: stream(body),
    replay: new ReplayCache(crypto),
    now,
    crypto,
    limit: 100_000,
    ...options,
  })
}

const request = (...headers: Field[]) =>
  encodeRequest({
    method: 'POST',
    scheme: 'https',
    authority: 'x',
    path: '/',
    headers,
    body: utf8('{}'),
  })

describe('openRequest', () => {
  it('takes foreign clients without a date, unless dates are mandatory', async () => {
    const { body } = await seal(request())
    expect((await open(body)).outcome.request?.body).toEqual(utf8('{}'))
    const { outcome } = await open(body, { requireDate: true })
    expect(outcome.refusal).toMatchObject({ code: 'ERR_ENVELOPE_STALE', at: 'request.date' })
  })

  it('a date outside the window is refused, and so is a second one', async () => {
    for (const seconds of [-301, 301]) {
      const date = new Date(now.getTime() + seconds * 1000).toUTCString()
      const { body } = await seal(request(['date', date]))
      expect((await open(body)).outcome.refusal?.code).toBe('ERR_ENVELOPE_STALE')
    }
    const date = now.toUTCString()
    const twice = await seal(request(['date', date], ['date', date]))
    expect((await open(twice.body)).outcome.refusal?.code).toBe('ERR_BHTTP_MALFORMED')
  })

  it('fields that nobody asked for never get in', async () => {
    const { body } = await seal(
      request(
        ['authorization', 'Bearer x'],
        ['content-type', 'application/json'],
        ['x-forwarded-for', '10.0.0.1'],
        ['accept', 'text/event-stream'],
      ),
    )
    expect((await open(body)).outcome.request?.headers).toEqual([
      ['content-type', 'application/json'],
      ['accept', 'text/event-stream'],
    ])
  })

  it('what opens and is no request is refused under seal', async () => {
    for (const message of [
      utf8('hello'),
      encodeResponse({ status: 200, headers: [], body: utf8('') }),
    ]) {
      const { body, context } = await seal(message)
      const opened = await open(body)
      const { refusal } = opened.outcome
      if (refusal === undefined) throw new Error('accepted')
      expect(refusal.code).toBe('ERR_BHTTP_MALFORMED')
      const decoder = createResponseDecoder(context, crypto)
      for await (const bytes of opened.respond(refusalResponse(refusal, now)).body) {
        await decoder.push(bytes)
      }
      expect((await decoder.end()).length).toBeGreaterThan(0)
    }
  })

  it('is answered once', async () => {
    const { body } = await seal(request())
    const opened = await open(body)
    opened.respond({ status: 200, headers: [], body: utf8('') })
    expect(() => opened.respond({ status: 200, headers: [], body: utf8('') })).toThrow(TypeError)
  })

  it('without room to remember it, nothing is accepted', async () => {
    const { body } = await seal(request())
    const { outcome } = await open(body, { replay: new ReplayCache(crypto, 0) })
    expect(outcome.refusal).toMatchObject({ code: 'ERR_OVERLOADED', kind: 'unavailable' })
  })

  it('reads no further than its limit', async () => {
    let sent = 0
    async function* endless() {
      for (;;) {
        sent += 1000
        yield new Uint8Array(1000)
      }
    }
    for (const mediaType of ['message/ohttp-chunked-req', 'message/ohttp-req']) {
      sent = 0
      const { body } = await seal(request())
      await expect(open(body, { body: endless(), limit: 500, mediaType })).rejects.toMatchObject({
        code: 'ERR_REQUEST_TOO_LARGE',
        at: 'ohttp.request',
      })
      expect(sent).toBe(1000)
    }
  })

  it('another media type is refused', async () => {
    const { body } = await seal(request())
    await expect(open(body, { mediaType: 'message/ohttp-chunked-res' })).rejects.toMatchObject({
      code: 'ERR_ENVELOPE_UNSUPPORTED',
    })
  })

  it.each([
    ['key_id', 0, 8],
    ['kem', 2, 0x10],
    ['suite', 4, 2],
    ['suite', 6, 3],
  ])('%s of another key is refused before the private key is used', async (field, at, byte) => {
    const { body } = await seal(request())
    body[at] = byte
    let used = false
    const watched = {
      ...keyPair,
      decapsulate: async (enc: Uint8Array) => {
        used = true
        return keyPair.decapsulate(enc)
      },
    }
    const keys = [{ keyId: 7, keyPair: watched, suites: [{ kdf: 1, aead: 2 }] as const }]
    await expect(open(body, { keys })).rejects.toMatchObject({
      code: 'ERR_ENVELOPE_KEY_UNKNOWN',
      at: `ohttp.request.${field}`,
    })
    // Header and key alone are no request yet, and cost nothing either.
    await expect(
      open((await seal(request())).body.subarray(0, 7 + 32 + 15), { keys }),
    ).rejects.toThrow(VouchsafeError)
    expect(used).toBe(false)
  })
})

describe('problem types', () => {
  const error = (code: VouchsafeError['code'], at = 'x') =>
    new VouchsafeError({ code, at }, 'secret')

  it('decapsulation, AEAD and framing look the same', () => {
    const codes = [
      'ERR_ENVELOPE_OPEN_FAILED',
      'ERR_ENVELOPE_MALFORMED',
      'ERR_BHTTP_MALFORMED',
    ] as const
    const seen = new Set(codes.map((code) => JSON.stringify(problemOf(error(code)))))
    expect(seen.size).toBe(1)
    expect(problemOf(error('ERR_POLICY_INVALID'))).toBeUndefined()
  })

  it('the RFC has names for two of them', () => {
    expect(problemOf(error('ERR_ENVELOPE_KEY_UNKNOWN'))).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#ohttp-key',
      status: 400,
    })
    expect(problemOf(error('ERR_ENVELOPE_STALE'))?.type).toBe(
      'https://iana.org/assignments/http-problem-types#date',
    )
  })

  it('secrets-stay-silent: a refusal says nothing of the error but its type', () => {
    const refusal = refusalResponse(error('ERR_HINTS_MISMATCH', 'hints.model'), now)
    expect(Buffer.from(refusal.body).toString()).not.toContain('secret')
    expect(refusal.headers).toContainEqual(['date', 'Sun, 01 Mar 2026 12:00:00 GMT'])
    expect(refusalResponse(error('ERR_OVERLOADED'), now)).toMatchObject({ status: 503 })
    expect(refusalResponse(error('ERR_POLICY_INVALID'), now)).toMatchObject({ status: 400 })
  })

  it('one of them, and only that, says refresh', () => {
    expect(isRefreshSignal(400, PROBLEM_TYPES['key-unknown'])).toBe(true)
    expect(isRefreshSignal(422, PROBLEM_TYPES['key-unknown'])).toBe(true)
    expect(isRefreshSignal(200, PROBLEM_TYPES['key-unknown'])).toBe(false)
    expect(isRefreshSignal(400, PROBLEM_TYPES.replayed)).toBe(false)
  })
})

describe('reports', () => {
  it('29 codes in four classes, each with something to do', () => {
    expect(Object.keys(REPORT_CODES)).toHaveLength(29)
    for (const name of Object.values(REPORT_CODES)) expect(REPORT_ACTIONS[name]).not.toBe('')
    const finding = { check: 'tdx.tcb', expected: '1', actual: '0', documents: {} }
    expect(report({ ...finding, code: 'tcb' }).class).toBe('refuted')
    expect(report({ ...finding, code: 'key-rejected' }).class).toBe('stale')
  })

  it.each([
    ['ERR_ENVELOPE_TRUNCATED', 'ohttp.response', 'truncated'],
    ['ERR_ENVELOPE_OPEN_FAILED', 'hpke.open', 'decrypt'],
    ['ERR_KEYSET_REFUSED', 'keyset.not_after', 'keyset-expired'],
    ['ERR_KEYSET_REFUSED', 'keyset.keys', 'downgrade'],
    ['ERR_RECEIPT_MISMATCH', 'receipt.signature', 'signature'],
    ['ERR_RECEIPT_MISMATCH', 'receipt.response.digest', 'receipt-mismatch'],
    ['ERR_ENVELOPE_KEY_UNKNOWN', 'ohttp.request.key_id', 'key-rejected'],
    ['ERR_POLICY_INVALID', 'policy', undefined],
  ] as const)('%s at %s is %s', (code, at, expected) => {
    expect(reportCodeOf(new VouchsafeError({ code, at }, ''))).toBe(expected)
  })
})
