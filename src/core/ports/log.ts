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

/** Content-addressed and immutable. Digests are `sha256:<lower-case hex>`. */
export interface BlobStore {
  /** Durable when the promise resolves. */
  put(bytes: Uint8Array): Promise<string>
  get(digest: string): Promise<Uint8Array | undefined>
}
