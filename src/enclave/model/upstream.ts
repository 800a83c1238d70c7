/** What the enclave asks of whatever runs the model. @packageDocumentation */

/** A request as it was inside the seal, reduced to what the enclave lets through. */
export interface ModelRequest {
  readonly method: 'GET' | 'POST'
  /** Path and query, e.g. `/v1/chat/completions`. */
  readonly path: string
  /** Lower-case names; `content-type` and `accept` at most. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** Aborted when the client went away: the model should stop working. */
  readonly signal: AbortSignal
}

export interface ModelResponse {
  readonly status: number
  /** Lower-case names; `content-type`, and what a client may act on. */
  readonly headers: Readonly<Record<string, string>>
  /** Pulled piece by piece: who does not pull makes the model wait. */
  readonly body: AsyncIterable<Uint8Array>
}

export interface ModelUpstream {
  /** One line for people: what answers here. */
  readonly description: string
  /**
   * @throws {@link VouchsafeError} `ERR_UPSTREAM_UNAVAILABLE` if the model cannot be asked, or its
   *   body breaks off. An error that the model answers itself is a response like any other.
   */
  send(request: ModelRequest): Promise<ModelResponse>
  close(): Promise<void>
}
