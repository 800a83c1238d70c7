import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FLOE_HEADER_SIZE } from '../../../src/core/weights/floe.ts'
import type { Manifest } from '../../../src/core/weights/manifest.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { createSegmentCipher, startDigest } from '../../../src/drivers/weights/node.ts'
import { makeMemoryDirectory } from '../../../src/enclave/weights/memory-directory.ts'
import { keysOf, openWeights } from '../../../src/enclave/weights/open.ts'
import { digestOf, sealModel } from '../../support/sealed-model.ts'

const KEY = 'kbs:///acme/models/demo?version=1'
const hasher = createCrypto()
const cipher = createSegmentCipher()
const dataKey = new Uint8Array(32).fill(7)

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'weights-'))
  await mkdir(join(root, 'open'))
})
afterEach(async () => {
  await rm(root, { recursive: true })
})

const sealAll = async (files: Readonly<Record<string, Uint8Array>>): Promise<Manifest> =>
  sealModel(files, { directory: join(root, 'sealed'), dataKey, model: 'demo', key: KEY })

const opening = (manifest: Manifest, changes: object = {}) => ({
  manifest,
  sealed: join(root, 'sealed'),
  target: join(root, 'open'),
  dataKeys: new Map([[KEY, dataKey]]),
  cipher,
  startDigest,
  hasher,
  ...changes,
})
const FILES = {
  'config.json': Buffer.from('{}'),
  'empty.bin': Buffer.alloc(0),
  'shards/one.bin': randomBytes(50_000),
}

describe('openWeights', () => {
  it('opens every file, readable by its owner alone', async () => {
    const manifest = await sealAll(FILES)
    expect(keysOf(manifest)).toEqual([KEY])
    expect(await openWeights(opening(manifest))).toEqual({ files: 3, bytes: 50_002 })
    for (const [path, plaintext] of Object.entries(FILES)) {
      expect(await readFile(join(root, 'open', path))).toEqual(plaintext)
      expect((await stat(join(root, 'open', path))).mode & 0o777).toBe(0o400)
    }
  })

  it('a wrong key, a missing key and another version open nothing', async () => {
    const manifest = await sealAll(FILES)
    const wrong = new Map([[KEY, new Uint8Array(32).fill(8)]])
    await expect(openWeights(opening(manifest, { dataKeys: wrong }))).rejects.toMatchObject({
      code: 'ERR_WEIGHTS_OPEN_FAILED',
    })
    await expect(openWeights(opening(manifest, { dataKeys: new Map() }))).rejects.toMatchObject({
      code: 'ERR_MANIFEST_MISMATCH',
      at: 'manifest.config.json.key',
    })
    const renamed = { ...manifest, version: '2' }
    const target = await mkdtemp(join(root, 'target-'))
    await expect(openWeights(opening(renamed, { target }))).rejects.toMatchObject({
      code: 'ERR_WEIGHTS_OPEN_FAILED',
    })
  })

  it('one flipped bit anywhere is refused', async () => {
    const manifest = await sealAll({ 'a.bin': randomBytes(9000) })
    const path = join(root, 'sealed', 'a.bin.floe')
    const sealed = await readFile(path)
    for (const at of [0, 3, 20, 60, 80, 100, 4096 + 74, 5000, sealed.length - 1]) {
      const changed = Buffer.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ 1
      await writeFile(path, changed)
      const target = await mkdtemp(join(root, 'target-'))
      await expect(openWeights(opening(manifest, { target }))).rejects.toMatchObject({
        code: expect.stringMatching(
          at < FLOE_HEADER_SIZE
            ? /^ERR_MANIFEST_MISMATCH$/
            : /^ERR_WEIGHTS_(OPEN_FAILED|MALFORMED|TRUNCATED)$/,
        ) as string,
      })
    }
  })

  it('truncated, grown and absent files are named', async () => {
    const manifest = await sealAll({ 'a.bin': randomBytes(9000) })
    const path = join(root, 'sealed', 'a.bin.floe')
    await truncate(path, 5000)
    await expect(openWeights(opening(manifest))).rejects.toMatchObject({
      code: 'ERR_WEIGHTS_TRUNCATED',
      at: 'weights.sealed.a.bin',
    })
    await truncate(path, 10_000)
    await expect(openWeights(opening(manifest))).rejects.toMatchObject({
      code: 'ERR_MANIFEST_MISMATCH',
      at: 'manifest.a.bin.sealedSize',
    })
    await rm(path)
    await expect(openWeights(opening(manifest))).rejects.toMatchObject({
      code: 'ERR_STATE_INVALID',
    })
  })

  it('a place that cannot take the plaintext is an invalid state, and nothing is overwritten', async () => {
    const manifest = await sealAll({ 'a.bin': Buffer.from('the model') })
    await writeFile(join(root, 'open', 'a.bin'), 'not ours')
    await expect(openWeights(opening(manifest))).rejects.toMatchObject({
      code: 'ERR_STATE_INVALID',
      at: 'weights.store.a.bin',
    })
    expect(await readFile(join(root, 'open', 'a.bin'), 'utf8')).toBe('not ours')
  })

  it('a validly sealed file with another digest is not the model', async () => {
    const manifest = await sealAll({ 'a.bin': Buffer.from('the model') })
    const [file] = manifest.files
    const lying = { ...manifest, files: [{ ...file, sha256: await digestOf(Buffer.from('x')) }] }
    await expect(openWeights(opening(lying as Manifest))).rejects.toMatchObject({
      code: 'ERR_MANIFEST_MISMATCH',
      at: 'manifest.a.bin.sha256',
    })
  })
})

