import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBundle, verifyBundle } from '../../../src/core/audit/bundle.ts'
import { type ReplayOutcome, replayLeaf } from '../../../src/core/audit/replay.ts'
import { replayLog } from '../../../src/core/audit/replay-log.ts'
import { auditLog, readLeaf, type SeenCheckpoint } from '../../../src/core/audit/verify-log.ts'
import { fromBase64, toBase64 } from '../../../src/core/bytes/base64.ts'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import type { AppraisalLeaf, Leaf } from '../../../src/core/tlog/leaf.ts'
import { hashLeaf } from '../../../src/core/tlog/merkle.ts'
import { decodeBundle, encodeBundle, hashPerfect } from '../../../src/core/tlog/tiles.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { nitroInput } from '../../support/appraisal.ts'
import {
  decisionOn,
  loadFiles,
  recordAppraisal,
  recordRefusal,
  recordRelease,
  sourceOver,
  tokenOf,
} from '../../support/audit.ts'
import { createPlace, leafOf, type OpenLog, openTestLog } from '../../support/log.ts'
import { createTestLog } from '../../support/tlog.ts'

const crypto = createCrypto()
const keys = await createTestLog('example.com/log')
const blame = { code: 'ERR_LOG_MALFORMED', at: 'test' } as const
const failure = (code: string, at: string): Error => expect.objectContaining({ code, at }) as Error
const tools = { crypto, memo: createMemo(64), anchors: nitroInput().anchors }
const SIZE = 300
const APPRAISAL = SIZE
const RELEASE = SIZE + 1

const place = createPlace()
let opened: OpenLog
let atSize: Map<string, Uint8Array>
let all: Map<string, Uint8Array>
let appraisal: AppraisalLeaf

