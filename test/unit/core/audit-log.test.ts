import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { auditLog, readLeaf, type SeenCheckpoint } from '../../../src/core/audit/verify-log.ts'
import { toBase64 } from '../../../src/core/bytes/base64.ts'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { hashLeaf } from '../../../src/core/tlog/merkle.ts'
import { decodeBundle, encodeBundle, hashPerfect } from '../../../src/core/tlog/tiles.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { type AuditedLog, createAuditedLog, PLAIN_LEAVES, sourceOver } from '../../support/audit.ts'
import { leafOf } from '../../support/log.ts'
import { createTestLog } from '../../support/tlog.ts'

const crypto = createCrypto()
const blame = { code: 'ERR_LOG_MALFORMED', at: 'test' } as const
const failure = (code: string, at: string): Error => expect.objectContaining({ code, at }) as Error
const SIZE = PLAIN_LEAVES

let made: AuditedLog
let atSize: ReadonlyMap<string, Uint8Array>
let all: ReadonlyMap<string, Uint8Array>
let keys: AuditedLog['keys']
beforeAll(async () => {
  made = await createAuditedLog()
  ;({ before: atSize, all, keys } = made)
})
afterAll(async () => made.close())

const audit = async (
  files: ReadonlyMap<string, Uint8Array>,
  seen?: SeenCheckpoint,
): Promise<number> => {
  const onEntry = (): void => undefined
  const { checkpoint } = await auditLog({
    source: sourceOver(files),
    log: keys,
    crypto,
    seen,
    onEntry,
  })
  return checkpoint.size
}
/** A copy with one file changed. */
const change = (
  path: string,
  to: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array | undefined,
): Map<string, Uint8Array> => {
  const copy = new Map(atSize)
  const bytes = to(Uint8Array.from(copy.get(path) ?? new Uint8Array()))
  if (bytes === undefined) copy.delete(path)
  else copy.set(path, bytes)
  return copy
}
const flip = (position: number) => (bytes: Uint8Array<ArrayBuffer>) => {
  bytes[position] = (bytes[position] ?? 0) ^ 1
  return bytes
}

describe('auditLog', () => {
  it('sees every entry of a good log, in order', async () => {
    const indexes: number[] = []
    const progress: number[] = []
    await auditLog({
      source: sourceOver(atSize),
      log: keys,
      crypto,
      onEntry: (index, entry) => {
        const leaf = readLeaf(index, entry)
        // The last two announce a policy and a key.
        if (index < SIZE - 2) expect(leaf).toEqual(leafOf(index))
        indexes.push(index)
      },
      onProgress: (done) => progress.push(done),
    })
    expect(indexes).toEqual(Array.from({ length: SIZE }, (_, i) => i))
    expect(progress).toEqual([256, SIZE])
  })

  it.each([
    ['tile/entries/000', 0],
    ['tile/entries/001.p/44', 256],
    ['tile/0/000', 0],
    ['tile/0/001.p/44', 256],
    ['tile/1/000.p/1', 0],
  ])(
    'names the first index at fault when %s is missing, cut, longer or changed',
    async (path, first) => {
      const at = `log.entries[${first}]`
      expect(atSize.has(path)).toBe(true)
      for (const bad of [
        change(path, () => undefined),
        change(path, (bytes) => bytes.slice(0, -1)),
        change(path, (bytes) => concat(bytes, Uint8Array.of(0))),
        change(path, flip(5)),
      ]) {
        await expect(audit(bad)).rejects.toThrow(failure('ERR_LOG_INCONSISTENT', at))
      }
    },
  )

  it('names an entry in the middle', async () => {
    const bundle = decodeBundle(atSize.get('tile/entries/000') ?? new Uint8Array(), 256, blame)
    const forged = bundle.map((entry, i) => (i === 7 ? utf8('forged') : entry))
    const bad = change('tile/entries/000', () => encodeBundle(forged))
    await expect(audit(bad)).rejects.toThrow(failure('ERR_LOG_INCONSISTENT', 'log.entries[7]'))
    await expect(audit(change('tile/0/000', flip(32 * 9)))).rejects.toThrow(
      failure('ERR_LOG_INCONSISTENT', 'log.entries[9]'),
    )
  })

  it('is not fooled by a log that rewrote an entry and every tile above it', async () => {
    const bundle = decodeBundle(atSize.get('tile/entries/000') ?? new Uint8Array(), 256, blame)
    const forged = bundle.map((entry, i) => (i === 7 ? utf8('forged') : entry))
    const hashes = await Promise.all(forged.map(async (entry) => hashLeaf(crypto, entry)))
    const bad = new Map(atSize)
    bad.set('tile/entries/000', encodeBundle(forged))
    bad.set('tile/0/000', concat(...hashes))
    await expect(audit(bad)).rejects.toThrow(failure('ERR_LOG_INCONSISTENT', 'log.entries[0]'))
    bad.set('tile/1/000.p/1', await hashPerfect(crypto, hashes))
    await expect(audit(bad)).rejects.toThrow(failure('ERR_LOG_INCONSISTENT', 'log.root'))
  })

  it('takes the prefix of a tile that has grown full since', async () => {
    const grown = new Map(all)
    for (const [path, bytes] of atSize) if (path === 'checkpoint') grown.set(path, bytes)
    for (const level of ['0', 'entries']) {
      const full = concat(all.get(`tile/${level}/001.p/48`) ?? new Uint8Array())
      const rest =
        level === '0' ? new Uint8Array(208 * 32) : encodeBundle(Array(208).fill(utf8('x')))
      grown.set(`tile/${level}/001`, concat(full, rest))
      grown.delete(`tile/${level}/001.p/44`)
    }
    expect(await audit(grown)).toBe(SIZE)
  })

  it('holds a log to what was seen of it', async () => {
    const root = toBase64(new Uint8Array(32))
    const { checkpoint } = await auditLog({
      source: sourceOver(atSize),
      log: keys,
      crypto,
      onEntry: () => undefined,
    })
    const seen = { size: SIZE, root: toBase64(checkpoint.root) }
    expect(await audit(all, seen)).toBe(SIZE + 4)
    expect(await audit(all, { size: 0, root })).toBe(SIZE + 4)
    await expect(audit(all, { size: SIZE, root })).rejects.toThrow(
      failure('ERR_LOG_INCONSISTENT', 'log.seen'),
    )
    await expect(audit(atSize, { size: SIZE + 4, root })).rejects.toThrow(
      failure('ERR_LOG_UNAVAILABLE', 'log.seen'),
    )
  })

  it('trusts no other key, and nothing unsigned', async () => {
    const others = await createTestLog('example.com/log')
    const source = sourceOver(atSize)
    const wrong = auditLog({ source, log: others, crypto, onEntry: () => undefined })
    await expect(wrong).rejects.toThrow(failure('ERR_LOG_UNTRUSTED', 'log.note.signature'))
    await expect(audit(change('checkpoint', () => undefined))).rejects.toThrow(
      failure('ERR_LOG_UNAVAILABLE', 'log.checkpoint'),
    )
    await expect(audit(change('checkpoint', flip(20)))).rejects.toThrow(VouchsafeError)
  })

  it('says which entry is no leaf', () => {
    expect(() => readLeaf(3, utf8('one'))).toThrow(
      failure('ERR_LOG_MALFORMED', 'log.entries[3].leaf'),
    )
  })
})
