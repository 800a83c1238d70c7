import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { VerifierStore } from '../../src/core/ports/verifier-store.ts'
import { openVerifierStore } from '../../src/drivers/store/sqlite/verifier.ts'

type Opened = VerifierStore & { close(): void }

const DRIVERS: Readonly<Record<string, (path: string) => Opened>> = { sqlite: openVerifierStore }

describe.each(Object.entries(DRIVERS))('verifier store on %s', (_, open) => {
  let directory: string
  const opened: Opened[] = []
  const store = (): Opened => {
    const made = open(join(directory, 'store'))
    opened.push(made)
    return made
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vouchsafe-'))
  })
  afterEach(() => {
    for (const made of opened.splice(0)) made.close()
    rmSync(directory, { recursive: true })
  })

  it('nonce-and-enc-once', async () => {
    const first = store()
    expect(await first.useNonce('n1', 100)).toBe(true)
    expect(await first.useNonce('n1', 100)).toBe(false)
    // Another expiry does not make it another nonce.
    expect(await first.useNonce('n1', 200)).toBe(false)
    expect(await first.useNonce('n2', 100)).toBe(true)
    first.close()
    expect(await store().useNonce('n1', 100)).toBe(false)
  })

  it('keeps what is pruned unusable, also after a restart', async () => {
    const first = store()
    await first.useNonce('old', 100)
    await first.useNonce('new', 300)
    await first.pruneNonces(200)
    expect(await first.useNonce('old', 100)).toBe(false)
    expect(await first.useNonce('never seen', 150)).toBe(false)
    first.close()
    const second = store()
    expect(await second.useNonce('old', 100)).toBe(false)
    expect(await second.useNonce('new', 300)).toBe(false)
    expect(await second.useNonce('fresh', 200)).toBe(true)
  })

  it('never moves the mark back when the clock does', async () => {
    const made = store()
    await made.pruneNonces(500)
    await made.pruneNonces(100)
    expect(await made.useNonce('n', 400)).toBe(false)
  })

  it('remembers what was logged', async () => {
    const made = store()
    expect(await made.hasLogged('sha256:aa')).toBe(false)
    await made.markLogged('sha256:aa', 7)
    await made.markLogged('sha256:aa', 8)
    expect(await made.hasLogged('sha256:aa')).toBe(true)
  })

  it('gives a nonce to one of many threads', async () => {
    const path = join(directory, 'store')
    store()
    const module = new URL('../../src/drivers/store/sqlite/verifier.ts', import.meta.url).href
    const code = `
      const { parentPort, workerData } = require('node:worker_threads')
      import(workerData.module).then(({ openVerifierStore }) => {
        const store = openVerifierStore(workerData.path)
        const won = []
        for (let i = 0; i < 50; i++) if (store.useNonce('n' + i, 100)) won.push(i)
        store.close()
        parentPort.postMessage(won)
      })`
    const run = async (): Promise<number[]> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(code, { eval: true, workerData: { module, path } })
        worker.once('message', resolve)
        worker.once('error', reject)
      })
    const won = (await Promise.all([run(), run(), run()])).flat()
    expect(won.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i))
  })
})
