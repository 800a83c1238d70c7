/** What opening evidence of an unknown format may cost: every format looks at it, and it is read once. */
import { describe, expect, it } from 'vitest'
import { parseJsonTree } from '../../../src/core/encoding/json-tree.ts'
import { jsonIn, sampleOf } from '../../../src/core/evidence/common/sample.ts'
import { FORMATS, openEvidence } from '../../../src/core/evidence/formats.ts'

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'test' } as const
const text = JSON.stringify({ hcl_report: Array<number>(200_000).fill(0) })
const bytes = new TextEncoder().encode(text)
/**
 * Readings of the JSON: the sample's, one by `unwrapEvidence`, and their searches. Each format that read
 * it by itself added one: there were fourteen.
 */
const MOST_READINGS = 6

/** The least of several, since other processes can only add. */
function leastMs(work: () => void): number {
  const times = Array.from({ length: 5 }, () => {
    const start = performance.now()
    work()
    return performance.now() - start
  })
  return Math.min(...times)
}

describe('opening evidence of an unknown format', () => {
  it('costs a few readings of its JSON, and not one for each format', () => {
    const reading = leastMs(() => parseJsonTree(text, BLAME))
    const opening = leastMs(() => {
      expect(() => openEvidence(bytes)).toThrow(
        expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }) as Error,
      )
    })
    expect(opening / reading).toBeLessThan(MOST_READINGS)
  })

  it('asks every format about one sample', () => {
    const sample = sampleOf(bytes)
    const tree = sample(jsonIn)
    expect(tree?.kind).toBe('object')
    for (const format of Object.values(FORMATS)) {
      expect(format.detects(bytes, sample), format.id).toBe(format.detects(bytes))
    }
    expect(sample(jsonIn)).toBe(tree)
  })
})

describe('JSON in a sample', () => {
  it.each([
    ['nothing', ''],
    ['blanks', ' \n'],
    ['a text', '"{}"'],
    ['a number', '1'],
    ['an unfinished object', '{"a":1'],
    ['a member twice', '{"a":1,"a":2}'],
    ['something behind it', '{} {}'],
  ])('is none: %s', (_, other) => {
    expect(jsonIn(new TextEncoder().encode(other))).toBeUndefined()
  })

  it('is none where it is not UTF-8 or over 2 MiB', () => {
    expect(jsonIn(Uint8Array.of(0x7b, 0xff, 0x7d))).toBeUndefined()
    expect(jsonIn(new TextEncoder().encode(`{}${' '.repeat(2 ** 21)}`))).toBeUndefined()
  })

  it('is an object or a list, perhaps between blanks', () => {
    expect(jsonIn(new TextEncoder().encode(' {} '))?.kind).toBe('object')
    expect(jsonIn(new TextEncoder().encode('\n[1]'))?.kind).toBe('array')
  })
})
