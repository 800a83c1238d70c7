/** Directories of JSON documents: policies, reference values. @packageDocumentation */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { VouchsafeError } from '../core/errors.ts'
import { readTextWithin } from './files/read.ts'

/** One document, unparsed. */
export interface JsonFile {
  readonly file: string
  readonly text: string
}

const MAX_FILES = 1_000
const MAX_BYTES = 1024 * 1024
const MAX_TOTAL_BYTES = 64 * 1024 * 1024
const BLAME = { code: 'ERR_CONFIG_INVALID', at: 'directory' } as const

/**
 * Every `*.json` of a directory but `*.cases.json`, which are tests, by name; not of those inside it.
 * Other systems spell names in capitals. What begins with a dot is an editor's, or a system's.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` if it cannot be read, has over 1,000 files or
 *   64 MiB, a file over 1 MiB, or one that is no regular file.
 */
export async function readJsonDirectory(path: string): Promise<readonly JsonFile[]> {
  const names = (await listOf(path)).filter(isDocument).sort()
  if (names.length > MAX_FILES) throw refusal(`${path} has more than ${MAX_FILES} files`)
  const files: JsonFile[] = []
  let total = 0
  for (const name of names) {
    const file = join(path, name)
    const text = await readTextWithin(file, { blame: BLAME, most: MAX_BYTES })
    total += text.length
    if (total > MAX_TOTAL_BYTES)
      throw refusal(`${path} is over ${MAX_TOTAL_BYTES} bytes, at ${name}`)
    files.push({ file, text })
  }
  return files
}

function isDocument(name: string): boolean {
  return /^[^.].*\.json$/is.test(name) && !/\.cases\.json$/i.test(name)
}

async function listOf(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (cause) {
    throw refusal(`cannot read ${path}; give an existing directory`, cause)
  }
}

function refusal(detail: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError(BLAME, detail, { cause })
}
