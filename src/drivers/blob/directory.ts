/**
 * Files in a directory. A file is written beside its place, synced, renamed into it, and the
 * directory synced: after a power cut it is there whole or not at all. The same directory can be
 * served as it is by any web server.
 *
 * @packageDocumentation
 */
import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { VouchsafeError } from '../../core/errors.ts'
import type { BlobStore } from '../../core/ports/log.ts'
import type { FileStore, StoredFile } from '../../core/ports/log-store.ts'

/** Unfinished files; hidden, and on the same file system as their targets. */
const TEMPORARY = '.tmp'
/** Older than any write takes, so nobody is still at it. */
const STALE_MS = 60 * 60 * 1000
/** Files in flight; more would only queue for the four threads of the pool. */
const CONCURRENCY = 16
/** No entry, bundle of entries or request is as long. */
const MAX_FILE_BYTES = 256 * 1024 * 1024
const FAILING = { code: 'ERR_STORE_UNAVAILABLE', at: 'store.directory' } as const
const UNUSABLE = { code: 'ERR_STATE_INVALID', at: 'store.directory' } as const
const DIGEST = /^sha256:([0-9a-f]{64})$/

/**
 * Opens a directory, creating it if absent, and clears what crashed writers have left.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if it cannot be used.
 */
export async function openDirectory(root: string): Promise<FileStore> {
  const directories = createDirectories()
  try {
    await directories.ensure(join(root, TEMPORARY))
    await sweep(join(root, TEMPORARY))
  } catch (cause) {
    throw new VouchsafeError(UNUSABLE, `cannot use ${root}`, { cause })
  }
  return {
    read: async (path) => readOrNone(join(root, plain(path))),
    write: async (files) => {
      const parents = new Set(files.map(({ path }) => dirname(join(root, plain(path)))))
      try {
        for (const parent of parents) await directories.ensure(parent)
        await inBatches(files, async (file) => place(root, file))
        await inBatches([...parents], syncDirectory)
      } catch (cause) {
        // Full, read-only or gone: whatever it is, it may pass, and nobody is told that it is done.
        throw new VouchsafeError(FAILING, 'cannot write', { cause })
      }
    },
    remove: async (paths) => {
      await inBatches(paths, async (path) =>
        rm(join(root, plain(path)), { force: true, recursive: true }),
      )
    },
  }
}

/** Digests that a blob store is sure of; an appraisal has a handful that are always the same. */
const KNOWN = 4_096

/**
 * Blobs as files named by their digest: `sha256/<hex>`. What was damaged on disk is never handed
 * out, and is repaired when the same bytes are put again. Blobs that come within one turn of the
 * loop share their syncs.
 */
export function createBlobStore(files: FileStore): BlobStore {
  const known = createKnown()
  const write = createBatch(files)
  const isThere = async (hex: string, bytes: Uint8Array): Promise<boolean> => {
    if (!known.has(hex)) return false
    const found = await files.read(blobPath(hex))
    return found !== undefined && Buffer.compare(found, bytes) === 0
  }
  return {
    put: async (bytes) => {
      const hex = sha256(bytes)
      if (await isThere(hex, bytes)) return `sha256:${hex}`
      // Written even if it is there: an earlier writer may not have come to sync its name.
      await write({ path: blobPath(hex), bytes })
      known.add(hex)
      return `sha256:${hex}`
    },
    get: async (digest) => {
      const hex = DIGEST.exec(digest)?.[1]
      const bytes = hex === undefined ? undefined : await files.read(blobPath(hex))
      if (bytes === undefined || hex === undefined || sha256(bytes) === hex) return bytes
      throw new VouchsafeError({ code: 'ERR_STATE_INVALID', at: 'store.blob' }, `${hex} is damaged`)
    },
  }
}

/** What this process has written and synced itself; the least recently used leave first. */
function createKnown(): { has: (hex: string) => boolean; add: (hex: string) => void } {
  const digests = new Set<string>()
  const add = (hex: string): void => {
    digests.delete(hex)
    digests.add(hex)
    const [oldest] = digests
    if (digests.size > KNOWN && oldest !== undefined) digests.delete(oldest)
  }
  return {
    add,
    has: (hex) => {
      const found = digests.has(hex)
      if (found) add(hex)
      return found
    },
  }
}

/** One write for all files that are asked for in one turn of the loop. */
function createBatch(files: FileStore): (file: StoredFile) => Promise<void> {
  let open: { readonly files: Map<string, StoredFile>; readonly written: Promise<void> } | undefined
  const begin = (): NonNullable<typeof open> => {
    const batch = new Map<string, StoredFile>()
    const written = new Promise(setImmediate).then(async () => {
      open = undefined
      await files.write([...batch.values()])
    })
    return { files: batch, written }
  }
  return async (file) => {
    open ??= begin()
    open.files.set(file.path, file)
    await open.written
  }
}

function blobPath(hex: string): string {
  return `sha256/${hex}`
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Paths come from our own formats; one that climbs out is a programmer's mistake. */
function plain(path: string): string {
  if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/.test(path)) {
    throw new RangeError('not a plain relative path')
  }
  return path
}

async function place(root: string, { path, bytes }: StoredFile): Promise<void> {
  const temporary = join(root, TEMPORARY, randomBytes(12).toString('hex'))
  try {
    const handle = await open(temporary, 'wx', 0o644)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, join(root, path))
  } catch (cause) {
    await rm(temporary, { force: true })
    throw cause
  }
}

async function readOrNone(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return await readWhole(path)
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    // Too many open files, a disk that fails: it may pass.
    throw new VouchsafeError(FAILING, `cannot read ${path}`, { cause })
  }
}

/** Not as a stream: whatever we wrote is whole under its name, and this is read for every appraisal. */
async function readWhole(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  // NONBLOCK: a pipe that somebody put there may have nobody at its other end.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const about = await handle.stat()
    if (about.isDirectory()) return undefined
    if (about.isFile() && about.size <= MAX_FILE_BYTES) {
      return Uint8Array.from(await handle.readFile())
    }
    const what = about.isFile() ? `over ${MAX_FILE_BYTES} bytes` : 'no file'
    throw new VouchsafeError(UNUSABLE, `${path} is ${what}; put back a copy of it`)
  } finally {
    await handle.close()
  }
}

/** Makes directories so that they survive a power cut, and remembers which do. */
function createDirectories(): { ensure: (path: string) => Promise<void> } {
  const durable = new Set<string>()
  const ensure = async (path: string): Promise<void> => {
    if (durable.has(path)) return
    const parent = dirname(path)
    if (!(await exists(path))) {
      if (parent !== path) await ensure(parent)
      // A careless umask must not let others write here.
      await make(path)
    }
    // Also if it was there: whoever made it may have crashed before this.
    if (parent !== path) await syncDirectory(parent)
    durable.add(path)
  }
  return { ensure }
}

/** Its parent is there: Node's `recursive` would never end in a place like `/proc`. */
async function make(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o755 })
  } catch (cause) {
    // Another process may have been first.
    if (!(await exists(path))) throw cause
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw cause
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function sweep(directory: string): Promise<void> {
  const before = Date.now() - STALE_MS
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    if (await olderThan(path, before)) await rm(path, { force: true })
  }
}

/** No, if it is gone: then its writer has just finished. */
async function olderThan(path: string, time: number): Promise<boolean> {
  try {
    return (await stat(path)).mtimeMs < time
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw cause
  }
}

async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += CONCURRENCY) {
    await Promise.all(items.slice(i, i + CONCURRENCY).map(work))
  }
}
