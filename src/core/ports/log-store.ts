/**
 * What the log keeps, and where. Two places: a store with transactions, which is trusted and says
 * what was acknowledged, integrated and signed; and files, which anyone may serve and nobody has to
 * trust.
 *
 * @packageDocumentation
 */

/** The newest checkpoint this log has signed. */
export interface StoredCheckpoint {
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
  /** The signed note, verbatim. */
  readonly note: string
  /** When it was signed: Unix seconds. */
  readonly time: number
}

export interface LogState {
  readonly origin: string
  /** Index that the next entry gets: how many were acknowledged. */
  readonly next: number
  /** How many of them are in tiles and bundles, and the root over these. */
  readonly size: number
  readonly root: Uint8Array
  readonly checkpoint: StoredCheckpoint | undefined
}

/** The order of entries. Every method throws `ERR_LOG_UNAVAILABLE` where the store cannot. */
interface LogSequence {
  /**
   * Gives the entries the next indexes, all or none, durably.
   *
   * @returns The index of the first.
   */
  append(entries: readonly Uint8Array[]): Promise<number>
  /**
   * Entries from an index on, at most `limit`. Those of full bundles that were integrated are gone.
   */
  entries(from: number, limit: number): Promise<readonly Uint8Array[]>
}

/** How far the log has come. Moves by compare-and-swap, so that two instances cannot fork it. */
interface LogProgress {
  /** `undefined` until {@link LogProgress.create}. */
  state(): Promise<LogState | undefined>
  /** Begins an empty log with this root. @returns Whether there was none before. */
  create(origin: string, emptyRoot: Uint8Array): Promise<boolean>
  /**
   * Says that entries below `to.size` are in durable files.
   *
   * @returns `false`, and nothing has changed, if another instance has moved on from `from`.
   */
  advance(from: number, to: { readonly size: number; readonly root: Uint8Array }): Promise<boolean>
  /**
   * Replaces the newest checkpoint.
   *
   * @param seen - The note it was when `next` was made.
   * @returns `false`, and nothing has changed, if it is another by now, or `next` is smaller.
   */
  publish(seen: string | undefined, next: StoredCheckpoint): Promise<boolean>
}

export type LogStore = LogSequence & LogProgress

/** One file, by a relative path of plain segments. */
export interface StoredFile {
  readonly path: string
  readonly bytes: Uint8Array
}

/** Files that appear whole or not at all. */
export interface FileStore {
  /** `undefined` if there is none. */
  read(path: string): Promise<Uint8Array<ArrayBuffer> | undefined>
  /** Creates or replaces files; all are durable, names included, when the promise resolves. */
  write(files: readonly StoredFile[]): Promise<void>
  /** What is not there is not an error. */
  remove(paths: readonly string[]): Promise<void>
}
