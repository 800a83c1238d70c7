/** Outgoing HTTP, as far as those who read vendors' services need it. @packageDocumentation */

/** A GET; with a body a POST, of what a service answers by it and does not change. */
export interface HttpGet {
  readonly url: string
  readonly body?: Uint8Array
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

/** {@link HttpGetter} that waits, retries and gives up by itself. */
export interface PoliteGetter {
  /**
   * @param request - `scarce` for what the service gives out slowly. One with a body is asked again
   *   like any other.
   * @returns An answer of status 200 or 404.
   * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` for anything else, in bounded time.
   */
  get(request: {
    readonly url: string
    readonly body?: Uint8Array
    readonly headers?: Readonly<Record<string, string>>
    readonly scarce?: boolean
  }): Promise<HttpAnswer>
}
