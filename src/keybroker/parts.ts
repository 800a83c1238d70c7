/** What a key broker is made of. @packageDocumentation */
import type { Clock, Hasher, Random } from '../core/ports/crypto.ts'
import type { Kek } from '../core/ports/kek.ts'
import type { KeyStore, LeaseStore } from '../core/ports/keybroker-store.ts'
import type { BlobStore, LogAppender } from '../core/ports/log.ts'
import type { KeyBrokerLimits } from './config.ts'

/**
 * Checks signature, issuer and dates of an EAR against the verifiers that this broker is configured
 * to believe, and rejects anything else. What it resolves to is not looked at.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_UNTRUSTED` or `ERR_RESULT_MALFORMED`.
 */
export type AuthenticateEar = (token: string, now: Date) => Promise<unknown>

/** Everything comes from outside; `main.ts` picks the drivers. */
export interface KeyBrokerParts {
  readonly keys: KeyStore
  readonly leases: LeaseStore
  readonly kek: Kek
  readonly log: LogAppender
  readonly blobs: BlobStore
  readonly authenticateEar: AuthenticateEar
  readonly hasher: Hasher
  readonly random: Random
  readonly now: Clock
  readonly limits: KeyBrokerLimits
}

/** Unix seconds. */
export function secondsOf(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}
