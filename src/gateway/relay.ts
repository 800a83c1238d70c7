/**
 * Carries ciphertext to an enclave and back, as it comes: no buffering, back-pressure both ways, and
 * a digest of every byte for the bill. It has no key and looks into nothing.
 *
 * @packageDocumentation
 */
import { createHash, type Hash } from 'node:crypto'
import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream'
import type { Dispatcher } from 'undici'
import { VouchsafeError } from '../core/errors.ts'

/** What passed, once all of it has. */
export interface Passed {
  /** `sha256:<hex>`. */
  readonly digest: string
  readonly bytes: number
}

export interface RelayedResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readable
  /** What of the request has been sent so far: all of it, unless the enclave answered early. */
  readonly sent: () => Passed
  /** What of `body` has passed so far. */
  readonly received: () => Passed
}

export interface RelayRequest {
  readonly url: string
  readonly contentType: string
  /** Hints travel as they came, byte for byte; absent if there were none. */
  readonly hints: string | undefined
  readonly body: Readable
  readonly maxBytes: number
  readonly signal: AbortSignal
}

/** The enclave's answer is its own: status, type and body pass; of the other headers, these. */
const PASSED_HEADERS = ['content-type', 'content-length', 'x-receipt-id', 'x-should-retry', 'date']
const AT = 'gateway.relay'

/**
 * Sends a sealed request on and returns the answer's head as soon as it is there.
 *
 * @throws {@link VouchsafeError} `ERR_UPSTREAM_UNAVAILABLE` if the enclave cannot be reached or ends
 *   the connection before answering, `ERR_REQUEST_TOO_LARGE` if the request passes `maxBytes`.
 */
export async function relay(
  dispatcher: Dispatcher,
  request: RelayRequest,
): Promise<RelayedResponse> {
  const up = new Meter(request.maxBytes)
  const upload = request.body.pipe(up)
  // No pipeline here: if the enclave answers early, the client must still be able to read that.
  request.body.once('error', (err) => upload.destroy(err))
  // Once the exchange is over nobody listens any more, and a late error must not end the process.
  upload.on('error', ignore)
  // What nobody wants any more is still taken from the client: it holds the connection otherwise.
  upload.once('close', () => request.body.resume())
  let answer: Dispatcher.ResponseData
  try {
    answer = await dispatcher.request({
      origin: request.url,
      path: '/ohttp',
      method: 'POST',
      headers: {
        'content-type': request.contentType,
        incremental: '?1',
        ...(request.hints !== undefined && { 'vouchsafe-hints': request.hints }),
      },
      body: upload,
      signal: request.signal,
    })
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: AT } as const
    throw new VouchsafeError(blame, 'the enclave did not answer', { cause })
  }
  // Whichever end breaks off, the other one is told: a client that left stops the enclave.
  const down = pipeline(answer.body, new Meter(Number.POSITIVE_INFINITY), () => {
    // Whoever has answered reads no more; a request that still runs would hold the connection.
    upload.destroy()
  })
  return {
    status: answer.statusCode,
    headers: passedHeaders(answer.headers),
    body: down,
    sent: () => up.passed(),
    received: () => down.passed(),
  }
}

function ignore(): void {
  // Both ends of the stream have the error; the relay itself has nothing to add.
}

function passedHeaders(headers: Dispatcher.ResponseData['headers']): Record<string, string> {
  const passed: Record<string, string> = {}
  for (const name of PASSED_HEADERS) {
    const value = headers[name]
    if (typeof value === 'string') passed[name] = value
  }
  return passed
}

/** Passes bytes through, counting and hashing them. */
class Meter extends Transform {
  readonly #hash: Hash = createHash('sha256')
  readonly #limit: number
  #bytes = 0

  constructor(limit: number) {
    super()
    this.#limit = limit
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#bytes += chunk.length
    if (this.#bytes > this.#limit) {
      const blame = { code: 'ERR_REQUEST_TOO_LARGE', at: 'body' } as const
      done(new VouchsafeError(blame, `over ${this.#limit} bytes`))
      return
    }
    this.#hash.update(chunk)
    done(null, chunk)
  }

  passed(): Passed {
    // A copy, because bytes may still come: an enclave need not read all before it has answered.
    return { digest: `sha256:${this.#hash.copy().digest('hex')}`, bytes: this.#bytes }
  }
}
