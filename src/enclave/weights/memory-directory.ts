/**
 * A directory for plaintext weights that exists in memory only. Inside a TEE that memory is encrypted
 * by the processor; a disk is not.
 *
 * @packageDocumentation
 */
import { mkdir, mkdtemp, readFile, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { VouchsafeError } from '../../core/errors.ts'
import { removeAbandoned, sayAlive } from './alive.ts'

/** Linux, include/uapi/linux/magic.h. */
const TMPFS_MAGIC = 0x01021994
const RAMFS_MAGIC = 0x858458f6
const AT = 'weights.store'
const PREFIX = 'vouchsafe-weights-'

export interface MemoryDirectory {
  readonly path: string
  /** Whether it is memory: false only where {@link MemoryDirectoryOptions} allowed that. */
  readonly inMemory: boolean
  /** Names of swap devices; plaintext may be paged out to them. Empty is good. */
  readonly swap: readonly string[]
  /** How many directories of processes that are gone were removed on this occasion. */
  readonly abandoned: number
  /** Removes it and everything in it. */
  remove(): Promise<void>
}

export interface MemoryDirectoryOptions {
  /** An existing directory on tmpfs or ramfs, e.g. `/dev/shm`. */
  readonly parent: string
  /** The risk by its name: plaintext weights would lie on a disk that the host can read. */
  readonly allowWeightsOnDisk: boolean
}

/**
 * Makes a fresh directory, mode 0700, and removes those of enclaves that were killed.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` if the parent is not memory, or not there.
 */
export async function makeMemoryDirectory(
  options: MemoryDirectoryOptions,
): Promise<MemoryDirectory> {
  const { parent, allowWeightsOnDisk } = options
  const inMemory = await isMemory(parent)
  if (!inMemory && !allowWeightsOnDisk) {
    const next = 'use a tmpfs such as /dev/shm, or accept the risk with --allow-weights-on-disk'
    throw new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at: AT }, `${parent} is a disk; ${next}`)
  }
  const abandoned = await removeAbandoned(parent, PREFIX)
  // mkdtemp makes it with mode 0700 under a name that nobody could have prepared.
  const root = await mkdtemp(join(parent, PREFIX))
  try {
    const path = join(root, 'files')
    await mkdir(path, { mode: 0o700 })
    const sayGone = await sayAlive(root)
    return {
      path,
      inMemory,
      swap: await swapDevices(),
      abandoned,
      remove: async () => {
        sayGone()
        await rm(root, { recursive: true, force: true })
      },
    }
  } catch (cause) {
    await rm(root, { recursive: true, force: true })
    throw cause
  }
}

async function isMemory(path: string): Promise<boolean> {
  try {
    const { type } = await statfs(path)
    return type === TMPFS_MAGIC || type === RAMFS_MAGIC
  } catch (cause) {
    const blame = { code: 'ERR_CONFIG_INVALID', at: AT } as const
    throw new VouchsafeError(blame, `${path} cannot be used: is it an existing directory?`, {
      cause,
    })
  }
}

async function swapDevices(): Promise<readonly string[]> {
  try {
    const [, ...lines] = (await readFile('/proc/swaps', 'utf8')).trim().split('\n')
    return lines.map((line) => line.split(/\s+/)[0] ?? '')
  } catch {
    // Not Linux, or no /proc: then there is nothing to tell.
    return []
  }
}
