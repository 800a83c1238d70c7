/** What the acts of the demo share. @packageDocumentation */
import type { IntelPki } from '../drivers/attester/simulated/pki.ts'
import type { HttpClient } from '../drivers/http.ts'
import type { Processes } from './processes.ts'
import type { Stage } from './stage.ts'
import type { Paths } from './state.ts'

export interface World {
  readonly stage: Stage
  readonly processes: Processes
  readonly paths: Paths
  readonly http: HttpClient
  /** The development root, made for this demo. */
  readonly pki: IntelPki
  /** Where the enclave opens the weights: in memory, if this machine has a place for that. */
  readonly store: { readonly path: string; readonly inMemory: boolean }
  readonly signal: AbortSignal
}

/** An answer of the service, read as JSON. */
export interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

const TIMEOUT_MS = 30_000
const MAX_BYTES = 8 * 1024 * 1024

/** One call, the way anybody could make it. */
export async function call(
  { http, signal }: World,
  url: string,
  { token, body }: { readonly token?: string; readonly body?: unknown } = {},
): Promise<Answer> {
  const answer = await http.fetch({
    url,
    headers: {
      accept: 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    timeoutMs: TIMEOUT_MS,
    maxBytes: MAX_BYTES,
    signal,
  })
  const text = new TextDecoder().decode(answer.body)
  return { status: answer.status, body: JSON.parse(text) as Answer['body'] }
}

/** A digest or key, long enough to be recognized. */
export function short(text: string, length = 23): string {
  return text.length > length ? `${text.slice(0, length)}…` : text
}
