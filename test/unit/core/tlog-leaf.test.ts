import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { decodeLeaf, encodeLeaf, type Leaf } from '../../../src/core/tlog/leaf.ts'
import {
  bundleRow,
  decodeBundle,
  decodeTile,
  parseTilePath,
  tilePath,
  tileRows,
  widthIn,
} from '../../../src/core/tlog/tiles.ts'

const malformed = (at?: string): Error =>
  expect.objectContaining({ code: 'ERR_LOG_MALFORMED', ...(at !== undefined && { at }) }) as Error
const digest = `sha256:${'0a'.repeat(32)}`

describe('tiles', () => {
  it('knows the tiles of a size', () => {
    expect(tileRows(0)).toEqual([])
    expect(tileRows(70_000).map(({ full, partial }) => [full, partial])).toEqual([
      [273, 112],
      [1, 17],
      [0, 1],
    ])
    expect(bundleRow(257)).toEqual({ level: 'entries', full: 1, partial: 1 })
    expect([widthIn(257, 0, 0), widthIn(257, 0, 1), widthIn(257, 0, 2)]).toEqual([256, 1, 0])
  })

  it.each([
    'tile/00/000',
    'tile/64/000',
    'tile/-1/000',
    'tile/0/0',
    'tile/0/1000',
    'tile/0/x000/001',
    'tile/0/x001/001/',
    'tile/0/001.p/0',
    'tile/0/001.p/256',
    'tile/0/001.p/07',
    'tile/0/001.p',
    'tile/0/001.p/1/x',
    'tile/entries/../000',
    'tile/0/x999/x999/x999/x999/x999/999',
    'Tile/0/000',
    '',
  ])('refuses the path %s', (path) => {
    expect(() => parseTilePath(path, { code: 'ERR_LOG_MALFORMED', at: 't' })).toThrow(
      malformed('t'),
    )
  })

  it('refuses ids that no tree has', () => {
    for (const id of [
      { level: 64, index: 0, width: 1 },
      { level: 0, index: -1, width: 1 },
      { level: 0, index: 0, width: 0 },
      { level: 0, index: 0, width: 257 },
    ]) {
      expect(() => tilePath(id)).toThrow(RangeError)
    }
  })

  it('refuses tiles and bundles of another size than asked', () => {
    const blame = { code: 'ERR_LOG_MALFORMED', at: 't' } as const
    expect(() => decodeTile(new Uint8Array(63), 2, blame)).toThrow(malformed('t'))
    for (const bad of [[0], [0, 1], [0, 2, 1], [0, 0], [0, 0, 0, 0, 0, 0]]) {
      expect(() => decodeBundle(Uint8Array.from(bad), 2, blame)).toThrow(malformed('t'))
    }
    expect(decodeBundle(Uint8Array.of(0, 0, 0, 1, 7), 2, blame)).toEqual([
      new Uint8Array(),
      Uint8Array.of(7),
    ])
  })
})

describe('leaves', () => {
  const common = { v: 1, time: 1 } as const
  const leaves: readonly Leaf[] = [
    {
      ...common,
      type: 'appraisal',
      evidence: [{ format: 'tdx', digest }],
      endorsements: digest,
      policy: digest,
      policy_id: 'authentic',
      reference_values: digest,
      binding: digest,
      result: digest,
      tier: 'affirming',
    },
    {
      ...common,
      type: 'release',
      key: 'kbs:///acme/models/qwen',
      version: 1,
      lease: 'l-1',
      decision: digest,
      ear: digest,
      policy: digest,
      recipient: 'A'.repeat(43),
    },
    {
      ...common,
      type: 'refusal',
      key: 'kbs:///acme/models/qwen',
      decision: digest,
      code: 'ERR_RELEASE_DENIED',
      at: 'policy.allOf[0]',
    },
    {
      ...common,
      type: 'keyset',
      keyset: digest,
      ear: digest,
      not_after: 5,
      models: [{ id: 'qwen', manifest: digest }],
    },
    { ...common, type: 'policy', id: 'p', digest },
    { ...common, type: 'reference-values', id: 'r', digest },
    {
      ...common,
      type: 'key',
      key: 'kbs:///acme/models/qwen',
      version: 1,
      action: 'create',
      policy: digest,
    },
  ]

  it.each(leaves.map((leaf) => [leaf.type, leaf] as const))(
    '%s: comes back, and nothing but itself',
    (_, leaf) => {
      const bytes = encodeLeaf(leaf)
      expect(decodeLeaf(bytes)).toEqual(leaf)
      const json = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
      for (const name of Object.keys(json)) {
        const rest = Object.fromEntries(Object.entries(json).filter(([other]) => other !== name))
        expect(() => decodeLeaf(utf8(sorted(rest)))).toThrow(malformed())
        expect(() => decodeLeaf(utf8(sorted({ ...json, [name]: { no: 1 } })))).toThrow(malformed())
      }
      expect(() => decodeLeaf(utf8(sorted({ ...json, zz: 1 })))).toThrow(malformed())
      expect(() => decodeLeaf(utf8(` ${sorted(json)}`))).toThrow(malformed('log.leaf'))
      expect(() => decodeLeaf(utf8(sorted(json).replace('{', '{"v":1,')))).toThrow(malformed())
      expect(() => decodeLeaf(utf8(sorted({ ...json, v: 2 })))).toThrow(malformed())
      expect(() => decodeLeaf(utf8(sorted({ ...json, time: 1.5 })))).toThrow(malformed())
    },
  )

  it('refuses an unknown type, and what is no object', () => {
    for (const bad of ['{"type":"x"}', '[]', 'null', '1', '{}', '{"type":"toString"}']) {
      expect(() => decodeLeaf(utf8(bad))).toThrow(malformed('log.leaf.type'))
    }
  })

  it('refuses what is too long, in both directions', () => {
    const models = Array.from({ length: 60 }, (_, i) => ({ id: `model-${i}`, manifest: digest }))
    const long = {
      ...common,
      type: 'keyset',
      keyset: digest,
      ear: digest,
      not_after: 1,
      models,
    } as const
    expect(() => encodeLeaf(long)).toThrow(malformed('log.leaf'))
    expect(() => decodeLeaf(new Uint8Array(4096).fill(0x20))).toThrow(malformed('log.leaf'))
  })

  it('refuses text that could not be canonical', () => {
    const id = `a\ud800`
    expect(() => encodeLeaf({ ...common, type: 'policy', id, digest })).toThrow(
      malformed('log.leaf'),
    )
  })
})

/** Canonical for values like these. */
function sorted(value: Record<string, unknown>): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))),
  )
}
