import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { decodeLeaf } from '../../src/core/tlog/leaf.ts'
import { inclusionProof } from '../../src/core/tlog/merkle.ts'
import { encodeNote, parseNote } from '../../src/core/tlog/note.ts'
import { noteKey } from '../../src/core/tlog/note-key.ts'
import { openCheckpoint } from '../../src/core/tlog/open.ts'
import { encodeProof, parseProof } from '../../src/core/tlog/proof.ts'
import { decodeBundle, parseTilePath } from '../../src/core/tlog/tiles.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createTestLog, type TestLog } from '../support/tlog.ts'

const crypto = createCrypto()
const blame = { code: 'ERR_LOG_MALFORMED', at: 'test' } as const
const LIMIT = { interruptAfterTimeLimit: 3_000, markInterruptAsFailure: false, numRuns: 2_000 }

describe('texts', () => {
  let log: TestLog
  let note: Uint8Array
  let proof: Uint8Array
  beforeAll(async () => {
    log = await createTestLog('example.com/log')
    const list = [utf8('a'), utf8('b'), utf8('c')]
    note = utf8(await log.sign(list, 1_700_000_000))
    const root = await log.tree(list)
    proof = utf8(
      encodeProof({
        extra: utf8('b'),
        index: 1,
        hashes: await inclusionProof(root, 1, 3),
        checkpoint: Buffer.from(note).toString(),
      }),
    )
  })

  it('flip-never-affirms: no byte of a checkpoint can change and still be signed by every key', async () => {
    for (let i = 0; i < note.length; i += i < 120 ? 1 : 37) {
      const changed = note.slice()
      changed[i] = (changed[i] ?? 0) ^ 1
      const opened = openCheckpoint(changed, log, crypto)
      // A line whose name or id changed is another key's and ignored; then one signature remains.
      const count = await opened.then(({ verified }) => verified.length).catch(typed)
      expect(count, `byte ${i}`).toBeLessThan(2)
    }
  })

  it('truncation-is-typed', async () => {
    for (let i = 0; i < note.length; i += i < 250 ? 1 : 41) {
      const count = await openCheckpoint(note.subarray(0, i), log, crypto)
        .then(({ verified }) => verified.length)
        .catch(typed)
      expect(count).toBeLessThan(2)
    }
    for (let i = 0; i < proof.length; i += i < 250 ? 1 : 41) {
      const { checkpoint } = safely(() => parseProof(proof.subarray(0, i))) ?? { checkpoint: '' }
      expect(checkpoint.length).toBeLessThan(note.length)
    }
  })

  it('garbage-is-typed', () => {
    const texts = fc.oneof(
      fc.uint8Array({ maxLength: 500 }),
      fc.string({ unit: 'binary', maxLength: 300 }).map(utf8),
      fc
        .tuple(fc.nat({ max: note.length }), fc.uint8Array({ maxLength: 9 }))
        .map(([at, bytes]) =>
          concat(note.subarray(0, at), bytes, note.subarray(at + bytes.length)),
        ),
      fc
        .tuple(fc.nat({ max: proof.length }), fc.uint8Array({ maxLength: 9 }))
        .map(([at, bytes]) =>
          concat(proof.subarray(0, at), bytes, proof.subarray(at + bytes.length)),
        ),
    )
    fc.assert(
      fc.property(texts, (bytes) => {
        const before = Uint8Array.from(bytes)
        const parsed = safely(() => parseNote(bytes))
        if (parsed !== undefined) expect(utf8(encodeNote(parsed))).toEqual(before)
        const parsedProof = safely(() => parseProof(bytes))
        if (parsedProof !== undefined) expect(utf8(encodeProof(parsedProof))).toEqual(before)
        safely(() => decodeLeaf(bytes))
        safely(() => decodeBundle(bytes, 2, blame))
        safely(() => parseTilePath(new TextDecoder().decode(bytes), blame))
        expect(Uint8Array.from(bytes)).toEqual(before)
      }),
      LIMIT,
    )
  })

  it('a key under another name has another id', async () => {
    const { publicKey } = generateKeyPairSync('ed25519')
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
    const key = { alg: 'Ed25519', spki } as const
    const a = await noteKey({ name: 'a', type: 1, key }, crypto)
    const b = await noteKey({ name: 'b', type: 1, key }, crypto)
    const c = await noteKey({ name: 'a', type: 4, key }, crypto)
    expect(new Set([a.id, b.id, c.id]).size).toBe(3)
  })
})

/** 0, if this is an error of ours; anything else is a bug. */
function typed(err: unknown): number {
  expect(err).toBeInstanceOf(VouchsafeError)
  return 0
}

function safely<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch (err) {
    expect(err).toBeInstanceOf(VouchsafeError)
    return undefined
  }
}
