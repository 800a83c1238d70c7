/**
 * What comes back in clear: the gateway's own errors, or an enclave's that it could not seal. Nobody
 * vouched for any of it.
 *
 * @see spec/envelope.md §16
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import {
  ERROR_SOURCE_HEADER,
  isRefreshSignal,
  PROBLEM_MEDIA_TYPE,
} from '../core/sealing/problem-types.ts'
import { readBody } from './http.ts'

const LIMIT = 64 * 1024
/** How the caller's library shows the error and paces itself; no other header gets through. */
const SHOWN = ['content-type', 'retry-after', 'x-should-retry', 'x-request-id']

/**
 * Shows an unsealed error as what it is; only the signal to fetch a fresh keyset is acted upon.
 *
 * @returns No response if the keyset is to be fetched again.
 * @throws {@link VouchsafeError} `ERR_ENVELOPE_UNSUPPORTED` for anything but an error: a sealed
 *   request has no answer in clear.
 */
export async function readUnsealed(
  answer: Response,
  mediaType: string,
): Promise<{ readonly response: Response | undefined }> {
  const { status } = answer
  if (status < 400 || status > 599) {
    void answer.body?.cancel().catch(() => undefined)
    const blame = { code: 'ERR_ENVELOPE_UNSUPPORTED', at: 'client.response' } as const
    throw new VouchsafeError(blame, 'an answer in clear to a sealed request was thrown away')
  }
  const text = new TextDecoder().decode(await readBody(answer, LIMIT))
  if (mediaType === PROBLEM_MEDIA_TYPE && isRefreshSignal(status, typeOf(text))) {
    return { response: undefined }
  }
  const headers = new Headers({
    [ERROR_SOURCE_HEADER]: answer.headers.get(ERROR_SOURCE_HEADER) ?? 'unauthenticated',
  })
  for (const name of SHOWN) {
    const value = answer.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  return { response: new Response(text, { status, headers }) }
}

function typeOf(text: string): string {
  try {
    const { type } = JSON.parse(text) as { readonly type?: unknown }
    return typeof type === 'string' ? type : ''
  } catch {
    // Not JSON, so no signal of any kind.
    return ''
  }
}
