/** What every role is given. @packageDocumentation */

import type { FastifyInstance } from 'fastify'
import type { Clock, CryptoProvider, Random } from '../core/ports/crypto.ts'
import type { BlobStore, LogAppender, LogProver } from '../core/ports/log.ts'
import type { Metrics } from '../server/metrics.ts'
import type { ServiceSettings } from './config.ts'
import type { DataPaths } from './data-directory.ts'
import type { Access } from './tokens.ts'
import type { EarReader } from './trust.ts'

/** The world, as a role may see it. */
export interface RoleContext {
  readonly settings: ServiceSettings
  /** Program and version, as EARs name it. */
  readonly build: string
  readonly paths: DataPaths
  readonly crypto: CryptoProvider
  readonly clock: Clock
  readonly random: Random
  readonly log: LogAppender & LogProver
  readonly blobs: BlobStore
  /** Digests of roots of simulated TEEs; empty in production. */
  readonly simulatedAnchors: readonly string[]
  readonly readEar: EarReader
  readonly access: Access
  readonly metrics: Metrics
  /** For the log of the process. */
  readonly onFault: (err: unknown) => void
}

/** A role that has opened what it needs and is ready to serve. */
export interface RunningRole {
  /** Adds its routes. */
  register(app: FastifyInstance): Promise<void>
  /** Throws if it cannot work now; see `/readyz`. */
  ready(): Promise<void>
  /** Called when no request is at work any more. */
  close(): Promise<void>
}
