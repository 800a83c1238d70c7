/** Picks the drivers of a client in Node. @packageDocumentation */
import type { Platform } from '../core/ports/platform.ts'
import { systemClock } from '../drivers/clock.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { systemRandom } from '../drivers/random.ts'
import { createSealingCrypto } from '../drivers/sealing/node.ts'

export type { Platform } from '../core/ports/platform.ts'

/** A platform on node:crypto and Node's own fetch. */
export function createPlatform(): Platform {
  return {
    crypto: createCrypto(),
    sealing: createSealingCrypto(),
    random: systemRandom,
    clock: systemClock,
    fetch: async (url, init) => fetch(url, init),
  }
}
