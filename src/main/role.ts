/** What every role is given. @packageDocumentation */
import type { Clock, CryptoProvider, Random } from '../core/ports/crypto.ts'
import type { BlobStore, LogAppender, LogProver } from '../core/ports/log.ts'
import type { ServiceSettings } from './config.ts'
import type { DataPaths } from './data-directory.ts'

/** The world, as a role may see it. */
export interface RoleContext {
  readonly settings: ServiceSettings
  readonly paths: DataPaths
  readonly crypto: CryptoProvider
  readonly clock: Clock
  readonly random: Random
  readonly log: LogAppender & LogProver
  readonly blobs: BlobStore
  /** Digests of roots of simulated TEEs; empty in production. */
  readonly simulatedAnchors: readonly string[]
  /** For the log of the process. */
  readonly onFault: (err: unknown) => void
}
