import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fromBase64, toBase64 } from '../../src/core/bytes/base64.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { emptyRoot, hashLeaf, hashNode, rootAt } from '../../src/core/tlog/merkle.ts'
import {
  requireConsistency,
  requireInclusion,
  requireSubtreeConsistency,
  requireSubtreeInclusion,
} from '../../src/core/tlog/merkle-check.ts'
import { encodeNote, parseNote } from '../../src/core/tlog/note.ts'
import { parseVkey } from '../../src/core/tlog/note-key.ts'
import { openCheckpoint, openNote } from '../../src/core/tlog/open.ts'
import {
  bundleRow,
  decodeBundle,
  decodeTile,
  encodeBundle,
  parseTilePath,
  tiledTree,
  tileIndexPath,
  tilePath,
  tileRows,
} from '../../src/core/tlog/tiles.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { sharedDir } from '../support/shared.ts'

const crypto = createCrypto()
const blame = { code: 'ERR_LOG_MALFORMED', at: 'test' } as const
const shared = sharedDir()

interface MerkleCase {
  readonly leafIdx?: unknown
  readonly treeSize?: unknown
  readonly size1?: unknown
  readonly size2?: unknown
  readonly start?: unknown
  readonly end?: unknown
  readonly size?: unknown
  readonly root?: string
  readonly root1?: string
  readonly root2?: string
  readonly leafHash?: string
  readonly proof: readonly string[] | null
  readonly wantErr: boolean
}

/** 64-bit numbers survive `JSON.parse` as text, and then must be refused, not rounded. */
function parseCase(text: string): MerkleCase {
  const quoted = text.replaceAll(
    /("(?:leafIdx|treeSize|size[12]?|start|end)": )(\d{16,})/g,
    '$1"$2"',
  )
  return JSON.parse(quoted) as MerkleCase
}

const number = (value: unknown): number =>
  typeof value === 'number' ? value : Number(BigInt(String(value)))
const hash = (text: string | undefined): Uint8Array => fromBase64(text ?? '', blame)

const CHECKS: Record<string, (c: MerkleCase, proof: readonly Uint8Array[]) => Promise<void>> = {
  inclusion: async (c, proof) =>
    requireInclusion(crypto, {
      index: number(c.leafIdx),
      size: number(c.treeSize),
      leafHash: hash(c.leafHash),
      root: hash(c.root),
      proof,
    }),
  consistency: async (c, proof) =>
    requireConsistency(crypto, {
      oldSize: number(c.size1),
      size: number(c.size2),
      oldRoot: hash(c.root1),
      root: hash(c.root2),
      proof,
    }),
  subtreeinclusion: async (c, proof) =>
    requireSubtreeInclusion(crypto, {
      index: number(c.leafIdx),
      start: number(c.start),
      end: number(c.end),
      leafHash: hash(c.leafHash),
      root: hash(c.root),
      proof,
    }),
  subtreeconsistency: async (c, proof) =>
    requireSubtreeConsistency(crypto, {
      start: number(c.start),
      end: number(c.end),
      size: number(c.size),
      hash: hash(c.root1),
      root: hash(c.root2),
      proof,
    }),
}

