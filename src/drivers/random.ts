import { randomFillSync } from 'node:crypto'
import type { Random } from '../core/ports/crypto.ts'

/** The operating system's generator. */
export const systemRandom: Random = (length) => randomFillSync(new Uint8Array(length))