beforeAll(async () => {
  opened = await openTestLog(place, keys)
  const { log, blobs } = opened
  await Promise.all(Array.from({ length: SIZE }, async (_, i) => log.append(leafOf(i))))
  await log.proof(SIZE - 1)
  atSize = loadFiles(place.filesRoot)
  const recorded = await recordAppraisal(nitroInput(), blobs)
  appraisal = recorded.leaf
  const input = decisionOn(recorded.result, APPRAISAL)
  const disabled = { ...input, key: { ...input.key, state: 'disabled' as const } }
  const refused = { code: 'ERR_KEY_NOT_RELEASABLE', at: 'key.state' }
  for (const leaf of [
    recorded.leaf,
    await recordRelease(input, blobs),
    await recordRefusal(disabled, refused, blobs),
  ]) {
    await log.append(leaf)
  }
  await log.proof(SIZE + 2)
  all = loadFiles(place.filesRoot)
})
afterAll(async () => {
  await opened.close()
  place.remove()
})

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
        expect(readLeaf(index, entry)).toEqual(leafOf(index))
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
      const full = concat(all.get(`tile/${level}/001.p/47`) ?? new Uint8Array())
      const rest =
        level === '0' ? new Uint8Array(209 * 32) : encodeBundle(Array(209).fill(utf8('x')))
      grown.set(`tile/${level}/001`, concat(full, rest))
      grown.delete(`tile/${level}/001.p/44`)
    }
    expect(await audit(grown)).toBe(SIZE)
  })

  it('holds a log to what was seen of it', async () => {
    const root = toBase64(new Uint8Array(32))
    const early = await keys.sign([], 1)
    expect(early).toContain('\n0\n')
    const seen = { size: SIZE, root: '' }
    const { checkpoint } = await auditLog({
      source: sourceOver(atSize),
      log: keys,
      crypto,
      onEntry: () => undefined,
    })
    seen.root = toBase64(checkpoint.root)
    expect(await audit(all, seen)).toBe(SIZE + 3)
    expect(await audit(all, { size: 0, root })).toBe(SIZE + 3)
    await expect(audit(all, { size: SIZE, root })).rejects.toThrow(
      failure('ERR_LOG_INCONSISTENT', 'log.seen'),
    )
    await expect(audit(atSize, { size: SIZE + 3, root })).rejects.toThrow(
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

describe('replay', () => {
  const replay = async (
    leaf: Leaf,
    {
      files = all,
      anchors = tools.anchors,
    }: { files?: Map<string, Uint8Array>; anchors?: typeof tools.anchors } = {},
    appraisals: Readonly<Record<number, AppraisalLeaf>> = { [APPRAISAL]: appraisal },
  ): Promise<ReplayOutcome['outcome']> => {
    const source = sourceOver(files)
    const appraisalAt = (index: number): AppraisalLeaf | undefined => appraisals[index]
    return (await replayLeaf(leaf, { ...tools, source, anchors, appraisalAt })).outcome
  }
  const fresh = async (): Promise<Map<string, Uint8Array>> => {
    await opened.blobs.put(utf8(''))
    return loadFiles(place.filesRoot)
  }

  it('finds every decision of an honest log the same', async () => {
    const { counts, findings } = await replayLog(
      { source: sourceOver(all), log: keys, crypto },
      tools,
    )
    expect(counts).toEqual({ same: 3, differs: 0, unreplayable: 0, 'not-replayed': SIZE })
    expect(findings).toEqual([])
  })

  it('finds a verdict that does not follow: other result, tier, time, evidence or anchors', async () => {
    const bad = await recordAppraisal(nitroInput({}, { now: new Date(0) }), opened.blobs)
    expect(bad.result.tier).toBe('contraindicated')
    const files = await fresh()
    expect(await replay(bad.leaf, { files })).toBe('same')
    for (const lie of [
      { ...appraisal, result: bad.leaf.result },
      { ...appraisal, tier: 'warning' as const },
      { ...appraisal, time: 0 },
      { ...appraisal, policy_id: 'other' },
      { ...appraisal, endorsements: appraisal.policy },
      { ...appraisal, evidence: [...appraisal.evidence, ...appraisal.evidence] },
      { ...bad.leaf, result: appraisal.result, tier: 'affirming' as const },
    ]) {
      expect(await replay(lie, { files })).toBe('differs')
    }
    expect(await replay(appraisal, { anchors: VENDOR_ANCHORS })).toBe('differs')
  })

  it('says when a blob is gone or is not what its digest says', async () => {
    for (const digest of [
      appraisal.result,
      appraisal.policy,
      appraisal.evidence[0]?.digest ?? '',
    ]) {
      const path = `blobs/${digest.replace(':', '/')}`
      const gone = new Map(all)
      expect(gone.delete(path)).toBe(true)
      expect(await replay(appraisal, { files: gone })).toBe('unreplayable')
      gone.set(path, utf8('other'))
      expect(await replay(appraisal, { files: gone })).toBe('unreplayable')
    }
  })

  it('finds a release that does not follow', async () => {
    const { blobs } = opened
    const { result } = await recordAppraisal(nitroInput(), blobs)
    const input = decisionOn(result, APPRAISAL)
    const honest = await recordRelease(input, blobs)
    const refused = decisionOn(result, APPRAISAL, { key: { ...input.key, state: 'disabled' } })
    const unfounded = decisionOn(result, 7)
    const unnamed = {
      ...input,
      claims: { ...(input.claims as object), 'vouchsafe.log_index': null },
    }
    const lies: readonly Leaf[] = [
      await recordRelease(refused, blobs),
      await recordRelease(unfounded, blobs),
      await recordRelease(unnamed, blobs),
      { ...honest, key: 'kbs:///acme/models/other' },
      { ...honest, version: 2 },
      { ...honest, recipient: 'A'.repeat(43) },
      { ...honest, policy: appraisal.policy },
      { ...honest, decision: appraisal.policy },
      { ...honest, ear: await blobs.put(tokenOf({ iss: 'other' })) },
      { ...honest, ear: appraisal.policy },
    ]
    const files = await fresh()
    expect(await replay(honest, { files })).toBe('same')
    for (const [i, lie] of lies.entries()) {
      expect(await replay(lie, { files }), `lie ${i}`).toBe('differs')
    }
    const other = { ...appraisal, result: appraisal.policy }
    expect(await replay(honest, { files }, { [APPRAISAL]: other })).toBe('differs')
    expect(await replay(honest, { files }, {})).toBe('differs')
  })

  it('finds a refusal that does not follow', async () => {
    const { blobs } = opened
    const { result } = await recordAppraisal(nitroInput(), blobs)
    const input = decisionOn(result, APPRAISAL)
    const disabled = decisionOn(result, APPRAISAL, { key: { ...input.key, state: 'disabled' } })
    const reason = { code: 'ERR_KEY_NOT_RELEASABLE', at: 'key.state' }
    const honest = await recordRefusal(disabled, reason, blobs)
    const lies: readonly Leaf[] = [
      await recordRefusal(input, reason, blobs),
      { ...honest, code: 'ERR_RELEASE_DENIED' },
      { ...honest, at: 'keyset' },
      { ...honest, key: 'kbs:///acme/models/other' },
    ]
    const files = await fresh()
    expect(await replay(honest, { files })).toBe('same')
    for (const lie of lies) expect(await replay(lie, { files })).toBe('differs')
  })
})

describe('bundles', () => {
  const make = async (index: number): Promise<string> =>
    createBundle({ source: sourceOver(all), log: keys, crypto }, index)

  it('carry a leaf with all it needs, and nothing else is asked', async () => {
    for (const [index, outcome] of [
      [0, 'not-replayed'],
      [APPRAISAL, 'same'],
      [RELEASE, 'same'],
      [RELEASE + 1, 'same'],
    ] as const) {
      const verdict = await verifyBundle(utf8(await make(index)), keys, tools)
      expect(verdict.index).toBe(index)
      expect(verdict.replay.outcome).toBe(outcome)
      expect(verdict.checkpoint.checkpoint.size).toBe(SIZE + 3)
    }
  })

  it('cannot be made of what is not there', async () => {
    await expect(make(SIZE + 3)).rejects.toThrow(failure('ERR_RESOURCE_NOT_FOUND', 'log.index'))
    const gone = new Map(all)
    gone.delete(`blobs/${appraisal.result.replace(':', '/')}`)
    const incomplete = createBundle({ source: sourceOver(gone), log: keys, crypto }, APPRAISAL)
    await expect(incomplete).rejects.toThrow(failure('ERR_LOG_INCONSISTENT', 'log.blobs'))
  })

  interface Parts {
    bundle: string
    proofs: string[]
    blobs: string[]
  }
  const altered = async (edit: (parts: Parts) => void): Promise<Uint8Array> => {
    const parts = JSON.parse(await make(RELEASE)) as Parts
    edit(parts)
    return utf8(JSON.stringify(parts))
  }

  it('are judged by their blobs, whatever is missing or changed', async () => {
    const count = (JSON.parse(await make(RELEASE)) as Parts).blobs.length
    for (let i = 0; i < count; i++) {
      const without = await altered(({ blobs }) => blobs.splice(i, 1))
      expect((await verifyBundle(without, keys, tools)).replay.outcome).toBe('unreplayable')
      const changed = await altered(({ blobs }) => {
        blobs[i] = toBase64(flip(0)(fromBase64(blobs[i] ?? '', blame)))
      })
      expect((await verifyBundle(changed, keys, tools)).replay.outcome).toBe('unreplayable')
    }
    const alone = await altered(({ proofs }) => proofs.splice(1))
    expect((await verifyBundle(alone, keys, tools)).replay.outcome).toBe('differs')
  })

  it('prove nothing under other keys, with another proof, or as something else', async () => {
    const others = await createTestLog('example.com/log')
    const good = utf8(await make(RELEASE))
    await expect(verifyBundle(good, others, tools)).rejects.toThrow(
      failure('ERR_LOG_UNTRUSTED', 'log.note.signature'),
    )
    const moved = await altered(({ proofs }) => {
      proofs[0] = (proofs[0] ?? '').replace(`index ${RELEASE}`, `index ${APPRAISAL}`)
    })
    await expect(verifyBundle(moved, keys, tools)).rejects.toThrow(
      failure('ERR_LOG_INCONSISTENT', 'log.proof.inclusion'),
    )
    const bare = await altered(({ proofs }) => {
      proofs[0] = (proofs[0] ?? '').replace(/extra .*\n/, '')
    })
    await expect(verifyBundle(bare, keys, tools)).rejects.toThrow(
      failure('ERR_LOG_MALFORMED', 'bundle.proofs[0].extra'),
    )
    for (const edit of [
      (parts: Parts) => (parts.bundle = 'v2'),
      (parts: Parts) => (parts.proofs = []),
      (parts: Parts) => parts.blobs.push('%'),
      (parts: Parts) => Object.assign(parts, { more: 1 }),
    ]) {
      const bad = await altered((parts) => {
        edit(parts)
      })
      await expect(verifyBundle(bad, keys, tools)).rejects.toThrow(
        expect.objectContaining({ code: 'ERR_LOG_MALFORMED' }),
      )
    }
  })

  it('truncation-is-typed', async () => {
    const good = utf8(await make(APPRAISAL))
    for (let i = 0; i < good.length - 1; i += 997) {
      await expect(verifyBundle(good.subarray(0, i), keys, tools)).rejects.toThrow(VouchsafeError)
    }
  })
})
