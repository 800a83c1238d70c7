import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { encodeRequest } from '../../src/core/sealing/bhttp.ts'
import {
  createRequestDecoder,
  createRequestEncoder,
  createResponseEncoder,
} from '../../src/core/sealing/chunked-ohttp.ts'
import { generateKeyPair, importPublicKey } from '../../src/core/sealing/kem.ts'
import {
  answer,
  collect,
  crypto,
  EVENTS,
  failure,
  setup,
  stream,
} from '../support/sealed-exchange.ts'

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

  it.each(['chunked', 'unary'] as const)('%s: bodies of many chunks', async (form) => {
    const { seal, open } = await setup(0x0020, form)
    const body = crypto.random(200_000)
    const sealed = await seal(body)
    const opened = await open(sealed, sealed.body)
    expect(opened.outcome.request?.body).toEqual(body)
    const sealing = opened.respond({ status: 200, headers: [], body })
    const response = await sealed.open(sealing)
    expect(await collect(response.body)).toEqual(body)
    expect(response.summary()).toEqual(sealing.summary())
    expect(response.summary().chunks).toBe(form === 'chunked' ? 13 : 1)
  })

  it('an item above what a chunk takes is sealed in several', async () => {
    const { seal, open } = await setup(0x0020)
    const sealed = await seal()
    const item = crypto.random(40_000)
    const opened = await open(sealed, sealed.body)
    const sealing = opened.respond({ status: 200, headers: [], body: stream(item) })
    const sizes: number[] = []
    const wire: Uint8Array[] = []
    for await (const bytes of sealing.body) {
      wire.push(bytes)
      sizes.push(bytes.length)
    }
    expect(Math.max(...sizes)).toBe(16384 + 16 + 4)
    const { mediaType } = sealing
    const response = await sealed.open({ mediaType, body: stream(...wire) })
    expect(await collect(response.body)).toEqual(item)
  })

  it('encoder and decoder: pieces of any size, nothing for nothing, no calls that overlap', async () => {
    const keyPair = await generateKeyPair(0x0020, crypto)
    const publicKey = await importPublicKey(0x0020, keyPair.publicKey, crypto)
    const suite = { kem: 0x0020, kdf: 1, aead: 2 } as const
    const { encoder, head } = await createRequestEncoder({ keyId: 1, publicKey, suite }, crypto)
    expect(await encoder.push(new Uint8Array(0))).toHaveLength(0)
    const plaintext = crypto.random(40_000)
    const wire = concat(head, await encoder.push(plaintext), await encoder.end())
    await expect(encoder.end(plaintext)).rejects.toThrow(RangeError)
    const keys = [{ keyId: 1, keyPair, suites: [suite] }]
    const decoder = createRequestDecoder(keys, crypto)
    const opened = await decoder.push(wire)
    expect(opened.map(({ length }) => length)).toEqual([16384, 16384, 7232])
    expect(concat(...opened, await decoder.end())).toEqual(plaintext)
    await expect(decoder.end()).rejects.toThrow(TypeError)
    const other = createRequestDecoder(keys, crypto)
    await other.push(wire.subarray(0, 100))
    const both = [other.push(wire.subarray(100, 30_000)), other.push(wire.subarray(30_000))]
    const results = await Promise.allSettled(both)
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  })

  it('after a chunk that did not open, nothing more is opened', async () => {
    const { parts, read } = await pieces()
    const [head, one, ...rest] = parts as [Uint8Array, Uint8Array, ...Uint8Array[]]
    const bad = one.slice()
    bad[9] = (bad[9] ?? 0) ^ 1
    const attempt = read(head, bad, one, ...rest)
    expect((await failure(attempt)).code).toBe('ERR_ENVELOPE_OPEN_FAILED')
  })

  it('a closed body takes no more bytes', async () => {
    const { seal, open } = await setup(0x0020)
    const sealed = await seal()
    const sealing = answer(await open(sealed, sealed.body))
    const iterator = sealing.body[Symbol.asyncIterator]()
    await iterator.next()
    expect(sealing.summary()).toMatchObject({ complete: false, chunks: 1 })
    await expect(iterator.next()).rejects.toThrow(TypeError)
    expect(sealing.summary()).toMatchObject({ complete: false, chunks: 1 })
  })

  it('an error of ours keeps its code on the way through a body', async () => {
    const { seal, open } = await setup(0x0020)
    const sealed = await seal()
    async function* limited(): AsyncGenerator<Uint8Array> {
      yield sealed.body.subarray(0, 10)
      throw new VouchsafeError({ code: 'ERR_RATE_LIMITED', at: 'gateway' }, 'too fast')
    }
    expect((await failure(open(sealed, limited()))).code).toBe('ERR_RATE_LIMITED')
  })

  it('a request sent back is no answer', async () => {
    const { seal, open } = await setup(0x0020)
    const [one, two] = [await seal(), await seal()]
    const opened = await open(one, one.body)
    const { encoder, head } = await createResponseEncoder(
      {
        suite: opened.suite,
        enc: one.body.slice(7, 39),
        export: async (label, length) => opened.export(label, length),
      },
      crypto,
    )
    const request = encodeRequest({
      method: 'GET',
      scheme: 'https',
      authority: 'a',
      path: '/',
      headers: [],
      body: new Uint8Array(0),
    })
    const wire = concat(head, await encoder.end(request))
    const mediaType = 'message/ohttp-chunked-res'
    expect((await failure(one.open({ mediaType, body: stream(wire) }))).code).toBe(
      'ERR_BHTTP_MALFORMED',
    )
    expect((await failure(two.open({ mediaType, body: stream(wire) }))).code).toBe(
      'ERR_ENVELOPE_OPEN_FAILED',
    )
  })
})
