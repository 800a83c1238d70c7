/** Directories of JSON documents: policies, reference values. @packageDocumentation */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { VouchsafeError } from '../core/errors.ts'

/** One document, unparsed. */
export interface JsonFile {
  readonly file: string
  readonly text: string
}

const MAX_FILES = 1_000
const MAX_BYTES = 1024 * 1024

/**
 * Every `*.json` of a directory but `*.cases.json`, which are tests, by name; not of those inside it.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` if it cannot be read, has over 1,000 files,
 *   one over 1 MiB, or one that is no regular file.
 */
export async function readJsonDirectory(path: string): Promise<readonly JsonFile[]> {
  const names = (await reading(path, async () => readdir(path)))
    .filter((name) => name.endsWith('.json') && !name.endsWith('.cases.json'))
    .sort()
  if (names.length > MAX_FILES) throw refusal(`${path} has more than ${MAX_FILES} files`)
  const files: JsonFile[] = []
  for (const name of names) {
    const file = join(path, name)
    const about = await reading(file, async () => stat(file))
    // A device has no end, and a pipe perhaps nobody to fill it.
    if (!about.isFile()) throw refusal(`${file} is no regular file`)
    if (about.size > MAX_BYTES) throw refusal(`${file} is over ${MAX_BYTES} bytes`)
    files.push({ file, text: await reading(file, async () => readFile(file, 'utf8')) })
  }
  return files
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    throw refusal(`cannot read ${path}`, cause)
  }
}

function refusal(detail: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at: 'directory' }, detail, { cause })
}
