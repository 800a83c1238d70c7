/**
 * What the gateway remembers. It never holds a prompt, an answer or a key that opens one.
 *
 * @packageDocumentation
 */

/** A client's API key, by its hash: the key itself is shown once, at creation. */
export interface ApiKey {
  /** Opaque, safe to show. */
  readonly id: string
  readonly tenant: string
  /** SHA-256 of the key, lower-case hex. */
  readonly hash: string
  /** Unix seconds. */
  readonly createdAt: number
  readonly revokedAt: number | undefined
}

export interface ApiKeyStore {
  add(key: ApiKey): void
  /** By hash; revoked ones too, so that a caller can say so. */
  find(hash: string): ApiKey | undefined
  list(): readonly ApiKey[]
  /** @returns Whether there was such a key, not yet revoked. */
  revoke(id: string, at: number): boolean
}

/** An enclave whose keyset the gateway has verified and logged. */
export interface RegisteredEnclave {
  readonly id: string
  readonly url: string
  readonly keysetDigest: string
  /** Canonical keyset. */
  readonly keyset: string
  /** The EAR it came with. */
  readonly ear: string
  readonly logIndex: number
  /** Unix seconds: the earlier end of EAR and keyset. */
  readonly expiresAt: number
}

export interface EnclaveStore {
  /** Durable when it returns. Replaces what was saved for the same URL. */
  save(enclave: RegisteredEnclave): void
  /** Forgets it; durable when it returns. */
  remove(id: string): void
  /** Those that expire after `now` (Unix seconds), the one logged first at the front. */
  live(now: number): readonly RegisteredEnclave[]
}

/**
 * How a sealed request ended, by its signed receipt. `free`: the enclave refused or failed, and says
 * so. `faulty`: the receipt is missing or does not fit what was relayed; then nothing is billed, and
 * a person looks at it.
 */
export type UsageState = 'billed' | 'duplicate' | 'free' | 'faulty'

export interface UsageRecord {
  readonly receiptId: string
  readonly tenant: string
  readonly model: string
  /** `sha256:<hex>` of the request's ciphertext: billed once. */
  readonly requestDigest: string
  /** Unix seconds. */
  readonly at: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly state: UsageState
  /** Why it is faulty; empty otherwise. */
  readonly reason: string
}

export interface UsageTotal {
  readonly model: string
  readonly state: UsageState
  readonly requests: number
  readonly inputTokens: number
  readonly outputTokens: number
}

export interface UsageStore {
  /**
   * Durable when it returns. A `billed` record whose request digest was billed before becomes a
   * `duplicate`; the same exchange again, by receipt id and request digest, changes nothing.
   *
   * @returns The state that is on record.
   */
  record(usage: UsageRecord): UsageState
  totals(tenant: string): readonly UsageTotal[]
}
