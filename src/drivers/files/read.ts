/**
 * How files are read that somebody pointed us at: never for ever, and never more than they can be.
 * No driver of a port: what drivers read with, and whoever picks them.
 *
 * @packageDocumentation
 */
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { type Blame, VouchsafeError } from '../../core/errors.ts'

/** Whose fault it is, how many bytes are read, and what to give instead. */
export interface ReadBound {
  readonly blame: Blame
  readonly most: number
  /** `a file` unless said otherwise; ends the message. */
  readonly want?: string
}

/** What the shell has opened for us, as in `<(command)`. */
const HANDED = /^\/(?:dev|proc\/self)\/fd\/\d+$/

/**
 * The bytes of a regular file, or of a pipe that the shell has opened. Nothing else is read: a device
 * has no end, and a pipe by name may have nobody at its other end.
 *
 * @throws {@link VouchsafeError} with the blame of the bound if it is anything else, cannot be read, or
 *   is longer than `most`, however long it was when that was looked at.
 */
export async function readWithin(file: string, bound: ReadBound): Promise<Uint8Array<ArrayBuffer>> {
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
    throw refusal(bound, `cannot read ${file}; give ${bound.want ?? 'an existing file'}`, cause)
  }
}

/**
 * {@link readWithin} of text.
 *
 * @throws {@link VouchsafeError} as it, and for what is not UTF-8.
 */
export async function readTextWithin(file: string, bound: ReadBound): Promise<string> {
  const bytes = await readWithin(file, bound)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw refusal(bound, `${file} is not UTF-8 text`, cause)
  }
}

/**
 * Everything that comes, up to the bound.
 *
 * @throws {@link VouchsafeError} with the blame of the bound as soon as there is more.
 */
export async function collectWithin(
  source: AsyncIterable<unknown>,
  name: string,
  bound: ReadBound,
): Promise<Uint8Array<ArrayBuffer>> {
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

async function openToRead(file: string, bound: ReadBound): Promise<FileHandle> {
  const about = await stat(file)
  if (about.isFIFO()) {
    if (HANDED.test(file)) return open(file, 'r')
    const what = `${file} is a pipe, and may have nobody at its other end`
    throw refusal(bound, `${what}; give ${bound.want ?? 'a file'}`)
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

function noFile(file: string, bound: ReadBound): VouchsafeError {
  return refusal(bound, `${file} is no file; give ${bound.want ?? 'one'}`)
}

function tooLong(name: string, bound: ReadBound): VouchsafeError {
  const what = `${name} is longer than the ${bound.most} bytes that are read`
  return refusal(bound, `${what}; give ${bound.want ?? 'a shorter one'}`)
}

function refusal({ blame }: ReadBound, detail: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError(blame, detail, { cause })
}
