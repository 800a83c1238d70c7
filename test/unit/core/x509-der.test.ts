import fc from 'fast-check'
import asn1, { type Asn1 } from 'node-forge/lib/asn1.js'
import { describe, expect, it } from 'vitest'
import {
  type Der,
  readBitString,
  readBoolean,
  readChildren,
  readDer,
  readIntegerBytes,
  readOid,
  readSmallInteger,
  readTime,
} from '../../../src/core/encoding/der.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { mintIntelPki } from '../../../src/testing/index.ts'
import { forgeTree, type Tree, treeOf } from '../../support/der-tree.ts'
import { NOW } from '../../support/tdx.ts'

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const refused = expect.objectContaining({ code: BLAME.code }) as unknown
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
const FORGE = { decodeBitStrings: false, strict: true }
const certificates = Object.entries(mintIntelPki({ now: NOW }).certificates)

describe('DER', () => {
  it.each([
    ['nothing', ''],
    ['a tag alone', '30'],
    ['indefinite length', '30800000'],
    ['one-byte length in two bytes', '30810100'],
    ['two-byte length in three bytes', '3082007f'],
    ['five length bytes', '30850000000001ff'],
    ['more than there is', '300201'],
    ['a byte left over', '300000'],
    ['a tag of two bytes', '1f810000'],
  ])('refuses %s', (_, bytes) => {
    expect(() => readDer(hex(bytes), BLAME)).toThrow(refused)
  })

  it('refuses members that do not fit, and members of a primitive', () => {
    expect(() => readChildren(readDer(hex('30030203ff'), BLAME), BLAME)).toThrow(refused)
    expect(() => readChildren(readDer(hex('020100'), BLAME), BLAME)).toThrow(refused)
  })

  it.each([
    ['2a8648ce3d030107', '1.2.840.10045.3.1.7'],
    ['2b06010401', '1.3.6.1.4.1'],
    ['551d0f', '2.5.29.15'],
    ['8837', '2.999'],
    ['00', '0.0'],
    ['4f', '1.39'],
    // A UUID under 2.25: 128 bits in one arc.
    ['6983ffffffffffffffffffffffffffffffffff7f', `2.25.${2n ** 128n - 1n}`],
  ])('object identifier %s is %s', (content, text) => {
    const der = hex(`06${(content.length / 2).toString(16).padStart(2, '0')}${content}`)
    expect(readOid(readDer(der, BLAME), BLAME)).toBe(text)
  })

  it.each([
    ['object identifier: not minimal', '0603550080', readOid],
    ['object identifier: padded', '0603558001', readOid],
    ['object identifier: cut off', '06025580', readOid],
    ['object identifier: empty', '0600', readOid],
    ['object identifier: 33 bytes', `0621${'01'.repeat(33)}`, readOid],
    ['integer: empty', '0200', readIntegerBytes],
    ['integer: padded', '0202007f', readIntegerBytes],
    ['integer: padded negative', '0202ff80', readIntegerBytes],
    ['integer: an octet string', '040101', readIntegerBytes],
    ['small integer: negative', '020180', readSmallInteger],
    ['small integer: 2^31', '02050080000000', readSmallInteger],
    ['boolean: 1', '010101', readBoolean],
    ['boolean: two bytes', '0102ffff', readBoolean],
    ['bit string: unused bits', '03020100', readBitString],
    ['bit string: empty', '0300', readBitString],
  ] as const)('refuses %s', (_, bytes, reader) => {
    expect(() => reader(readDer(hex(bytes), BLAME), BLAME)).toThrow(refused)
  })

  const time = (tag: number, text: string): Der =>
    readDer(Uint8Array.from([tag, text.length, ...Buffer.from(text)]), BLAME)

  it.each([
    [0x17, '491231235959Z', '2049-12-31T23:59:59.000Z'],
    [0x17, '500101000000Z', '1950-01-01T00:00:00.000Z'],
    [0x18, '20500101000000Z', '2050-01-01T00:00:00.000Z'],
    [0x18, '99991231235959Z', '9999-12-31T23:59:59.000Z'],
    [0x17, '240229000000Z', '2024-02-29T00:00:00.000Z'],
  ] as const)('time %i %s', (tag, text, iso) => {
    expect(readTime(time(tag, text), BLAME).toISOString()).toBe(iso)
  })

  it.each([
    [0x17, '230229000000Z'],
    [0x17, '231301000000Z'],
    [0x17, '230100000000Z'],
    [0x17, '230101240000Z'],
    [0x17, '230101006000Z'],
    [0x17, '230101000060Z'],
    [0x17, '2301010000Z'],
    [0x17, '230101000000+0000'],
    [0x17, '23 101000000Z'],
    [0x18, '00500101000000Z'],
    [0x18, '20500101000000.5Z'],
    [0x13, '230101000000Z'],
  ] as const)('no time %i %s', (tag, text) => {
    expect(() => readTime(time(tag, text), BLAME)).toThrow(refused)
  })

  it('a time of a million bytes is a typed error, not a stack overflow', () => {
    const huge = Uint8Array.from([0x17, 0x83, 0x0f, 0x42, 0x40, ...new Uint8Array(1_000_000)])
    expect(() => readTime(readDer(huge, BLAME), BLAME)).toThrow(refused)
  })

  it('garbage-is-typed, and accepted-is-canonical by the measure of node-forge', () => {
    let accepted = 0
    fc.assert(
      fc.property(derish, (bytes) => {
        let mine: readonly Der[]
        let tree: Tree
        try {
          mine = readChildren(readDer(bytes, BLAME), BLAME)
          // Ours reads where it is told; forge reads all the way down, so ours is told to as well.
          tree = treeOf(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(VouchsafeError)
          return
        }
        if (hasOddPairs(tree)) return
        accepted++
        // What we take, forge reads the same way and would encode to the same bytes.
        const theirs = asn1.fromDer(Buffer.from(bytes).toString('latin1'), FORGE)
        expect(asn1.toDer(theirs).getBytes()).toBe(Buffer.from(bytes).toString('latin1'))
        expect((theirs.value as readonly Asn1[]).length).toBe(mine.length)
      }),
      { numRuns: 2000 },
    )
    expect(accepted).toBeGreaterThan(100)
  })

  it('reads elements numbered as BMPString of any class, and of any length', () => {
    const lengths = (text: string): readonly number[] =>
      readChildren(readDer(hex(text), BLAME), BLAME).map(({ content }) => content.length)
    expect(lengths('30050c005e0100')).toEqual([0, 1])
    expect(lengths('30059e03000102')).toEqual([3])
  })

  it.each(certificates)('reads the elements of a certificate as node-forge does: %s', (_, der) => {
    expect(treeOf(der)).toEqual(forgeTree(der))
  })
})

/**
 * Whether node-forge would stumble: it takes tag number 30 of every class for a BMPString, reads that
 * in pairs of bytes, and so refuses an odd length.
 */
function hasOddPairs([tag, content]: Tree): boolean {
  if (typeof content !== 'string') return content.some(hasOddPairs)
  return tag === 0x1e && content.length % 4 !== 0
}

/** Short sequences of small elements, some of them broken. */
const derish = fc
  .array(
    fc.record({
      tag: fc.constantFrom(0x0c, 0x04, 0x05, 0x30, 0x31, 0x1f),
      length: fc.oneof(fc.constant(undefined), fc.nat(255)),
      content: fc.uint8Array({ maxLength: 6 }),
    }),
    { maxLength: 4 },
  )
  .map((elements) => {
    const content = elements.flatMap(({ tag, length, content: own }) => {
      const inner = tag >= 0x30 ? [] : [...own]
      const simple = length === undefined || length > 40
      return [tag, simple ? inner.length : length, ...inner]
    })
    return Uint8Array.from([0x30, content.length, ...content])
  })
