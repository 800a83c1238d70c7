import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { auditLog } from '../../../src/core/audit/verify-log.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { decodeLeaf, encodeLeaf } from '../../../src/core/tlog/leaf.ts'
import type { OpenedCheckpoint } from '../../../src/core/tlog/open.ts'
import { parseProof, requireLogged } from '../../../src/core/tlog/proof.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { logLimits } from '../../../src/log/config.ts'
import { createPlace, type LogPlace, leafOf, type OpenLog, openTestLog } from '../../support/log.ts'
import { createTestLog } from '../../support/tlog.ts'

const crypto = createCrypto()
const keys = await createTestLog('example.com/log')
const failure = (code: string, at: string): Error => expect.objectContaining({ code, at }) as Error

let place: LogPlace
let open: OpenLog[] = []
beforeEach(() => {
  place = createPlace()
})
afterEach(async () => {
  for (const one of open) await one.close()
  open = []
  place.remove()
})

const start = async (changes: Parameters<typeof openTestLog>[2] = {}): Promise<OpenLog> => {
  const opened = await openTestLog(place, keys, changes)
  open.push(opened)
  return opened
}
const stop = async (): Promise<void> => {
  for (const one of open.splice(0)) await one.close()
}
const append = async ({ log }: OpenLog, count: number, first = 0): Promise<readonly number[]> => {
  const leaves = Array.from({ length: count }, async (_, i) => log.append(leafOf(first + i)))
  return (await Promise.all(leaves)).map(({ index }) => index)
}
const audit = async (): Promise<OpenedCheckpoint & { readonly entries: readonly Uint8Array[] }> => {
  const entries: Uint8Array[] = []
  const source = {
    read: async (path: string) => {
      const file = join(place.filesRoot, path)
      return existsSync(file) ? new Uint8Array(readFileSync(file)) : undefined
    },
  }
  const onEntry = (_: number, entry: Uint8Array): void => {
    entries.push(entry)
  }
  return { ...(await auditLog({ source, log: keys, crypto, onEntry })), entries }
}

describe('a log', () => {
  it('has a checkpoint of the empty tree before its first leaf', async () => {
    await start()
    const { checkpoint, verified } = await audit()
    expect(checkpoint.size).toBe(0)
    expect(verified).toHaveLength(2)
  })

  it('gives indexes in order and proves every leaf', async () => {
    const { log } = await start()
    for (let index = 0; index < 3; index++) {
      expect(await log.append(leafOf(index))).toEqual({ index })
      const proof = parseProof(utf8(await log.proof(index)))
      expect(proof.extra).toEqual(encodeLeaf(leafOf(index)))
      const entry = encodeLeaf(leafOf(index))
      const { checkpoint } = await requireLogged({ entry, proof }, keys, crypto)
      expect(checkpoint.size).toBeGreaterThan(index)
    }
  })

  it('is whole at sizes around full tiles, growing in uneven steps, over restarts', async () => {
    let size = 0
    for (const step of [1, 254, 1, 1, 255, 300, 3_500, 4_500]) {
      const log = await start()
      const indexes = await append(log, Math.min(step, 4_000), size)
      expect(indexes).toEqual(indexes.map((_, i) => size + i))
      size += indexes.length
      await stop()
      const { checkpoint, entries } = await audit()
      expect(checkpoint.size).toBe(size)
      expect(decodeLeaf(entries.at(-1) ?? new Uint8Array())).toEqual(leafOf(size - 1))
    }
    const partials = join(place.filesRoot, 'tile/0/000.p')
    expect(existsSync(partials)).toBe(false)
    const late = await start()
    for (const index of [0, 255, 256, size - 1]) {
      const proof = parseProof(utf8(await late.log.proof(index)))
      await requireLogged({ entry: encodeLeaf(leafOf(index)), proof }, keys, crypto)
    }
  })

  it('refuses a leaf that is none, and gives it no index', async () => {
    const { log } = await start()
    const bad = { ...leafOf(1), digest: 'sha256:00' }
    await expect(log.append(bad)).rejects.toThrow(failure('ERR_LOG_MALFORMED', 'log.leaf.digest'))
    expect(await log.append(leafOf(1))).toEqual({ index: 0 })
  })

  it('knows no proof of what was never appended', async () => {
    const { log } = await start()
    await expect(log.proof(0)).rejects.toThrow(failure('ERR_RESOURCE_NOT_FOUND', 'log.index'))
  })

  it('commits what comes together in one transaction of at most a batch', async () => {
    const batches: number[] = []
    const opened = await start({
      limits: { batch: 100 },
      store: (store) => ({
        ...store,
        append: async (entries) => {
          batches.push(entries.length)
          return store.append(entries)
        },
      }),
    })
    await append(opened, 250)
    expect(batches).toEqual([100, 100, 50])
  })

  it('signs an unchanged tree again, and never with an earlier time', async () => {
    let now = new Date('2026-11-23T12:00:00Z')
    const changes = { now: () => now, limits: { republishMs: 60_000 } }
    const times: (number | undefined)[] = []
    for (const moment of ['12:00:00', '12:00:59', '12:01:01', '11:00:00']) {
      now = new Date(`2026-11-23T${moment}Z`)
      await start(changes)
      await stop()
      times.push((await audit()).verified[1]?.timestamp)
    }
    const at = (time: string): number => Date.parse(`2026-11-23T${time}Z`) / 1000
    expect(times).toEqual([at('12:00:00'), at('12:00:00'), at('12:01:01'), at('12:01:01')])
  })

  it('republishes by itself while nothing happens', async () => {
    let now = new Date('2026-11-23T12:00:00Z')
    const { log } = await start({ now: () => now, limits: { republishMs: 20 } })
    const before = log.status().time
    now = new Date('2026-11-23T12:05:00Z')
    await expect.poll(() => log.status().time, { timeout: 5_000 }).toBe(before + 300)
  })
})

