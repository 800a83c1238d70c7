/**
 * What the gateway asks of an enclave besides relaying: its keyset over a client's nonce, and
 * receipts. Answers are bounded, timed, and passed on or checked, never believed.
 *
 * @packageDocumentation
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import { VouchsafeError } from '../core/errors.ts'

/** Bounds of one exchange. */
interface Limits {
  readonly timeoutMs: number
  readonly maxBytes: number
}

/** An evidence with its collateral is some 100 kB. */
const KEYSET: Limits = { timeoutMs: 30_000, maxBytes: 4 * 1024 * 1024 }
const RECEIPT: Limits = { timeoutMs: 10_000, maxBytes: 64 * 1024 }
/** Between looks for a receipt that is not there yet: first short, then longer. */
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 2_000
const AT = 'gateway.enclave'

/** Status and text of an enclave's answer. */
export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

/** The enclave's keyset with fresh evidence over `nonce`. */
export async function fetchKeyset(
  dispatcher: Dispatcher,
  url: string,
  nonce: string,
): Promise<Answer> {
  return get(dispatcher, { url, path: `/v1/keyset?nonce=${nonce}`, ...KEYSET })
}

/** One receipt; 404 until the answer it is about has ended. */
export async function fetchReceipt(
  dispatcher: Dispatcher,
  url: string,
  id: string,
): Promise<Answer> {
  return get(dispatcher, { url, path: `/v1/receipts/${encodeURIComponent(id)}`, ...RECEIPT })
}

/**
 * Waits for a receipt.
 *
 * @param signal - When to stop waiting; it is looked for once even then.
 * @returns Its text; `undefined` if there was none in time.
 */
export async function awaitReceipt(
  dispatcher: Dispatcher,
  { url, id, signal }: { readonly url: string; readonly id: string; readonly signal: AbortSignal },
): Promise<string | undefined> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    const answer = await fetchReceipt(dispatcher, url, id).catch((error: unknown) => {
      // Unreachable for a moment is no reason to give up before the time is over.
      if (error instanceof VouchsafeError && error.kind === 'unavailable') return undefined
      throw error
    })
    if (answer?.status === 200) return answer.body
    if (signal.aborted) return undefined
    // It rejects for one reason: the wait is over. Then the last look is the next one.
    await sleep(pause, undefined, { ref: false, signal }).catch(() => undefined)
  }
}

async function get(
  dispatcher: Dispatcher,
  { url, path, timeoutMs, maxBytes }: { readonly url: string; readonly path: string } & Limits,
): Promise<Answer> {
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: AT } as const
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const answer = await dispatcher.request({ origin: url, path, method: 'GET', signal })
    const type = answer.headers['content-type']
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > maxBytes) throw new VouchsafeError(blame, `answer over ${maxBytes} bytes`)
      chunks.push(chunk)
    }
    return {
      status: answer.statusCode,
      contentType: typeof type === 'string' ? type : '',
      body: Buffer.concat(chunks).toString('utf8'),
    }
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    throw new VouchsafeError(blame, 'the enclave did not answer', { cause })
  }
}
