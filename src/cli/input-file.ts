/** Reading what a command was pointed at: never for ever, and never more than it can be. @packageDocumentation */
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { VouchsafeError } from '../core/errors.ts'
import { usage } from './usage.ts'

/** Which flag or argument names the file, and how many bytes are read of it. */
export interface Bound {
  readonly flag: string
  readonly most: number
}

/** What the shell has opened for us, as in `<(command)`. */
const HANDED = /^\/(?:dev|proc\/self)\/fd\/\d+$/

/**
 * The bytes of a regular file, or of a pipe that the shell has opened. Nothing else is read: a device
 * has no end, and a pipe by name may have nobody at its other end.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if it is anything else, cannot be read, or is
 *   longer than `most`.
 */
export async function readWithin(file: string, bound: Bound): Promise<Uint8Array> {
  try {
    const handle = await openToRead(file, bound)
    try {
      const chunks = handle.createReadStream({ autoClose: false })
      return await collectWithin(chunks, file, bound)
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    const what = `cannot read ${file}; give an existing file, or - for stdin`
    throw usage(bound.flag, what, cause)
  }
}

/**
 * Everything that comes, up to the bound.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` as soon as there is more.
 */
export async function collectWithin(
  source: AsyncIterable<unknown>,
  name: string,
  bound: Bound,
): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of source as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > bound.most) throw tooLong(name, bound)
    chunks.push(chunk)
  }
  return Uint8Array.from(Buffer.concat(chunks))
}

/** For a file that may be absent: `undefined` then; what else went wrong is thrown again. */
export function ifAbsent(error: unknown): undefined {
  const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
  if (code !== 'ENOENT') throw error
}

async function openToRead(file: string, bound: Bound): Promise<FileHandle> {
  const about = await stat(file)
  if (about.isFIFO()) {
    if (HANDED.test(file)) return open(file, 'r')
    const what = `${file} is a pipe, and may have nobody at its other end; give - < ${file}`
    throw usage(bound.flag, what)
  }
  if (about.isFile() && about.size > bound.most) throw tooLong(file, bound)
  // Reading a directory says that it is one.
  if (!about.isFile() && !about.isDirectory()) throw noFile(file, bound)
  // NONBLOCK: somebody may put a pipe there meanwhile.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const found = await handle.stat()
  if (found.isFile() || found.isDirectory()) return handle
  await handle.close()
  throw noFile(file, bound)
}

function noFile(file: string, { flag }: Bound): VouchsafeError {
  return usage(flag, `${file} is no file; give one, or - for stdin`)
}

function tooLong(name: string, { flag, most }: Bound): VouchsafeError {
  return usage(flag, `${name} is longer than the ${most} bytes that are read`)
}
