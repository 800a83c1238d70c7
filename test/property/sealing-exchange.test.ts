import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../src/core/bytes/bytes.ts'
import { refusalResponse } from '../../src/core/sealing/problem-types.ts'
import { ReplayCache } from '../../src/core/sealing/replay-cache.ts'
import type { EnvelopeForm } from '../../src/core/sealing/seal-request.ts'
import type { KemId } from '../../src/core/sealing/suites.ts'
import {
  answer,
  collect,
  crypto,
  EVENTS,
  failure,
  now,
  SECRET,
  setup,
  stream,
} from '../support/sealed-exchange.ts'

async function roundTrip(form: EnvelopeForm, kem: KemId) {
  const { seal, open } = await setup(kem, form)
  const sealed = await seal()
  const opened = await open(sealed, sealed.body)
  const sealing = answer(opened)
  const wire = await collect(sealing.body)
  const response = await sealed.open({ mediaType: sealing.mediaType, body: stream(wire) })
  return { sealed, opened, sealing, response, wire }
}

describe.each(['chunked', 'unary'] as const)('%s exchange', (form) => {
  it.each([0x647a, 0x0020, 0x0010] as const)('KEM %i: there and back', async (kem) => {
    const { sealed, opened, sealing, response } = await roundTrip(form, kem)
    expect(opened.outcome.request).toMatchObject({
      method: 'POST',
      authority: 'vouchsafe.invalid',
      path: '/v1/chat/completions',
      body: utf8(SECRET),
      hints: 'model="m"',
    })
    expect(opened.ciphertext).toEqual(sealed.ciphertext)
    expect(response.status).toBe(200)
    expect(response.headers).toEqual([['content-type', 'text/event-stream']])
    expect(await collect(response.body)).toEqual(concat(...EVENTS))
    expect(response.summary()).toEqual(sealing.summary())
    const chunks = form === 'chunked' ? EVENTS.length + 2 : 1
    expect(response.summary()).toMatchObject({ complete: true, chunks })
    const label = utf8('vouchsafe receipt salt')
    expect(await sealed.export(label, 32)).toEqual(await opened.export(label, 32))
  })

  it('nonce-and-enc-once', async () => {
    const { seal, open } = await setup(0x0020, form)
    const replay = new ReplayCache(crypto)
    const sealed = await seal()
    expect((await open(sealed, sealed.body, replay)).outcome.refusal).toBeUndefined()
    const again = await open(sealed, sealed.body, replay)
    expect(again.outcome.refusal?.code).toBe('ERR_ENVELOPE_REPLAYED')
    if (again.outcome.refusal === undefined) throw new Error('accepted twice')
    const refusal = again.respond(refusalResponse(again.outcome.refusal, now))
    const response = await sealed.open(refusal)
    expect(response.status).toBe(400)
    expect(response.headers).toContainEqual(['x-should-retry', 'false'])
    const problem = JSON.parse(Buffer.from(await collect(response.body)).toString()) as object
    expect(problem).toMatchObject({ type: 'urn:vouchsafe:problem:replayed' })
  })

  it('the two forms never open as each other', async () => {
    const { seal, open } = await setup(0x0020, form)
    const sealed = await seal()
    const other = form === 'chunked' ? 'message/ohttp-req' : 'message/ohttp-chunked-req'
    const error = await failure(open({ mediaType: other }, sealed.body))
    expect([
      'ERR_ENVELOPE_OPEN_FAILED',
      'ERR_ENVELOPE_TRUNCATED',
      'ERR_ENVELOPE_MALFORMED',
    ]).toContain(error.code)
  })

  it('every byte of a request flipped: typed, and never plaintext', async () => {
    const { seal, open } = await setup(0x0020, form)
    const sealed = await seal()
    const codes = new Set<string>()
    for (let i = 0; i < sealed.body.length; i++) {
      const flipped = sealed.body.slice()
      flipped[i] = (flipped[i] ?? 0) ^ (1 << (i % 8))
      codes.add((await failure(open(sealed, flipped))).code)
    }
    expect(codes).toContain('ERR_ENVELOPE_OPEN_FAILED')
    expect(codes).toContain('ERR_ENVELOPE_KEY_UNKNOWN')
  })

  it('every byte of a hybrid key flipped: typed, one code past the header', async () => {
    const { seal, open } = await setup(0x647a, form)
    const sealed = await seal()
    for (let i = 7; i < 7 + 1120; i += 3) {
      const flipped = sealed.body.slice()
      flipped[i] = (flipped[i] ?? 0) ^ 0x80
      const error = await failure(open(sealed, flipped))
      expect([error.code, error.at]).toEqual(['ERR_ENVELOPE_OPEN_FAILED', 'hpke.open'])
    }
  })

  it('truncation-is-typed', async () => {
    const { seal, open } = await setup(0x0020, form)
    const sealed = await seal()
    for (let length = 0; length < sealed.body.length; length++) {
      const error = await failure(open(sealed, sealed.body.subarray(0, length)))
      const codes = ['ERR_ENVELOPE_TRUNCATED', 'ERR_ENVELOPE_OPEN_FAILED']
      expect(codes).toContain(error.code)
      expect(error.name).not.toBe('AbortError')
    }
  })

  it('every byte of a response flipped: typed, and nothing that was not sent', async () => {
    const { sealed, sealing, wire } = await roundTrip(form, 0x0020)
    const whole = Buffer.from(concat(...EVENTS)).toString()
    for (let i = 0; i < wire.length; i++) {
      const flipped = wire.slice()
      flipped[i] = (flipped[i] ?? 0) ^ (1 << (i % 8))
      let seen = ''
      await failure(
        (async () => {
          const { mediaType } = sealing
          const response = await sealed.open({ mediaType, body: stream(flipped) })
          for await (const bytes of response.body) seen += Buffer.from(bytes).toString()
        })(),
      )
      expect(whole.startsWith(seen)).toBe(true)
    }
  })

  it('cut-stream-is-an-error', async () => {
    const { sealed, sealing, wire } = await roundTrip(form, 0x0020)
    for (let length = 0; length < wire.length; length++) {
      const error = await failure(
        (async () => {
          const body = stream(wire.subarray(0, length))
          await collect((await sealed.open({ mediaType: sealing.mediaType, body })).body)
        })(),
      )
      const codes = ['ERR_ENVELOPE_TRUNCATED', 'ERR_ENVELOPE_OPEN_FAILED']
      expect(codes).toContain(error.code)
      expect(error.name).not.toBe('AbortError')
    }
  })

  it('a response opens with its own request only', async () => {
    const { seal, open } = await setup(0x647a, form)
    const [mine, other] = [await seal(), await seal()]
    const sealing = answer(await open(mine, mine.body))
    const attempt = (async () => collect((await other.open(sealing)).body))()
    expect((await failure(attempt)).code).toBe('ERR_ENVELOPE_OPEN_FAILED')
  })

  it('an answer in clear is refused', async () => {
    const { seal } = await setup(0x0020, form)
    const sealed = await seal()
    const error = await failure(
      sealed.open({ mediaType: 'application/json', body: stream(utf8('{}')) }),
    )
    expect(error.code).toBe('ERR_ENVELOPE_UNSUPPORTED')
  })

  it('however the bytes are cut up, the same comes out', async () => {
    const { seal, open } = await setup(0x0020, form)
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 40_000 }),
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1 }),
        async (body, sizes) => {
          const sealed = await seal(body)
          const opened = await open(sealed, stream(...cut(sealed.body, sizes)))
          expect(opened.outcome.request?.body).toEqual(Uint8Array.from(body))
          const sealing = opened.respond({ status: 200, headers: [], body })
          const wire = await collect(sealing.body)
          const { mediaType } = sealing
          const response = await sealed.open({ mediaType, body: stream(...cut(wire, sizes)) })
          expect(await collect(response.body)).toEqual(Uint8Array.from(body))
          expect(response.summary()).toEqual(sealing.summary())
        },
      ),
      { numRuns: 60, interruptAfterTimeLimit: 4000, markInterruptAsFailure: false },
    )
  })
})

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const parts = []
  for (let offset = 0, i = 0; offset < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    parts.push(bytes.subarray(offset, offset + size))
    offset += size
  }
  return parts
}
