/** Bounded requests to the gateway, over the platform's fetch. @packageDocumentation */
import { concat } from '../core/bytes/bytes.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Platform } from '../core/ports/platform.ts'

/** Where the gateway is, and our key for it. */
export interface GatewayAddress {
  /** Origin, without a trailing slash. */
  readonly url: string
  readonly apiKey: string
}

const MAX_BYTES = 8 * 1024 * 1024
/** Of a stranger's words in a message of ours. */
const MAX_DETAIL = 300
const TIMEOUT_MS = 30_000
const BLAME = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'client.gateway' } as const

/**
 * `GET` of a small document.
 *
 * @returns Status and text, whatever the status.
 * @throws {@link VouchsafeError} `ERR_UPSTREAM_UNAVAILABLE` if there is no whole answer in time.
 */
export async function getText(
  { url, apiKey }: GatewayAddress,
  path: string,
  fetch: Platform['fetch'],
): Promise<{ readonly status: number; readonly text: string }> {
  const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json' }
  const { status, body } = await getBytes(`${url}${path}`, headers, fetch)
  return { status, text: new TextDecoder().decode(body) }
}

/**
 * `GET` of a small body.
 *
 * @throws {@link VouchsafeError} as {@link getText}.
 */
export async function getBytes(
  url: string,
  headers: Readonly<Record<string, string>>,
  fetch: Platform['fetch'],
): Promise<{ readonly status: number; readonly body: Uint8Array }> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const response = await fetch(url, { headers, redirect: 'error', signal })
    return { status: response.status, body: await readBody(response, MAX_BYTES) }
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    throw new VouchsafeError(BLAME, `no answer from ${new URL(url).origin}`, { cause })
  }
}

/** @throws {@link VouchsafeError} `ERR_UPSTREAM_UNAVAILABLE` for a body of more than `limit` bytes. */
export async function readBody(response: Response, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const bytes of bodyOf(response)) {
    size += bytes.length
    if (size > limit) throw new VouchsafeError(BLAME, `answer over ${limit} bytes`)
    parts.push(bytes)
  }
  return concat(...parts)
}

/** The readable part of a problem document; nobody vouched for it, so it is shown and no more. */
export function detailOf(text: string): string {
  try {
    const { detail, code } = JSON.parse(text) as { detail?: unknown; code?: unknown }
    const words = [code, detail].filter((part) => typeof part === 'string').join(' ')
    return words.slice(0, MAX_DETAIL)
  } catch {
    // Not JSON: some proxy's page, which would say nothing here.
    return 'no details'
  }
}

/** The body of a response in pieces; its reader is released however the loop ends. */
export async function* bodyOf(response: Response): AsyncGenerator<Uint8Array, undefined> {
  if (response.body === null) return
  const reader = response.body.getReader()
  let done = false
  try {
    for (;;) {
      const piece = await reader.read()
      done = piece.done
      if (piece.done) return
      yield piece.value
    }
  } finally {
    // Left early: tell the other side to stop, and do not wait for it.
    if (!done) void reader.cancel().catch(() => undefined)
  }
}
