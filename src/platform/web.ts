/** Picks the drivers of a client in a browser. @packageDocumentation */
import type { Platform } from '../core/ports/platform.ts'
import { createCrypto } from '../drivers/crypto/web.ts'
import { createSealingCrypto } from '../drivers/sealing/web.ts'

export type { Platform } from '../core/ports/platform.ts'

/** A platform on WebCrypto. */
export function createPlatform(): Platform {
  return {
    crypto: createCrypto(),
    sealing: createSealingCrypto(),
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    clock: () => new Date(),
    fetch: async (url, init) => fetch(url, init),
  }
}
