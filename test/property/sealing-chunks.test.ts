import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../src/core/bytes/bytes.ts'
import { answer, collect, EVENTS, failure, setup, stream } from '../support/sealed-exchange.ts'

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
