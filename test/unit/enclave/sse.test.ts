import { expect, it } from 'vitest'
import { dataOf, encodeEvent } from '../../../src/enclave/sse.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

it('data lines are joined, one blank after the colon is dropped', () => {
  expect(dataOf(bytes('event: x\ndata: a\ndata:b\ndata\n\n'))).toBe('a\nb\n')
  expect(dataOf(bytes('data: a\r\ndata: b\r\n\r\n'))).toBe('a\nb')
  expect(dataOf(bytes(': ping\n\n'))).toBeUndefined()
})

it('what is encoded is read back', () => {
  expect(dataOf(encodeEvent('{"a":1}'))).toBe('{"a":1}')
})
