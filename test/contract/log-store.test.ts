import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LogStore, StoredCheckpoint } from '../../src/core/ports/log-store.ts'
import { openLogStore } from '../../src/drivers/store/sqlite/log.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'vouchsafe-store-'))
})
afterEach(() => {
  rmSync(root, { recursive: true })
})

const unavailable = (): Error => expect.objectContaining({ code: 'ERR_LOG_UNAVAILABLE' }) as Error
const root0 = new Uint8Array(32)
const root1 = new Uint8Array(32).fill(1)
const entriesOf = (count: number, first = 0): readonly Uint8Array[] =>
  Array.from({ length: count }, (_, i) => new TextEncoder().encode(`entry ${first + i}`))
const checkpoint = (size: number, note: string): StoredCheckpoint => ({
  size,
  note,
  root: root1,
  time: 7,
})

// A new driver (PostgreSQL) is one more line here. Each call is another connection to one store.
describe.each([['sqlite', () => openLogStore(join(root, 'log.sqlite'))]] as const)(
  'LogStore %s',
  (_, connect) => {
    let stores: { readonly close: () => void }[] = []
    const open = (): LogStore => {
      const store = connect()
      stores.push(store)
      return store
    }
    afterEach(() => {
      for (const store of stores.splice(0)) store.close()
      stores = []
    })

    it('is nothing until it is created, and is created once', async () => {
      const store = open()
      expect(await store.state()).toBeUndefined()
      await expect(store.append(entriesOf(1))).rejects.toThrow(unavailable())
      expect(await store.create('a', root0)).toBe(true)
      expect(await open().create('b', root1)).toBe(false)
      expect(await store.state()).toEqual({
        origin: 'a',
        next: 0,
        size: 0,
        root: root0,
        checkpoint: undefined,
      })
    })

    it('gives indexes without holes, to two writers, and keeps them', async () => {
      const [a, b] = [open(), open()]
      await a.create('a', root0)
      expect(await a.append(entriesOf(3))).toBe(0)
      expect(await b.append(entriesOf(2, 3))).toBe(3)
      expect(await a.append(entriesOf(1, 5))).toBe(5)
      expect(await open().entries(1, 4)).toEqual(entriesOf(4, 1))
      expect(await b.entries(6, 4)).toEqual([])
      expect((await b.state())?.next).toBe(6)
    })

    it('advances from where it is and no further than it has, forgetting full bundles', async () => {
      const [a, b] = [open(), open()]
      await a.create('a', root0)
      await a.append(entriesOf(300))
      expect(await a.advance(1, { size: 300, root: root1 })).toBe(false)
      expect(await a.advance(0, { size: 301, root: root1 })).toBe(false)
      expect(await a.advance(0, { size: 200, root: root1 })).toBe(true)
      expect(await b.entries(0, 1)).toEqual(entriesOf(1))
      expect(await b.advance(0, { size: 300, root: root0 })).toBe(false)
      expect(await b.advance(200, { size: 300, root: root0 })).toBe(true)
      expect(await a.state()).toMatchObject({ size: 300, root: root0, next: 300 })
      expect(await a.entries(256, 300)).toEqual(entriesOf(44, 256))
      // What is gone is an error, never a shifted index.
      await expect(a.entries(255, 1)).rejects.toThrow(unavailable())
    })

    it('swaps the checkpoint only against the one that was seen, and never for a smaller one', async () => {
      const [a, b] = [open(), open()]
      await a.create('a', root0)
      expect(await a.publish('x', checkpoint(0, 'one'))).toBe(false)
      expect(await a.publish(undefined, checkpoint(5, 'one'))).toBe(true)
      expect(await b.publish(undefined, checkpoint(9, 'fork'))).toBe(false)
      expect(await b.publish('one', checkpoint(4, 'back'))).toBe(false)
      expect(await b.publish('one', checkpoint(5, 'again'))).toBe(true)
      expect(await a.publish('one', checkpoint(9, 'fork'))).toBe(false)
      expect((await open().state())?.checkpoint).toEqual(checkpoint(5, 'again'))
    })
  },
)
