import type { Clock } from '../core/ports/crypto.ts'

/** The machine's clock. */
export const systemClock: Clock = () => new Date()
