import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { generateKeyPair } from '../../src/core/sealing/kem.ts'
import { chooseConfig, keyConfigOf } from '../../src/core/sealing/key-config.ts'
import type { OhttpKey } from '../../src/core/sealing/ohttp.ts'
import { type OpenedRequest, openRequest } from '../../src/core/sealing/open-request.ts'
import { refusalResponse } from '../../src/core/sealing/problem-types.ts'
import { ReplayCache } from '../../src/core/sealing/replay-cache.ts'
import {
  type EnvelopeForm,
  importRecipient,
  type SealedRequest,
  sealRequest,
} from '../../src/core/sealing/seal-request.ts'
import type { KemId } from '../../src/core/sealing/suites.ts'
import { createSealingCrypto } from '../../src/drivers/sealing/node.ts'

const crypto = createSealingCrypto()
const now = new Date('2026-03-01T12:00:00Z')
const SECRET = 'the canary sings in the coal mine'
const suites = [
  { kdf: 1, aead: 2 },
  { kdf: 1, aead: 3 },
  { kdf: 1, aead: 1 },
] as const

async function setup(kem: KemId = 0x647a, form: EnvelopeForm = 'chunked') {
  const keyPair = await generateKeyPair(kem, crypto)
  const keys: OhttpKey[] = [{ keyId: 7, keyPair, suites }]
  const chosen = chooseConfig([keyConfigOf(7, kem, keyPair.publicKey)])
  if (chosen === undefined) throw new Error('nothing chosen')
  const recipient = await importRecipient(chosen, crypto)
  const seal = async (body: Uint8Array = utf8(SECRET)) =>
    sealRequest({
      recipient,
      request: {
        method: 'POST',
        path: '/v1/chat/completions',
        headers: [['content-type', 'application/json']],
        body,
      },
      hints: 'model="m"',
      now,
      crypto,
      form,
    })
  const open = async (
    sealed: Pick<SealedRequest, 'mediaType'>,
    body: AsyncIterable<Uint8Array> | Uint8Array,
    replay = new ReplayCache(crypto),
  ) =>
    openRequest({
      keys,
      mediaType: sealed.mediaType,
      body: body instanceof Uint8Array ? stream(body) : body,
      replay,
      now,
      crypto,
      limit: 1 << 20,
    })
  return { keys, seal, open }
}

async function* stream(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield part
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts = []
  for await (const bytes of source) parts.push(bytes)
  return concat(...parts)
}

/** The error, typed, or a failed test. */
async function failure(attempt: Promise<unknown>): Promise<VouchsafeError> {
  const result = await attempt.then(
    () => 'no error at all',
    (error: unknown) => error,
  )
  if (!(result instanceof VouchsafeError)) throw new Error('not typed', { cause: result })
  expect(result.message).not.toContain('canary')
  return result
}

const EVENTS = ['one', 'two', 'three'].map((word) => utf8(`data: ${word} ${SECRET}\n\n`))
const answer = (opened: OpenedRequest) =>
  opened.respond({
    status: 200,
    headers: [['content-type', 'text/event-stream']],
    body: stream(...EVENTS),
  })

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

