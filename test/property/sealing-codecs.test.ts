import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat } from '../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import {
  type BhttpRequest,
  type BhttpResponse,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
} from '../../src/core/sealing/bhttp.ts'
import { type BhttpEvent, createBhttpDecoder } from '../../src/core/sealing/bhttp-decoder.ts'
import { ByteQueue } from '../../src/core/sealing/byte-queue.ts'
import {
  encodeKeyConfig,
  encodeKeyConfigs,
  keyConfigOf,
  parseKeyConfig,
  parseKeyConfigs,
} from '../../src/core/sealing/key-config.ts'
import { KEMS, type KemId } from '../../src/core/sealing/suites.ts'

const blame = { code: 'ERR_ENVELOPE_MALFORMED', at: 'test' } as const
const BOUNDED = { interruptAfterTimeLimit: 2500, markInterruptAsFailure: false, numRuns: 2000 }

const name = fc.constantFrom('accept', 'content-type', 'date', 'x-a', '!#$%&')
const value = fc.constantFrom('', 'a', 'a b', 'caf\u00e9', 'x'.repeat(100))
const headers = fc.array(fc.tuple(name, value), { maxLength: 4 })
const body = fc.uint8Array({ maxLength: 200 }).map((bytes) => Uint8Array.from(bytes))
const requests: fc.Arbitrary<Required<BhttpRequest>> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'M-SEARCH'),
  scheme: fc.constantFrom('https', 'http'),
  authority: fc.constantFrom('vouchsafe.invalid', 'a:1'),
  path: fc.constantFrom('/', '/v1/models?x=%20', '*'),
  headers,
  body,
  trailers: headers,
})
const responses: fc.Arbitrary<Required<BhttpResponse>> = fc.record({
  status: fc.integer({ min: 200, max: 599 }),
  headers,
  body,
  trailers: headers,
})
const messages = fc.oneof(requests.map(encodeRequest), responses.map(encodeResponse))

/** A message that may be changed in one place, cut, or padded. */
const nearly = fc
  .tuple(messages, fc.nat(), fc.nat({ max: 255 }), fc.constantFrom('none', 'set', 'cut', 'pad'))
  .map(([message, at, byte, how]) => {
    const i = at % message.length
    if (how === 'cut') return message.slice(0, i)
    if (how === 'pad') return concat(message, new Uint8Array(byte))
    const copy = message.slice()
    if (how === 'set') copy[i] = byte
    return copy
  })

function typed<T>(attempt: () => T): T | undefined {
  try {
    return attempt()
  } catch (error) {
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

/** Whether a message leaves parts out, is padded, or spells a length longer than it needs to. */
function roundTrip(bytes: Uint8Array): void {
  const request = typed(() => decodeRequest(bytes))
  const response = typed(() => decodeResponse(bytes))
  expect(request === undefined || response === undefined).toBe(true)
  const encoded =
    request === undefined ? response && encodeResponse(response) : encodeRequest(request)
  if (encoded === undefined) return
  const again = request === undefined ? decodeResponse(encoded) : decodeRequest(encoded)
  expect(again).toEqual(request ?? response)
  // RFC 9292 allows more than one spelling, of the same message only: empty parts left out, zeros
  // behind, lengths spelled long. Any other difference would be two messages in one.
  if (bytes[0] !== 0 && bytes[0] !== 1) return
  const shared = Math.min(encoded.length, bytes.length)
  const same = encoded.subarray(0, shared).every((byte, i) => byte === bytes[i])
  const rest = [...encoded.subarray(shared), ...bytes.subarray(shared)]
  if (!same || rest.some((byte) => byte !== 0)) expect(bytes.length).toBeGreaterThan(encoded.length)
}

describe('Binary HTTP', () => {
  it('accepted-is-canonical', () => {
    fc.assert(
      fc.property(requests, (r) => {
        expect(decodeRequest(encodeRequest(r))).toEqual(r)
      }),
      BOUNDED,
    )
    fc.assert(
      fc.property(responses, (r) => {
        expect(decodeResponse(encodeResponse(r))).toEqual(r)
      }),
      BOUNDED,
    )
    fc.assert(fc.property(nearly, roundTrip), BOUNDED)
  })

  it('garbage-is-typed', () => {
    const framed = fc
      .tuple(fc.integer({ min: 0, max: 4 }), fc.uint8Array({ maxLength: 300 }))
      .map(([first, rest]) => concat(Uint8Array.of(first), rest))
    fc.assert(fc.property(framed, roundTrip), BOUNDED)
  })

  it('however the bytes are cut up, the same comes out', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 })
    fc.assert(
      fc.property(nearly, sizes, (message, steps) => {
        const whole = typed(() => flatten(message, [message.length || 1]))
        expect(typed(() => flatten(message, steps))).toEqual(whole)
      }),
      BOUNDED,
    )
  })

  it('input-is-untouched', () => {
    fc.assert(
      fc.property(messages, (message) => {
        const before = message.slice()
        const decoder = createBhttpDecoder()
        const events = [...decoder.push(message), ...decoder.end()]
        expect(message).toEqual(before)
        message.fill(0xee)
        const content = events.flatMap((event) => (event.kind === 'content' ? [event.bytes] : []))
        const encoded = before.toString()
        expect(encoded).toContain(concat(...content).toString())
      }),
      { ...BOUNDED, numRuns: 300 },
    )
  })
})