describe('under pressure', () => {
  it('refuses at once what is over the queue, and takes the rest', async () => {
    const { log } = await start({ limits: { queue: 10 } })
    const results = await Promise.allSettled(
      Array.from({ length: 12 }, async (_, i) => log.append(leafOf(i))),
    )
    const refused = results.filter(({ status }) => status === 'rejected')
    expect(refused).toHaveLength(2)
    expect(refused).toContainEqual({
      status: 'rejected',
      reason: failure('ERR_OVERLOADED', 'log.queue'),
    })
    expect(await log.append(leafOf(99))).toEqual({ index: 10 })
  })

  it('refuses when integration lags behind', async () => {
    let stuck = false
    const opened = await start({
      limits: { backlog: 5 },
      files: (files) => ({
        ...files,
        write: async (list) => {
          if (stuck) throw new Error('no space left on device')
          await files.write(list)
        },
      }),
    })
    stuck = true
    await append(opened, 5)
    await expect(opened.log.append(leafOf(5))).rejects.toThrow(
      failure('ERR_OVERLOADED', 'log.backlog'),
    )
    await expect.poll(() => opened.faults.length).toBeGreaterThan(0)
    expect(opened.log.status().fault).toBeInstanceOf(Error)
    stuck = false
    await expect.poll(() => opened.log.status().size).toBe(5)
    expect(opened.log.status().fault).toBeUndefined()
    expect((await audit()).checkpoint.size).toBe(5)
  })

  it('gives up in time on a store that fails, and on one that never answers', async () => {
    for (const broken of [
      async () => {
        throw new VouchsafeError({ code: 'ERR_LOG_UNAVAILABLE', at: 'log.store' }, 'disk full')
      },
      async () => new Promise<number>(() => undefined),
    ]) {
      let works = true
      const { log } = await openTestLog(place, keys, {
        limits: { waitMs: 60 },
        store: (store) => ({
          ...store,
          append: async (entries) => (works ? store.append(entries) : broken()),
        }),
      })
      works = false
      const began = performance.now()
      await expect(log.append(leafOf(0))).rejects.toThrow(
        failure('ERR_LOG_UNAVAILABLE', 'log.append'),
      )
      expect(performance.now() - began).toBeLessThan(1_000)
    }
  })

  it('gives up in time on a checkpoint that does not come', async () => {
    let stuck = false
    const opened = await start({
      limits: { waitMs: 60 },
      files: (files) => ({
        ...files,
        write: async (list) => (stuck ? new Promise<void>(() => undefined) : files.write(list)),
      }),
    })
    stuck = true
    await opened.log.append(leafOf(0))
    await expect(opened.log.proof(0)).rejects.toThrow(
      failure('ERR_LOG_UNAVAILABLE', 'log.checkpoint'),
    )
    // This one cannot be closed: its write never ends.
    open = []
    opened.store.close()
  })

  it('takes nothing after close, and has published what it took', async () => {
    const opened = await start()
    const appended = append(opened, 20)
    await opened.log.close()
    expect(await appended).toHaveLength(20)
    await expect(opened.log.append(leafOf(1))).rejects.toThrow(
      failure('ERR_LOG_UNAVAILABLE', 'log.append'),
    )
    expect((await audit()).checkpoint.size).toBe(20)
  })
})

describe('two instances on one store', () => {
  it('make one log', async () => {
    const a = await start()
    const b = await start()
    const [left, right] = await Promise.all([
      (async () => {
        const indexes: number[] = []
        for (let i = 0; i < 40; i++) indexes.push(...(await append(a, 5, 1_000 + i * 5)))
        return indexes
      })(),
      (async () => {
        const indexes: number[] = []
        for (let i = 0; i < 40; i++) indexes.push(...(await append(b, 5, 2_000 + i * 5)))
        return indexes
      })(),
    ])
    const all = [...left, ...right].sort((x, y) => x - y)
    expect(all).toEqual(Array.from({ length: 400 }, (_, i) => i))
    await Promise.all([a.log.proof(399), b.log.proof(399), a.log.proof(0)])
    await stop()
    const { checkpoint, entries } = await audit()
    expect(checkpoint.size).toBe(400)
    expect(entries[left[7] ?? 0]).toEqual(encodeLeaf(leafOf(1_007)))
    expect(entries[right[9] ?? 0]).toEqual(encodeLeaf(leafOf(2_009)))
  })
})

describe('logLimits', () => {
  it('refuses what cannot work', () => {
    expect(logLimits({ batch: 3 }).batch).toBe(3)
    for (const [name, value] of [
      ['waitMs', 0],
      ['batch', 1.5],
      ['queue', Number.NaN],
      ['republishMs', 600_001],
    ] as const) {
      expect(() => logLimits({ [name]: value })).toThrow(
        failure('ERR_CONFIG_INVALID', `log.limits.${name}`),
      )
    }
  })
})