describe('chunks', () => {
  /** A response as head and chunks, each as on the wire. */
  async function pieces() {
    const { seal, open } = await setup(0x0020)
    const sealed = await seal()
    const sealing = answer(await open(sealed, sealed.body))
    const parts: Uint8Array[] = []
    for await (const bytes of sealing.body) parts.push(bytes)
    const { mediaType } = sealing
    const read = async (...wire: Uint8Array[]) =>
      collect((await sealed.open({ mediaType, body: stream(...wire) })).body)
    return { parts, read }
  }

  it('one event is one chunk, on its way before the next is there', async () => {
    const { seal, open } = await setup(0x0020)
    const sealed = await seal()
    const made: string[] = []
    async function* events() {
      for (const event of EVENTS) {
        made.push('event')
        yield event
      }
    }
    const sealing = (await open(sealed, sealed.body)).respond({
      status: 200,
      headers: [],
      body: events(),
    })
    const order: number[] = []
    for await (const bytes of sealing.body) order.push(bytes.length > 0 ? made.length : -1)
    expect(order).toEqual([0, 1, 2, 3, 3])
  })

  it('swapped, repeated, dropped, or with the final flag moved: refused', async () => {
    const { parts, read } = await pieces()
    const [head, one, two, three, final] = parts as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    expect(await read(head, one, two, three, final)).toEqual(concat(...EVENTS))
    const body = three.subarray(1)
    const bad: Uint8Array[][] = [
      [head, two, one, three, final],
      [head, one, one, two, three, final],
      [head, one, three, final],
      [head, one, two, final],
      [head, final],
      [head, one, two, Uint8Array.of(0), body.subarray(0)],
      [head, one, two, three, Uint8Array.of(16), final.subarray(1)],
      [head, one, two, three, Uint8Array.of(final.length - 1), final.subarray(1)],
      [head, one, two, three, final, Uint8Array.of(0)],
      [head, one, two, three, final, final],
    ]
    for (const wire of bad) {
      const { code } = await failure(read(...wire))
      expect([
        'ERR_ENVELOPE_OPEN_FAILED',
        'ERR_ENVELOPE_MALFORMED',
        'ERR_ENVELOPE_TRUNCATED',
      ]).toContain(code)
    }
    const other = await pieces()
    const foreign = other.parts.at(-1) ?? new Uint8Array(0)
    expect((await failure(read(head, one, two, three, foreign))).code).toBe(
      'ERR_ENVELOPE_OPEN_FAILED',
    )
  })

  it('lengths may be spelled longer than they need to be', async () => {
    const { parts, read } = await pieces()
    const [final] = parts.slice(-1)
    for (const zero of ['4000', '80000000', 'c000000000000000']) {
      const respelled = concat(Buffer.from(zero, 'hex'), (final ?? new Uint8Array(1)).subarray(1))
      expect(await read(...parts.slice(0, -1), respelled)).toEqual(concat(...EVENTS))
    }
  })

  it('a chunk above 1 MiB is refused by its length alone', async () => {
    const { parts, read } = await pieces()
    const [head] = parts
    for (const length of ['80100001', 'bfffffff', 'ffffffffffffffff']) {
      const error = await failure(read(head ?? new Uint8Array(0), Buffer.from(length, 'hex')))
      expect(error).toMatchObject({ code: 'ERR_ENVELOPE_MALFORMED', at: 'ohttp.response.chunk' })
    }
  })

  it('a source that fails, by whatever name, is a stream that was cut', async () => {
    const { seal, open } = await setup(0x0020)
    const sealed = await seal()
    const { mediaType, body } = answer(await open(sealed, sealed.body))
    async function* failing() {
      let left = 2
      for await (const bytes of body) {
        if (left-- === 0) throw new DOMException('aborted', 'AbortError')
        yield bytes
      }
    }
    const response = await sealed.open({ mediaType, body: failing() })
    const error = await failure(collect(response.body))
    expect([error.code, error.name]).toEqual(['ERR_ENVELOPE_TRUNCATED', 'VouchsafeError'])
    expect(response.summary().complete).toBe(false)
  })

  it('an answer that breaks off has no final chunk', async () => {
    const { seal, open } = await setup(0x0020)
    const sealed = await seal()
    async function* breaking() {
      yield utf8('data: 1\n\n')
      throw new Error('model server went away')
    }
    const opened = await open(sealed, sealed.body)
    const sealing = opened.respond({ status: 200, headers: [], body: breaking() })
    const wire: Uint8Array[] = []
    await expect(
      (async () => {
        for await (const bytes of sealing.body) wire.push(bytes)
      })(),
    ).rejects.toThrow('went away')
    expect(sealing.summary()).toMatchObject({ complete: false, chunks: 2 })
    const response = await sealed.open({ mediaType: sealing.mediaType, body: stream(...wire) })
    expect((await failure(collect(response.body))).code).toBe('ERR_ENVELOPE_TRUNCATED')
  })
})