/** Head, content as one array, and trailers. */
function flatten(message: Uint8Array, sizes: readonly number[]): unknown {
  const decoder = createBhttpDecoder()
  const events: BhttpEvent[] = []
  for (let offset = 0, i = 0; offset < message.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    events.push(...decoder.push(message.subarray(offset, offset + size)))
    offset += size
  }
  events.push(...decoder.end())
  const content = events.flatMap((event) => (event.kind === 'content' ? [event.bytes] : []))
  return [events.filter((event) => event.kind !== 'content'), concat(...content)]
}

describe('key configurations', () => {
  const config = fc
    .tuple(
      fc.nat({ max: 255 }),
      fc.constantFrom<KemId[]>(0x0020, 0x0010, 0x647a),
      fc.nat({ max: 255 }),
    )
    .map(([id, kem, fill]) => keyConfigOf(id, kem, new Uint8Array(KEMS[kem].publicKey).fill(fill)))
  const mutated = fc
    .tuple(fc.array(config, { minLength: 1, maxLength: 3 }), fc.nat(), fc.nat({ max: 255 }))
    .map(([configs, at, byte]) => {
      const bytes = encodeKeyConfigs(configs)
      bytes[at % bytes.length] = byte
      return bytes
    })

  it('accepted-is-canonical', () => {
    fc.assert(
      fc.property(mutated, (bytes) => {
        const configs = typed(() => parseKeyConfigs(bytes, blame))
        if (configs === undefined) return
        const encoded = encodeKeyConfigs(configs)
        // Configs of unknown KEMs are skipped; nothing else may be missing.
        if (encoded.length === bytes.length) expect(encoded).toEqual(bytes)
        else expect(encoded.length).toBeLessThan(bytes.length)
      }),
      BOUNDED,
    )
    fc.assert(
      fc.property(config, fc.nat(), fc.nat({ max: 255 }), (one, at, byte) => {
        const bytes = encodeKeyConfig(one)
        bytes[at % bytes.length] = byte
        const parsed = typed(() => parseKeyConfig(bytes, blame))
        if (parsed !== undefined) expect(encodeKeyConfig(parsed)).toEqual(bytes)
      }),
      BOUNDED,
    )
  })

  it('garbage-is-typed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        typed(() => parseKeyConfigs(bytes, blame))
        typed(() => parseKeyConfig(bytes, blame))
      }),
      BOUNDED,
    )
  })
})

describe('byte queue', () => {
  it('gives back what went in, in any sizes', () => {
    const steps = fc.array(fc.tuple(fc.uint8Array({ maxLength: 3000 }), fc.nat({ max: 4000 })))
    fc.assert(
      fc.property(steps, (all) => {
        const queue = new ByteQueue()
        const out: Uint8Array[] = []
        for (const [bytes, want] of all) {
          queue.append(bytes)
          const first = queue.peek(0)
          const taken = queue.take(Math.min(want, queue.length))
          if (taken.length > 0) expect(taken[0]).toBe(first)
          out.push(taken)
        }
        out.push(queue.take(queue.length))
        expect(concat(...out)).toEqual(concat(...all.map(([bytes]) => bytes)))
        expect(() => queue.take(1)).toThrow(RangeError)
      }),
      { ...BOUNDED, numRuns: 200 },
    )
  })
})
