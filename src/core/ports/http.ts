/** Outgoing HTTP, as far as those who read vendors' services need it. @packageDocumentation */

/** A GET. */
export interface HttpGet {
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** Milliseconds until the last byte of the answer. */
  readonly timeoutMs: number
  readonly maxBytes: number
}

/** Any status is an answer; redirects are not followed. */
export interface HttpAnswer {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export interface HttpGetter {
  /** @throws {@link VouchsafeError} if there is no whole answer in time and in size. */
  fetch(request: HttpGet): Promise<HttpAnswer>
}
