/** Logs on disk and on the web, as an audit reads them. @packageDocumentation */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { LogSource } from '../core/audit/source.ts'
import { VouchsafeError } from '../core/errors.ts'
import { parseVkey } from '../core/tlog/note-key.ts'
import type { LogIdentity } from '../core/tlog/open.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { createHttpClient, type HttpClient } from '../drivers/http.ts'
import { readWithin } from './input-file.ts'
import { usage } from './usage.ts'

/** A source and how to let go of it. */
export interface OpenSource {
  readonly source: LogSource
  close(): Promise<void>
}

const TIMEOUT_MS = 30_000
/** A full bundle of the longest entries is 16 MiB; ours are a sixteenth of that. */
const MAX_BYTES = 32 * 1024 * 1024
const ATTEMPTS = 3

/**
 * Opens a log: an `http(s)` URL of what lies above `checkpoint`, or a directory of the same layout.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` for anything else.
 */
export async function openSource(where: string): Promise<OpenSource> {
  if (/^https?:\/\//.test(where)) {
    if (!URL.canParse(where)) throw usage('log', `${where} is not a URL`)
    const client = createHttpClient()
    return {
      source: overHttp(client, where.replace(/\/+$/, '')),
      close: async () => client.close(),
    }
  }
  const isDirectory = await stat(where).then(
    (info) => info.isDirectory(),
    () => false,
  )
  if (!isDirectory) throw usage('log', `${where} is neither a URL nor a directory of a log`)
  return {
    source: inDirectory(where),
    close: async () => undefined,
  }
}

/** Whose log it must be: its keys, and its name if that is not the first key's. */
export async function logIdentity({
  key,
  origin,
}: {
  readonly key: readonly string[]
  readonly origin?: string
}): Promise<LogIdentity> {
  const keys = await Promise.all(key.map(async (text) => parseVkey(text, createCrypto())))
  const [first] = keys
  if (first === undefined) throw usage('key', 'give at least one --key')
  return { origin: origin ?? first.name, keys }
}

/** Our data directory has blobs beside the log's files; a web server shows them below it. */
function inDirectory(where: string): LogSource {
  return {
    read: async (path) => {
      const found = await readOrNone(join(where, path))
      if (found !== undefined || !path.startsWith('blobs/')) return found
      return readOrNone(join(where, '..', path))
    },
  }
}

function overHttp(client: HttpClient, base: string): LogSource {
  return {
    read: async (path) => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await get(client, `${base}/${path}`)
        } catch (cause) {
          if (attempt >= ATTEMPTS) throw unavailable(path, cause)
        }
      }
    },
  }
}

async function get(client: HttpClient, url: string): Promise<Uint8Array | undefined> {
  const { status, body } = await client.fetch({ url, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES })
  if (status === 404) return undefined
  if (status !== 200) throw unavailable(url, `status ${status}`)
  return body
}

async function readOrNone(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readWithin(path, { flag: 'log', most: MAX_BYTES })
  } catch (cause) {
    const { code } = ((cause as Error).cause ?? {}) as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined
    throw unavailable(path, cause)
  }
}

function unavailable(what: string, cause: unknown): VouchsafeError {
  const blame = { code: 'ERR_LOG_UNAVAILABLE', at: 'log.source' } as const
  return new VouchsafeError(blame, `cannot read ${what}`, { cause })
}
