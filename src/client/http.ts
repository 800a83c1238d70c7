/** Bounded requests to the gateway, over the platform's fetch. @packageDocumentation */
import { VouchsafeError } from '../core/errors.ts'
import type { Platform } from '../core/ports/platform.ts'

/** Where the gateway is, and our key for it. */
export interface GatewayAddress {
  /** Origin, without a trailing slash. */
  readonly url: string
  readonly apiKey: string
}

const MAX_TEXT = 8 * 1024 * 1024
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
  try {
    const response = await fetch(`${url}${path}`, {
      headers: { authorization: `Bearer ${apiKey}`, accept: 'application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    return { status: response.status, text: await readText(response) }
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    throw new VouchsafeError(BLAME, `no answer from ${url}`, { cause })
  }
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of bodyOf(response)) {
    text += decoder.decode(bytes, { stream: true })
    if (text.length > MAX_TEXT) throw new VouchsafeError(BLAME, `answer over ${MAX_TEXT} bytes`)
  }
  return text + decoder.decode()
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
