/**
 * What the key broker remembers: keys, wrapped, and who has been given them. Methods are durable
 * when they answer, and may throw `ERR_STATE_INVALID` when the store fails. Times are Unix seconds;
 * `null` is no bound.
 *
 * @packageDocumentation
 */
import type { Json } from '../encoding/canonical-json.ts'
import type { KeyState } from '../keys/release.ts'
import type { KeyId } from '../keys/uri.ts'
import type { Awaitable } from './crypto.ts'
import type { WrappedKey } from './kek.ts'

/** One version. Its material never changes; it can only go. */
export interface StoredVersion {
  readonly version: number
  readonly state: KeyState
  readonly createdAt: number
  readonly notBefore: number | null
  readonly notAfter: number | null
  /** When it will be destroyed, while it is pending. */
  readonly destroyAt: number | null
  /** `null` once destroyed. */
  readonly wrapped: WrappedKey | null
  /** Releases so far, reserved ones included. Written by {@link LeaseStore} only. */
  readonly releases: number
}

/** A key with all its versions, oldest first. */
export interface StoredKey {
  readonly id: KeyId
  /** Counts changes: 1 when created. */
  readonly revision: number
  readonly createdAt: number
  /** The canonical release policy, and `sha256:<hex>` of it. */
  readonly policy: Json
  readonly policyDigest: string
  /** Once true, the policy can never be changed again. */
  readonly policyImmutable: boolean
  /** Per version. */
  readonly maxReleases: number | null
  readonly leaseSeconds: number
  readonly labels: Readonly<Record<string, string>>
  readonly versions: readonly StoredVersion[]
}

/** A request that must not be done twice. */
export interface StoredRequest {
  /** Whose it is and what they called it. */
  readonly id: string
  /** `sha256:<hex>` of what was asked. */
  readonly digest: string
  /** The answer that it got. */
  readonly response: Json
  readonly at: number
  /** When it may be forgotten. */
  readonly expiresAt: number
}

/** Keys. */
export interface KeyStore {
  find(id: KeyId): Awaitable<StoredKey | undefined>
  /** In order of their URIs, after `after`; `namespaces` of `undefined` means all. */
  list(query: {
    readonly namespaces: readonly string[] | undefined
    readonly after: string | undefined
    readonly limit: number
  }): Awaitable<readonly StoredKey[]>
  /**
   * Writes a key as a whole, and the request that caused it, in one transaction.
   *
   * @returns `false`, with nothing written, unless the stored revision is one less than the key's
   *   (none, for 1), or if the request was stored before.
   */
  save(key: StoredKey, request: StoredRequest | undefined): Awaitable<boolean>
  /** A request of this id, if it is not to be forgotten by `now`. */
  request(id: string, now: number): Awaitable<StoredRequest | undefined>
}

/** A release on its way, or done. */
export interface StoredLease {
  readonly id: string
  readonly key: KeyId
  readonly version: number
  /** RFC 7638 thumbprint of who got it. */
  readonly recipient: string
  /** Digest of the EAR that opened it. */
  readonly ear: string
  readonly issuedAt: number
  readonly expiresAt: number
}

/** Leases. */
export interface LeaseStore {
  /** Takes back reservations that have run out; to be called before anything is decided. */
  lapse(now: number): Awaitable<void>
  /**
   * Counts a release before it happens, if the version is enabled and has not reached `maxReleases`,
   * however many ask at the same time. It counts until `reservedUntil`, or until it is issued.
   */
  reserve(
    lease: StoredLease,
    limit: {
      readonly maxReleases: number | null
      readonly reservedUntil: number
    },
  ): Awaitable<boolean>
  /**
   * Makes a reservation a lease.
   *
   * @returns `false` if it has run out, or the version is no longer enabled.
   */
  issue(id: string, logIndex: number, now: number): Awaitable<boolean>
  /** Takes a reservation back: nothing was released. A lease is left alone. */
  giveBack(id: string): Awaitable<void>
}
