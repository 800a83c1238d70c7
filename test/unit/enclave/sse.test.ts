import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dataOf, encodeEvent, MAX_PIECE, padEvent, splitEvents } from '../../../src/enclave/sse.ts'

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)
const text = (value: Uint8Array): string => new TextDecoder().decode(value)

async function split(...pieces: readonly string[]): Promise<string[]> {
  const source = async function* (): AsyncGenerator<Uint8Array> {
    for (const piece of pieces) yield bytes(piece)
  }
  const events: string[] = []
  for await (const event of splitEvents(source())) events.push(text(event))
  return events
}

describe('splitEvents', () => {
  it.each([
    ['LF', ['data: a\n\ndata: b\n\n'], ['data: a\n\n', 'data: b\n\n']],
    ['CR LF', ['data: a\r\n\r\ndata: b\r\n\r\n'], ['data: a\r\n\r', '\ndata: b\r\n\r']],
    ['CR', ['data: a\r\rdata: b\r\r'], ['data: a\r\r', 'data: b\r\r']],
    ['a cut between CR and LF', ['data: a\r', '\n\r', '\n'], ['data: a\r\n\r']],
    ['an unfinished end', ['data: a\n\ndata: b'], ['data: a\n\n', 'data: b']],
    ['comments and several lines', [': x\ndata: a\ndata: b\n\n'], [': x\ndata: a\ndata: b\n\n']],
    ['blank lines before', ['\n\n\ndata: a\n\n'], ['\n\n\ndata: a\n\n']],
    ['nothing', [], []],
    ['blank lines only', ['\n\n'], []],
  ])('%s', async (_, pieces, want) => {
    expect(await split(...pieces)).toEqual(want)
  })

  it('where the stream is cut makes no difference', async () => {
    const whole = 'event: x\r\ndata: a\r\n\r\n: c\ndata: b\n\ndata: \u00e9\r\rdata: [DONE]\n\n'
    const want = await split(whole)
    expect(want).toHaveLength(4)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(whole.length), { maxLength: 8 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), whole.length]
        const pieces = at.slice(1).map((end, i) => whole.slice(at[i], end))
        expect(await split(...pieces)).toEqual(want)
      }),
      { interruptAfterTimeLimit: 3000 },
    )
  })

  it('an event that never ends is an error, not a full memory', async () => {
    const source = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) yield new Uint8Array(1024 * 1024).fill(0x61)
    }
    const reading = async (): Promise<void> => {
      for await (const _ of splitEvents(source())) expect.unreachable()
    }
    await expect(reading()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE' })
  })
})

describe('padEvent', () => {
  it('every event of a bucket has one length, and the same data', () => {
    for (const length of [1, 30, 60, 100, 112]) {
      const padded = padEvent(encodeEvent('x'.repeat(length)))
      expect(padded).toHaveLength(126)
      expect(dataOf(padded)).toBe('x'.repeat(length))
      expect(text(padded).endsWith('\n\n')).toBe(true)
    }
  })

  it('fills a bucket exactly, skips one it cannot fill, and pads large events to multiples', () => {
    const overhead = encodeEvent('').length
    expect(padEvent(encodeEvent('x'.repeat(126 - overhead)))).toHaveLength(126)
    // One byte is missing, and no comment is that short.
    expect(padEvent(encodeEvent('x'.repeat(125 - overhead)))).toHaveLength(254)
    expect(padEvent(encodeEvent('x'.repeat(20_000)))).toHaveLength(2 * MAX_PIECE)
  })

  it.each(['data: a\r\n\r\n', 'data: a\r\r', 'data: a\n\n'])('keeps to line ends: %j', (event) => {
    const padded = padEvent(bytes(event))
    expect(padded).toHaveLength(126)
    expect(dataOf(padded)).toBe('a')
  })

  it('leaves an unfinished event as it is', () => {
    expect(text(padEvent(bytes('data: a')))).toBe('data: a')
  })

  it('lengths are buckets, whatever the data', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40_000 }), (value) => {
        const data = value.replaceAll(/[\r\n]/g, ' ')
        const event = encodeEvent(data)
        const padded = padEvent(event)
        expect(dataOf(padded)).toBe(dataOf(event))
        const bucket = [128, 256, 512, 1024, 2048, 4096, 8192, 16384].includes(padded.length + 2)
        expect(bucket || padded.length % MAX_PIECE === 0).toBe(true)
      }),
      { interruptAfterTimeLimit: 3000 },
    )
  })
})

it('data lines are joined, one blank after the colon is dropped', () => {
  expect(dataOf(bytes('event: x\ndata: a\ndata:b\ndata\n\n'))).toBe('a\nb\n')
  expect(dataOf(bytes(': ping\n\n'))).toBeUndefined()
})
