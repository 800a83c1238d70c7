import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { auditLog } from '../../../src/core/audit/verify-log.ts'
import { encodeLeaf } from '../../../src/core/tlog/leaf.ts'
import { type OpenedCheckpoint, openCheckpoint } from '../../../src/core/tlog/open.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
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
const checkpointFile = (): string => join(place.filesRoot, 'checkpoint')
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

describe('refuses to start', () => {
  const backup = (): string => join(place.root, 'backup.sqlite')
  const refusal = async (
    at: string,
    changes: Parameters<typeof openTestLog>[2] = {},
  ): Promise<void> => {
    await expect(openTestLog(place, keys, changes)).rejects.toThrow(
      failure('ERR_STATE_INVALID', at),
    )
  }
  const run = async (count: number, first = 0): Promise<void> => {
    await append(await start(), count, first)
    await stop()
  }

  it('where no log was created and none may be', async () => {
    await refusal('log.create', { create: false })
    await run(1)
    await start({ create: false })
  })

  it('on a store restored from before what was published', async () => {
    await run(3)
    cpSync(place.storeFile, backup())
    await run(3, 3)
    cpSync(backup(), place.storeFile)
    // Tiles of the older size were kept, so only the published checkpoint shows what happened.
    await refusal('log.rollback')
  })

  it('on a store that was lost', async () => {
    await run(3)
    for (const end of ['', '-wal', '-shm']) rmSync(`${place.storeFile}${end}`, { force: true })
    await refusal('log.rollback')
  })

  it('on files that were lost, or are older than the store', async () => {
    await run(3)
    cpSync(place.filesRoot, join(place.root, 'old'), { recursive: true })
    await run(3, 3)
    rmSync(place.filesRoot, { recursive: true })
    await refusal('log.tiles')
    cpSync(join(place.root, 'old'), place.filesRoot, { recursive: true })
    await refusal('log.tiles')
  })

  it('on tiles of another tree', async () => {
    await run(3)
    const tile = join(place.filesRoot, 'tile/0/000.p/3')
    const bytes = readFileSync(tile)
    bytes[0] = (bytes[0] ?? 0) ^ 1
    writeFileSync(tile, bytes)
    await refusal('log.tiles')
  })

  it('on the log of another origin, or of other keys', async () => {
    await run(1)
    const elsewhere = await createTestLog('example.com/elsewhere')
    await expect(openTestLog(place, elsewhere)).rejects.toThrow(
      failure('ERR_STATE_INVALID', 'log.origin'),
    )
    const others = await createTestLog('example.com/log')
    await expect(openTestLog(place, others)).rejects.toThrow(
      failure('ERR_STATE_INVALID', 'log.checkpoint'),
    )
  })

  it('but takes up what a crash left: entries without tiles, a row without its file', async () => {
    await run(3)
    const { store, log } = await start()
    await store.append([encodeLeaf(leafOf(3))])
    rmSync(checkpointFile())
    await log.close()
    await stop()
    expect((await audit()).checkpoint.size).toBe(4)
    rmSync(checkpointFile())
    await start()
    const note = new Uint8Array(readFileSync(checkpointFile()))
    expect((await openCheckpoint(note, keys, crypto)).checkpoint.size).toBe(4)
  })
})

describe('never signs', () => {
  it('a tree that lost what was signed before', async () => {
    const opened = await start()
    await append(opened, 300)
    await expect.poll(() => opened.log.status().size).toBe(300)
    const tile = join(place.filesRoot, 'tile/0/000')
    const bytes = readFileSync(tile)
    bytes[0] = (bytes[0] ?? 0) ^ 1
    writeFileSync(tile, bytes)
    const before = readFileSync(checkpointFile(), 'utf8')
    const tile1 = join(place.filesRoot, 'tile/1/000.p/1')
    const upper = readFileSync(tile1)
    upper[0] = (upper[0] ?? 0) ^ 1
    writeFileSync(tile1, upper)
    await append(opened, 1, 300)
    await expect
      .poll(() => opened.log.status().fault)
      .toEqual(failure('ERR_STATE_INVALID', 'log.checkpoint'))
    expect(readFileSync(checkpointFile(), 'utf8')).toBe(before)
  })
})
