/** What the verifier remembers. Methods may throw `ERR_STATE_INVALID` when the store fails. @packageDocumentation */
import type { Awaitable } from './crypto.ts'

/** Nonces that were used, and which policies the log has. */
export interface VerifierStore {
  /**
   * Uses a nonce up, durably and exactly once, however many ask at the same time.
   *
   * @param expiresAt - Unix seconds, as signed in the nonce.
   * @returns `false` if it was used before, or expires no later than something already pruned: then
   *   nobody can know whether it was.
   */
  useNonce(nonce: string, expiresAt: number): Awaitable<boolean>
  /** Forgets nonces that expired before `now` (Unix seconds). They stay unusable. */
  pruneNonces(now: number): Awaitable<void>
  /** Whether the log has a `policy` leaf for this digest. */
  hasLogged(digest: string): Awaitable<boolean>
  /** Remembers that it has. */
  markLogged(digest: string, index: number): Awaitable<void>
}
