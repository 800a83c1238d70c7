/**
 * One key for all attempts of a call, so that an enclave can tell a retry from a new request
 * (spec/apis.md §1.1).
 *
 * @packageDocumentation
 */
import { toBase64url } from '../core/bytes/base64url.ts'
import type { Platform } from '../core/ports/platform.ts'
import { callDigest, type PlainCall } from './openai-request.ts'

/** Calls remembered for their retries. */
const MAX_CALLS = 1024

/** Names calls: a fresh name for a first attempt, the same one for its retries. */
export function createCallNames({
  crypto,
  random,
}: Pick<Platform, 'crypto' | 'random'>): (call: PlainCall) => Promise<string> {
  const known = new Map<string, string>()
  return async (call) => {
    const digest = await callDigest(call, crypto)
    const again = call.retry > 0 ? known.get(digest) : undefined
    const key = again ?? toBase64url(random(16))
    known.delete(digest)
    known.set(digest, key)
    const [oldest] = known.keys()
    if (known.size > MAX_CALLS && oldest !== undefined) known.delete(oldest)
    return key
  }
}
