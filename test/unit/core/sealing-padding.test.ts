import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { decodeRequest, encodeRequest } from '../../../src/core/sealing/bhttp.ts'
import {
  EVENT_BUCKETS,
  padEvent,
  padEvents,
  padMessage,
  padmeLength,
  splitEvents,
} from '../../../src/core/sealing/padding.ts'

async function* stream(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield part
}

async function texts(source: AsyncIterable<Uint8Array>): Promise<string[]> {
  const found = []
  for await (const bytes of source) found.push(Buffer.from(bytes).toString())
  return found
}

/** What a reader of server-sent events makes of a stream: the data of each event. */
function read(text: string): string[] {
  return text
    .split(/\r\n\r\n|\n\n|\r\r/)
    .slice(0, -1)
    .map((event) =>
      event
        .split(/\r\n|\n|\r/)
        .filter((line) => line.startsWith('data: '))
        .map((line) => line.slice(6))
        .join('\n'),
    )
}

describe('padding of requests', () => {
  it('Padmé: never shorter, at most 12 % longer, few lengths', () => {
    const lengths = new Set<number>()
    for (let length = 1; length < 100_000; length += 1 + (length >> 7)) {
      const padded = padmeLength(length)
      expect(padded).toBeGreaterThanOrEqual(length)
      expect(padded).toBeLessThanOrEqual(Math.ceil(length * 1.12))
      expect(padmeLength(padded)).toBe(padded)
      lengths.add(padded)
    }
    expect(lengths.size).toBeLessThan(200)
    // Computed by hand from the formula of spec/envelope.md §15.
    expect([0, 1, 2, 9, 513, 1000, 100_000].map(padmeLength)).toEqual([
      0, 1, 2, 10, 544, 1024, 100_352,
    ])
  })

  it('at least 512 bytes, and the message within is the same', () => {
    const request = {
      method: 'GET',
      scheme: 'https',
      authority: 'a',
      path: '/',
      headers: [],
      body: new Uint8Array(0),
    }
    const padded = padMessage(encodeRequest(request))
    expect(padded).toHaveLength(512)
    expect(decodeRequest(padded)).toMatchObject(request)
  })
})

describe('padding of events', () => {
  it('lengths of a one-token and of a thirty-token delta are equal', () => {
    const delta = (text: string) => utf8(`data: {"delta":"${text}"}\n\n`)
    expect(padEvent(delta('a'))).toHaveLength(128)
    expect(padEvent(delta('word '.repeat(18)))).toHaveLength(128)
    expect(padEvent(delta('word '.repeat(30)))).toHaveLength(256)
  })

  it('a reader sees the same event, and the length is a bucket', () => {
    const end = fc.constantFrom('\n\n', '\r\n\r\n')
    fc.assert(
      fc.property(fc.nat({ max: 20_000 }), end, (length, ending) => {
        const event = `data: ${'x'.repeat(length)}${ending}`
        const padded = padEvent(utf8(event))
        const text = Buffer.from(padded).toString()
        expect(read(text)).toEqual(read(event))
        if (event.length > 16382 - 4) return
        expect(EVENT_BUCKETS).toContain(padded.length)
        expect(text.endsWith(ending)).toBe(true)
      }),
      { interruptAfterTimeLimit: 2000, markInterruptAsFailure: false },
    )
  })

  it('one or two bytes short of a bucket: the next one; exactly a bucket: as it is', () => {
    const event = (length: number) => utf8(`data: ${'x'.repeat(length - 8)}\n\n`)
    const sizes = [124, 125, 126, 127, 128, 129].map((length) => padEvent(event(length)).length)
    expect(sizes).toEqual([128, 128, 256, 256, 128, 256])
  })

  it('what is no event, or longer than all buckets, is left as it is', () => {
    for (const text of ['', 'data: 1\n', 'data: 1', `data: ${'x'.repeat(17_000)}\n\n`]) {
      expect(Buffer.from(padEvent(utf8(text))).toString()).toBe(text)
    }
  })

  it('splits at blank lines, however the bytes come', async () => {
    const events = ['data: 1\n\n', 'data: 2\r\n\r\n', ': hi\ndata: 3\n\n', 'data: 4\r\r', '\n\n']
    const rest = 'data: [DO'
    const whole = utf8(events.join('') + rest)
    const cut = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 })
    await fc.assert(
      fc.asyncProperty(cut, async (sizes) => {
        const parts = []
        for (let offset = 0, i = 0; offset < whole.length; i++) {
          const size = sizes[i % sizes.length] ?? 1
          parts.push(whole.subarray(offset, offset + size))
          offset += size
        }
        expect(await texts(splitEvents(stream(parts)))).toEqual([...events, rest])
      }),
      { interruptAfterTimeLimit: 2000, markInterruptAsFailure: false },
    )
  })

  it('padded events, put together again, read as before', async () => {
    const events = Array.from({ length: 20 }, (_, i) => `data: ${'x'.repeat(i * 37)}\n\n`)
    const padded = await texts(padEvents(splitEvents(stream([utf8(events.join(''))]))))
    expect(padded).toHaveLength(20)
    expect(read(padded.join(''))).toEqual(read(events.join('')))
  })

  it('an event without an end is handed on in bounded pieces', async () => {
    const parts = Array.from({ length: 40 }, () => new Uint8Array(20_000).fill(97))
    let longest = 0
    const found = []
    for await (const bytes of splitEvents(stream(parts))) {
      longest = Math.max(longest, bytes.length)
      found.push(bytes)
    }
    expect(longest).toBeLessThanOrEqual(256 * 1024 + 20_000)
    expect(concat(...found)).toEqual(concat(...parts))
  })
})
