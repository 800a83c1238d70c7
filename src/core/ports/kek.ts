/** What the key broker asks of whatever guards its keys at rest. @packageDocumentation */

/** Key material at rest. */
export interface WrappedKey {
  /** Which key-encryption key: rewrapping finds by it what is still under an old one. */
  readonly kek: string
  /** The provider's own format. */
  readonly bytes: Uint8Array
}

/** A key-encryption key that never leaves its provider. */
export interface Kek {
  /** Stable for one key-encryption key. */
  readonly id: string
  /**
   * @param context - What is wrapped, e.g. `kbs:///a/b/c?version=1`; unwrapping needs the same.
   * @throws {@link VouchsafeError} `ERR_KEK_UNAVAILABLE`.
   */
  wrap(material: Uint8Array, context: string): Promise<WrappedKey>
  /**
   * @throws {@link VouchsafeError} `ERR_KEK_UNAVAILABLE` at `kek.unwrap` for another key-encryption
   *   key, another context or bytes that were changed: one error, whichever it is.
   */
  unwrap(wrapped: WrappedKey, context: string): Promise<Uint8Array<ArrayBuffer>>
  /** @throws {@link VouchsafeError} `ERR_KEK_UNAVAILABLE` if wrapping would fail now. */
  health(): Promise<void>
}
