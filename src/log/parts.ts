/** What the parts of the log share. @packageDocumentation */
import { VouchsafeError } from '../core/errors.ts'
import type { Clock, CryptoProvider } from '../core/ports/crypto.ts'
import type { FileStore, LogState, LogStore } from '../core/ports/log-store.ts'
import type { NoteSigner } from '../core/tlog/cosignature.ts'
import type { LogLimits } from './config.ts'

/** What a log is made of. */
export interface LogParts {
  /** Also the name of its keys: the URL it is served below, without scheme and final slash. */
  readonly origin: string
  readonly store: LogStore
  /** What is served: checkpoint, tiles, bundles. */
  readonly files: FileStore
  /** Type 0x01 and 0x06, both named like the origin. */
  readonly signers: readonly NoteSigner[]
  readonly crypto: CryptoProvider
  readonly clock: Clock
  readonly limits: LogLimits
}

/** Where the newest checkpoint lies among the files. */
export const CHECKPOINT_PATH = 'checkpoint'

/** The log cannot now; ask again. */
export function unavailable(at: string, detail: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_LOG_UNAVAILABLE', at }, detail, { cause })
}

/** The state of a log that is known to have been created. */
export async function requireState({ store }: Pick<LogParts, 'store'>): Promise<LogState> {
  const state = await store.state()
  if (state === undefined) throw unavailable('log.state', 'no log was created here')
  return state
}
