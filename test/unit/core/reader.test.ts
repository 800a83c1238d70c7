import { describe, expect, it } from 'vitest'
import { ByteReader } from '../../../src/core/bytes/reader.ts'

const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'x' } as const
const read = (bytes: number[], order: 'le' | 'be' = 'le') =>
  new ByteReader(Uint8Array.from(bytes), order, blame)
const malformed = (at: string): unknown =>
  expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED', at })

describe('ByteReader', () => {
  it('reads integers in the order asked for', () => {
    const bytes = [1, 2, 0, 4, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]
    const r = read(bytes)
    expect([r.u8('a'), r.u16('b'), r.u32('c'), r.u64('d')]).toEqual([1, 2, 4, 8n])
    expect(read([1, 2], 'be').u16('a')).toBe(0x0102)
  })

  it.each([-1, 1.5, 2, Number.NaN, 2 ** 53])('refuses a length of %d with one byte left', (n) => {
    expect(() => read([0]).bytes(n, 'f')).toThrow(malformed('x.f'))
  })

  it('insists on zeros and on the end', () => {
    expect(() => {
      read([0, 1]).zeros(2, 'reserved')
    }).toThrow(malformed('x.reserved'))
    expect(() => {
      read([0]).end()
    }).toThrow(malformed('x.end'))
    const r = read([0, 0])
    r.zeros(2, 'reserved')
    r.end()
  })
})
