/**
 * What appraisals that open nothing may leave behind. Anybody can ask for one and send megabytes
 * along, which replay needs; so what is kept of them in an hour is bounded, and above the bound there
 * is no verdict rather than one that nobody can check.
 *
 * @packageDocumentation
 */
import { type AttestationResult, requireAffirming } from '../core/appraisal/result.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Clock, CryptoProvider } from '../core/ports/crypto.ts'
import { digestOf } from '../core/sealing/statement.ts'
import type { Appraised } from './record.ts'

const HOUR_MS = 60 * 60 * 1000
/** What a leaf, a file and their names take besides. */
const OVERHEAD_BYTES = 1024

interface AllowanceOptions {
  readonly bytesPerHour: number
  readonly clock: Clock
  readonly crypto: CryptoProvider
}

/**
 * Draws on the hour for each appraisal that is not affirming in full; what was drawn for in the same
 * hour is free, as it is for the disk.
 *
 * @throws {@link VouchsafeError} `ERR_OVERLOADED` if not all of it fits; then nothing was drawn.
 */
export type Allowance = (appraised: readonly Appraised[]) => Promise<void>

/** One for the whole service: callers have as many addresses as they like. */
export function createAllowance({ bytesPerHour, clock, crypto }: AllowanceOptions): Allowance {
  let hour = { from: clock().getTime(), used: 0, seen: new Set<string>() }
  return async (appraised) => {
    const sizes = await sizesOf(appraised, crypto)
    const now = clock().getTime()
    // A clock that was set back must not make an hour last until it has caught up.
    if (now < hour.from || now >= hour.from + HOUR_MS) {
      hour = { from: now, used: 0, seen: new Set() }
    }
    const { seen } = hour
    const more = [...sizes].reduce((sum, [digest, size]) => sum + (seen.has(digest) ? 0 : size), 0)
    if (more === 0) return
    if (hour.used + more > bytesPerHour) {
      const blame = { code: 'ERR_OVERLOADED', at: 'verifier.failedMebibytesPerHour' } as const
      throw new VouchsafeError(
        blame,
        'this appraisal did not affirm, and no more of that kind are kept in this hour; so it has no verdict',
      )
    }
    hour.used += more
    for (const digest of sizes.keys()) seen.add(digest)
  }
}

/** By digest, so that what many send alike counts once. */
async function sizesOf(
  appraised: readonly Appraised[],
  crypto: CryptoProvider,
): Promise<ReadonlyMap<string, number>> {
  const kept = appraised
    .filter(({ result }) => !opens(result))
    .flatMap(({ task: { blobs }, encoded }) => [
      blobs.evidence,
      blobs.endorsements,
      blobs.binding,
      encoded,
    ])
  const entries = kept.map(
    async (bytes): Promise<[string, number]> => [
      await digestOf(bytes, crypto),
      bytes.length + OVERHEAD_BYTES,
    ],
  )
  return new Map(await Promise.all(entries))
}

/** As key brokers and gateways ask: an affirming tier under a policy that waives freshness is none. */
function opens(result: AttestationResult): boolean {
  try {
    requireAffirming(result)
    return true
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    return false
  }
}
