/** What an operator can set about the log. @packageDocumentation */
import { VouchsafeError } from '../core/errors.ts'

/** Bounds of a running log. Times are in milliseconds. */
export interface LogLimits {
  /** How long an append or a proof may take before it is `ERR_LOG_UNAVAILABLE`. */
  readonly waitMs: number
  /** Leaves in one transaction. */
  readonly batch: number
  /** Leaves waiting for their transaction; over it, `ERR_OVERLOADED` at once. */
  readonly queue: number
  /** Acknowledged leaves that are not in the tree yet; over it, `ERR_OVERLOADED` at once. */
  readonly backlog: number
  /** Between two checkpoints, under load. The first leaf after a quiet time does not wait. */
  readonly publishEveryMs: number
  /** A checkpoint of an unchanged tree is signed again after this, so that it stays fresh. */
  readonly republishMs: number
  /** How long after a failure the next attempt comes. */
  readonly retryMs: number
}

/** Fits one machine with a disk that syncs in about a millisecond. */
const DEFAULT_LOG_LIMITS: LogLimits = {
  waitMs: 5_000,
  batch: 256,
  queue: 4_096,
  backlog: 65_536,
  publishEveryMs: 100,
  republishMs: 8 * 60_000,
  retryMs: 250,
}

/** Witnesses and clients alarm on checkpoints older than ten minutes. */
const MAX_REPUBLISH_MS = 10 * 60_000

/**
 * The defaults with some of them changed.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` for what cannot work.
 */
export function logLimits(changes: Partial<LogLimits> = {}): LogLimits {
  const limits = { ...DEFAULT_LOG_LIMITS, ...changes }
  for (const [name, value] of Object.entries(limits)) {
    const most = name === 'republishMs' ? MAX_REPUBLISH_MS : 2 ** 31 - 1
    if (Number.isSafeInteger(value) && value >= 1 && value <= most) continue
    const blame = { code: 'ERR_CONFIG_INVALID', at: `log.limits.${name}` } as const
    throw new VouchsafeError(blame, `want an integer from 1 to ${most}`)
  }
  return limits
}
