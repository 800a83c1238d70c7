import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { parseQuoteHeader } from '../../../src/core/evidence/intel-dcap/header.ts'
import { vectors } from '../../support/vectors.ts'

interface Vector {
  comment: string
  spec: string
  input: string
  expect: string
  tee?: string
}

describe('parseQuoteHeader', () => {
  const keys = ['comment', 'spec', 'input', 'expect', 'tee'] as const
  const all = vectors<Vector>('dcap-quote-header', keys, 11)

  it.each(all)('$name: $comment', ({ input, expect: want, tee }) => {
    const quote = Uint8Array.from(Buffer.from(input, 'hex'))
    if (want === 'ok') {
      expect(parseQuoteHeader(quote).tee).toBe(tee)
    } else {
      expect(() => parseQuoteHeader(quote)).toThrow(expect.objectContaining({ code: want }))
    }
  })

  it('garbage-is-typed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (quote) => {
        try {
          parseQuoteHeader(quote)
        } catch (err) {
          expect(err).toBeInstanceOf(VouchsafeError)
        }
      }),
    )
  })

  it('input-is-untouched: results are copies', () => {
    const quote = Uint8Array.from(Buffer.from(`0400020081000000${'11'.repeat(40)}`, 'hex'))
    const { userData } = parseQuoteHeader(quote)
    quote.fill(0)
    expect(userData).toEqual(new Uint8Array(20).fill(0x11))
  })
})