describe.runIf(shared !== undefined)('published tlog vectors', () => {
  const dir = join(shared ?? '', 'vectors/tlog')
  const text = (path: string): string => readFileSync(join(dir, path), 'utf8')
  const bytes = (path: string): Uint8Array => new Uint8Array(readFileSync(join(dir, path)))

  it('merkle: 518 cases, each with its verdict', async () => {
    const counts: Record<string, number> = {}
    for (const [family, check] of Object.entries(CHECKS)) {
      const files = readdirSync(join(dir, 'merkle', family), { recursive: true, encoding: 'utf8' })
      for (const file of files.filter((name) => name.endsWith('.json'))) {
        const vector = parseCase(text(join('merkle', family, file)))
        const verdict = check(vector, (vector.proof ?? []).map(hash))
        const label = `${family}/${file}`
        if (vector.wantErr) {
          const code = await verdict
            .then(() => 'ok')
            .catch((err: unknown) => (err as { code: string }).code)
          expect(code, label).toBe('ERR_LOG_INCONSISTENT')
        } else {
          await expect(verdict, label).resolves.toBeUndefined()
        }
        counts[family] = (counts[family] ?? 0) + 1
      }
    }
    expect(Object.values(counts).reduce((a, b) => a + b)).toBe(518)
  })

  it('trillian: every inner node follows from the leaves', async () => {
    const { leaves, nodes } = parseDump(text('trillian/dump_tree_output_96'))
    expect(leaves.size).toBe(96)
    expect(nodes.size).toBe(94)
    for (const [id, want] of nodes) {
      const [depth = 0, index = 0] = id.split(':').map(Number)
      const child = (i: number): Uint8Array => {
        const below = `${depth + 1}:${i}`
        const found = nodes.get(below) ?? leaves.get(below)
        if (found === undefined) throw new Error(`no node ${below}`)
        return found
      }
      expect(await hashNode(crypto, child(2 * index), child(2 * index + 1))).toEqual(want)
    }
  })

  it('C2SP examples: note, tile paths, tile counts, empty root', async () => {
    const examples = JSON.parse(text('c2sp-examples.json')) as {
      signed_note: { vkey: string; note: string }
      tile_index_paths: Record<string, string>
      tiles_for_size: Record<string, Record<string, number>>
      empty_root_b64: string
    }
    const { vkey, note } = examples.signed_note
    const key = await parseVkey(vkey, crypto)
    const opened = await openNote(utf8(note), [key], crypto)
    expect(opened.note.text).toBe('This is an example message.\n')
    expect(encodeNote(parseNote(utf8(note)))).toBe(note)

    const paths = Object.entries(examples.tile_index_paths)
    expect(paths).toHaveLength(5)
    for (const [index, path] of paths) {
      expect(tileIndexPath(Number(index))).toBe(path)
      const tile = { level: 3, index: Number(index), width: 7 }
      expect(parseTilePath(tilePath(tile), blame)).toEqual(tile)
    }
    for (const [size, want] of Object.entries(examples.tiles_for_size)) {
      const counts = tileRows(Number(size)).flatMap(({ level, full, partial }) => [
        ...(full > 0 ? [[`level${level}_full`, full]] : []),
        ...(partial > 0 ? [[`level${level}_partial`, partial]] : []),
      ])
      expect(Object.fromEntries(counts)).toEqual(want)
    }
    expect(toBase64(await emptyRoot(crypto))).toBe(examples.empty_root_b64)
  })

  it('tessera: a whole log, at each of its sixteen sizes', async () => {
    const examples = JSON.parse(text('c2sp-examples.json')) as { tessera_testlog_vkey: string }
    const key = await parseVkey(examples.tessera_testlog_vkey, crypto)
    const log = { origin: key.name, keys: [key] }
    let opened = 0
    for (let size = 0; size <= 15; size++) {
      const path = `tessera-log/checkpoint.${size}`
      const { checkpoint } = await openCheckpoint(bytes(path), log, crypto)
      expect(checkpoint.size).toBe(size)
      const tree = tiledTree(crypto, size, async (tile) =>
        decodeTile(bytes(join('tessera-log', tilePath(tile))), tile.width, blame),
      )
      expect(await rootAt(tree, size)).toEqual(checkpoint.root)
      const { partial } = bundleRow(size)
      if (partial > 0) {
        const bundle = bytes(
          join('tessera-log', tilePath({ level: 'entries', index: 0, width: partial })),
        )
        const entries = decodeBundle(bundle, partial, blame)
        expect(encodeBundle(entries)).toEqual(bundle)
        for (const [i, entry] of entries.entries()) {
          expect(await hashLeaf(crypto, entry)).toEqual(await tree.node(0, i))
        }
      }
      opened++
    }
    expect(opened).toBe(16)
  })
})

/** Text protobuf: C escapes beside raw UTF-8. Ids become `depth:index`. */
function parseDump(dump: string): {
  leaves: Map<string, Uint8Array>
  nodes: Map<string, Uint8Array>
} {
  const leaves = new Map<string, Uint8Array>()
  const nodes = new Map<string, Uint8Array>()
  const entry =
    /(leaves|internal_nodes): \{\s*key: "((?:[^"\\]|\\.)*)"\s*value: "((?:[^"\\]|\\.)*)"/g
  for (const [, kind, key = '', value = ''] of dump.matchAll(entry)) {
    const [depth = 0, byte = 0] = fromBase64(key, blame)
    const id = `${depth}:${byte >> (8 - depth)}`
    ;(kind === 'leaves' ? leaves : nodes).set(id, unescapeBytes(value))
  }
  return { leaves, nodes }
}

function unescapeBytes(text: string): Uint8Array {
  const named: Record<string, number> = { n: 10, r: 13, t: 9, '"': 34, "'": 39, '\\': 92 }
  const bytes: number[] = []
  for (const [part, escape] of text.matchAll(/\\(x[0-9a-f]{2}|u[0-9a-f]{4}|.)|[^\\]/gsu)) {
    if (escape === undefined) bytes.push(...utf8(part))
    else if (escape.startsWith('x')) bytes.push(Number.parseInt(escape.slice(1), 16))
    else if (escape.length > 1) {
      bytes.push(...utf8(String.fromCharCode(Number.parseInt(escape.slice(1), 16))))
    } else bytes.push(named[escape] ?? 0)
  }
  return Uint8Array.from(bytes)
}