describe('makeMemoryDirectory', () => {
  it('is private, in memory, and gone when removed', async () => {
    const directory = await makeMemoryDirectory({ parent: '/dev/shm', allowWeightsOnDisk: false })
    expect(directory.inMemory).toBe(true)
    expect((await stat(directory.path)).mode & 0o777).toBe(0o700)
    await writeFile(join(directory.path, 'a'), 'x')
    await directory.remove()
    expect(await readdir('/dev/shm')).not.toContain(directory.path.split('/').at(-2))
  })

  it('removes what a killed process left, and nothing of a living one or of others', async () => {
    const source = join(import.meta.dirname, '../../../src/enclave/weights/memory-directory.ts')
    const script = `import { makeMemoryDirectory } from ${JSON.stringify(source)}
      const { path } = await makeMemoryDirectory({ parent: process.argv[1], allowWeightsOnDisk: true })
      console.log(path)
      setInterval(() => undefined, 1000)`
    const start = async () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script, root])
      const [path] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string]
      return { child, path: path.trim() }
    }
    const living = await start()
    const killed = await start()
    await writeFile(join(killed.path, 'secret'), 'weights')
    killed.child.kill('SIGKILL')
    await once(killed.child, 'close')
    // Somebody else's names in a place where everybody may write.
    await mkdir(join(root, 'elsewhere'))
    await symlink(join(root, 'elsewhere'), join(root, 'vouchsafe-weights-link'))
    await mkdir(join(root, 'vouchsafe-weights-begun'))
    const own = await makeMemoryDirectory({ parent: root, allowWeightsOnDisk: true })
    expect(own.abandoned).toBe(1)
    expect(existsSync(killed.path)).toBe(false)
    for (const path of [
      living.path,
      join(root, 'elsewhere'),
      join(root, 'vouchsafe-weights-begun'),
    ]) {
      expect(existsSync(path)).toBe(true)
    }
    await own.remove()
    living.child.kill('SIGKILL')
    await once(living.child, 'close')
  })

  it('a path too long for a socket is named before anything is opened there', async () => {
    const parent = join(root, 'x'.repeat(120))
    await mkdir(parent)
    await expect(makeMemoryDirectory({ parent, allowWeightsOnDisk: true })).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      at: 'weights.store',
    })
    expect(await readdir(parent)).toEqual([])
  })

  it('a disk is refused unless the risk is accepted by name; an absent place always', async () => {
    // /proc is neither tmpfs nor ramfs on any machine, whatever /tmp is.
    const disk = { parent: '/proc', allowWeightsOnDisk: false }
    const want = { code: 'ERR_CONFIG_INVALID', at: 'weights.store' }
    await expect(makeMemoryDirectory(disk)).rejects.toMatchObject(want)
    const absent = { parent: join(root, 'absent'), allowWeightsOnDisk: true }
    await expect(makeMemoryDirectory(absent)).rejects.toMatchObject(want)
    const here = await makeMemoryDirectory({ parent: root, allowWeightsOnDisk: true })
    expect((await stat(here.path)).isDirectory()).toBe(true)
    await here.remove()
  })
})
