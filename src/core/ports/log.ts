/** What roles ask of the transparency log and of the store of what its leaves point to. @packageDocumentation */
import type { Leaf } from '../tlog/leaf.ts'

/** Appends durably: when the promise resolves, the leaf survives kill -9 and has its index. */
export interface LogAppender {
  /**
   * @throws {@link VouchsafeError} `ERR_LOG_UNAVAILABLE` if the log cannot take the leaf within the
   *   limit it was configured with; then the leaf may or may not be in the log.
   */
  append(leaf: Leaf): Promise<{ readonly index: number }>
}

/** Proves that a leaf is in the tree that the log last signed. */
export interface LogProver {
  /**
   * Waits, within the log's limit, until a checkpoint covers the leaf.
   *
   * @returns A `tlog-proof` text with the checkpoint in it (c2sp.org/tlog-proof).
   * @throws {@link VouchsafeError} `ERR_LOG_UNAVAILABLE`.
   */
  proof(index: number): Promise<string>
}

/** Content-addressed and immutable. Digests are `sha256:<lower-case hex>`. */
export interface BlobStore {
  /** Durable when the promise resolves. */
  put(bytes: Uint8Array): Promise<string>
  get(digest: string): Promise<Uint8Array | undefined>
}
