/** Files that commands write: looked at before the work begins, and written whole. @packageDocumentation */
import type { Stats } from 'node:fs'
import { access, constants, lstat, realpath, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import * as files from '../drivers/files/replace.ts'
import { usage } from './usage.ts'

/** Which flag or argument names the file, and whether it may be there already. */
export interface Output {
  readonly flag: string
  readonly replace: boolean
}

/**
 * That a file could be written, before anything is done for the sake of it.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if there is no such directory, nothing may be
 *   written there, or the file is there and is not to be replaced.
 */
export async function requireRoom(file: string, { flag, replace }: Output): Promise<void> {
  const about = await statOf(file, flag)
  if (about !== undefined && !replace) throw usage(flag, `${file} is there already; name another`)
  await checking(file, flag, async () => {
    const target = about === undefined ? file : await realTarget(file)
    const there = await statOf(target, flag)
    if (there?.isDirectory() === true)
      throw usage(flag, `${file} is a directory; name a file in it`)
    if (there !== undefined && isDevice(there)) await access(target, constants.W_OK)
    else await access(dirname(target), constants.W_OK | constants.X_OK)
  })
}

/**
 * Writes a file that is not there yet; a link by its name is not followed.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if it is there, or cannot be written.
 */
export async function createFile(file: string, content: string, flag: string): Promise<void> {
  await checking(file, flag, async () => {
    await writeFile(file, content, { flag: 'wx', flush: true })
  })
}

/**
 * Writes a file in one step, in the place of one that may be there and with its mode: whoever reads
 * it finds the one or the other. Devices and pipes are written to.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if it cannot be written.
 */
export async function replaceFile(file: string, content: string, flag: string): Promise<void> {
  await checking(file, flag, async () => {
    const target = await realTarget(file)
    const before = await statOf(target, flag)
    if (before !== undefined && isDevice(before)) {
      await writeFile(target, content)
      return
    }
    const mode = before?.isFile() === true ? before.mode : undefined
    await files.replaceFile(target, content, mode)
  })
}

/** A link that is left leads nowhere: it is replaced, and nothing made where it points. */
function isDevice(about: Stats): boolean {
  return !about.isFile() && !about.isSymbolicLink()
}

/** Somebody who keeps the file elsewhere and a link here wants the file replaced, not the link. */
async function realTarget(file: string): Promise<string> {
  try {
    return await realpath(file)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return file
    throw cause
  }
}

async function statOf(file: string, flag: string): Promise<Stats | undefined> {
  try {
    return await lstat(file)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unwritable(file, flag, cause)
  }
}

async function checking(file: string, flag: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (cause) {
    throw unwritable(file, flag, cause)
  }
}

function unwritable(file: string, flag: string, cause: unknown): Error {
  const { code } = cause as NodeJS.ErrnoException
  // What is not from the system says already what is wrong.
  if (code === undefined || !(cause instanceof Error) || !('syscall' in cause)) {
    return cause instanceof Error ? cause : new Error('unreachable', { cause })
  }
  if (code === 'EEXIST') return usage(flag, `${file} is there already; name another`, cause)
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return usage(flag, `cannot write ${file}; make the directory ${dirname(file)} first`, cause)
  }
  return usage(flag, `cannot write ${file}; name a file where you may write`, cause)
}
