/** Everything a client needs from where it runs, in one value. @packageDocumentation */
import type { Clock, CryptoProvider, Random } from './crypto.ts'
import type { SealingCrypto } from './sealing.ts'

/**
 * Made by `createPlatform()` of `vouchsafe/platform`, which resolves to node:crypto in Node and to
 * WebCrypto in browsers.
 */
export interface Platform {
  readonly crypto: CryptoProvider
  readonly sealing: SealingCrypto
  readonly random: Random
  readonly clock: Clock
  /** WHATWG fetch. */
  readonly fetch: (url: string, init?: RequestInit) => Promise<Response>
}
