/**
 * What the gateway does: picks an enclave for a sealed request, carries it, and settles the bill by
 * the enclave's receipt. The life of a request is in the README beside this file.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { finished, type Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { toHex } from '../core/bytes/hex.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Clock, CryptoProvider } from '../core/ports/crypto.ts'
import type { ApiKey, UsageStore } from '../core/ports/gateway-store.ts'
import type { LogProver } from '../core/ports/log.ts'
import { CHUNKED_RESPONSE_MEDIA_TYPE } from '../core/sealing/chunked-ohttp.ts'
import { type Hints, parseHints } from '../core/sealing/hints.ts'
import { OHTTP_RESPONSE_MEDIA_TYPE } from '../core/sealing/ohttp.ts'
import type { GatewaySettings } from './config.ts'
import { awaitReceipt, fetchKeyset, fetchReceipt } from './enclave-link.ts'
import type { Enclave, Registry } from './registry.ts'
import { type RelayedResponse, relay } from './relay.ts'
import { type AnswerEnd, type Exchange, settle } from './settlement.ts'

/** What the gateway needs from the world. */
export interface GatewayOptions {
  readonly registry: Registry
  readonly usage: UsageStore
  readonly log: LogProver
  readonly crypto: CryptoProvider
  readonly clock: Clock
  /** Connections to enclaves. */
  readonly dispatcher: Dispatcher
  readonly settings: GatewaySettings
  /** Told of every settlement; for metrics and logs. */
  readonly onSettled: (exchange: Exchange, outcome: { state: string; reason: string }) => void
  /** Told when an exchange could not be settled at all: the store is broken, not the receipt. */
  readonly onFault: (err: unknown) => void
}

/** A sealed request as it came in. */
export interface SealedArrival {
  readonly key: ApiKey
  readonly contentType: string
  readonly hints: string | undefined
  readonly body: Readable
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal
}

export interface GatewayService {
  readonly registry: Registry
  /**
   * Relays a sealed request; resolves with the head of the answer.
   *
   * @throws {@link VouchsafeError} `ERR_HINTS_MALFORMED`, `ERR_UPSTREAM_UNAVAILABLE`.
   */
  relay(arrival: SealedArrival): Promise<RelayedResponse>
  /** An enclave's keyset over a client's nonce, with the log's proof: JSON text. */
  keyset(want: { readonly nonce: string; readonly model: string | undefined }): Promise<string>
  /** @returns The receipt's text; `undefined` if no enclave has it. */
  receipt(id: string): Promise<string | undefined>
  /** Waits until every relayed exchange is settled. */
  drain(): Promise<void>
}

/** Receipts remembered; for an older one every live enclave is asked. */
const MAX_RECEIPTS = 4096
/** How long the end of the process waits for receipts that are not there yet. */
const DRAIN_MS = 5_000
const SEALED_ANSWERS = new Set([OHTTP_RESPONSE_MEDIA_TYPE, CHUNKED_RESPONSE_MEDIA_TYPE])

/** The gateway over its ports. */
export function createGateway(options: GatewayOptions): GatewayService {
  const { registry, onFault } = options
  const settling = new Set<Promise<void>>()
  const stopping = new AbortController()
  const receipts = new Map<string, KnownReceipt>()
  return {
    registry,
    relay: async (arrival) => {
      const hints = arrival.hints === undefined ? {} : parseHints(arrival.hints)
      const enclave = registry.pick(wantOf(hints))
      const answer = await relayTo(enclave, arrival, options)
      const receiptId = answer.headers['x-receipt-id']
      if (receiptId !== undefined) remember(receipts, receiptId, { url: enclave.url })
      // What was answered in clear was not opened, so there is nothing to bill.
      if (receiptId === undefined && !isSealed(answer)) return answer
      const relayed = { arrival, hints, enclave, answer, receiptId, stop: stopping.signal }
      const onReceipt = (text: string): void => {
        // The enclave may be gone before the client asks for it.
        if (receiptId !== undefined) remember(receipts, receiptId, { url: enclave.url, text })
      }
      const work = settleLater({ ...relayed, onReceipt }, options)
        .catch(onFault)
        .finally(() => settling.delete(work))
      settling.add(work)
      return answer
    },
    keyset: async (want) => collectKeyset(want, options),
    receipt: async (id) => {
      const known = receipts.get(id)
      if (known?.text !== undefined) return known.text
      const urls = known === undefined ? registry.live().map(({ url }) => url) : [known.url]
      return findReceipt(id, urls, options)
    },
    drain: async () => {
      const timer = setTimeout(() => {
        stopping.abort()
      }, DRAIN_MS)
      await Promise.all(settling)
      clearTimeout(timer)
    },
  }
}

async function collectKeyset(
  { nonce, model }: { readonly nonce: string; readonly model: string | undefined },
  { registry, dispatcher, log }: GatewayOptions,
): Promise<string> {
  const enclave = registry.pick(model === undefined ? {} : { model })
  const given = keysetOf(await fetchKeyset(dispatcher, enclave.url, nonce))
  // The enclave may be changing keysets just now; the proof must be about the one it answered with.
  const index = registry.logIndex(enclave.url, given.keyset_digest)
  const proof = await log.proof(index)
  // The enclave's own answer, plus what only the gateway knows: EAR and proof. Nothing is replaced.
  const ours = { log: { proof }, receipts_url: '/v1/receipts' }
  return JSON.stringify({ ear: enclave.ear, ...given, ...ours })
}

async function findReceipt(
  id: string,
  urls: readonly string[],
  { dispatcher }: GatewayOptions,
): Promise<string | undefined> {
  const failures: unknown[] = []
  for (const url of urls) {
    try {
      const answer = await fetchReceipt(dispatcher, url, id)
      if (answer.status === 200) return answer.body
    } catch (error) {
      // Another enclave may have it; if none does, we cannot say that there is no receipt.
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
  return undefined
}

function wantOf({ model, nodes }: Hints): { model?: string; nodes?: readonly string[] } {
  return {
    ...(model !== undefined && { model }),
    ...(nodes !== undefined && { nodes: nodes.map(toHex) }),
  }
}

async function relayTo(
  enclave: Enclave,
  arrival: SealedArrival,
  { dispatcher, settings }: GatewayOptions,
): Promise<RelayedResponse> {
  const late = new AbortController()
  const timer = setTimeout(() => {
    late.abort()
  }, settings.headTimeoutMs)
  try {
    return await relay(dispatcher, {
      url: enclave.url,
      contentType: arrival.contentType,
      hints: arrival.hints,
      body: arrival.body,
      maxBytes: settings.maxRequestBytes,
      signal: AbortSignal.any([arrival.signal, late.signal]),
    })
  } finally {
    clearTimeout(timer)
  }
}

function isSealed({ headers }: RelayedResponse): boolean {
  return SEALED_ANSWERS.has((headers['content-type'] ?? '').split(';')[0]?.trim() ?? '')
}

interface Relayed {
  readonly arrival: SealedArrival
  readonly hints: Hints
  readonly enclave: Enclave
  readonly answer: RelayedResponse
  readonly receiptId: string | undefined
  /** When to stop waiting for receipts. */
  readonly stop: AbortSignal
  readonly onReceipt: (text: string) => void
}

interface KnownReceipt {
  /** Of the enclave that made it. */
  readonly url: string
  readonly text?: string
}

async function settleLater(relayed: Relayed, options: GatewayOptions): Promise<void> {
  const { arrival, hints, enclave, answer, receiptId } = relayed
  const end = await endOf(answer.body, arrival.signal)
  const request = answer.sent()
  const exchange: Exchange = {
    receiptId: receiptId ?? `absent.${request.digest}`,
    tenant: arrival.key.tenant,
    // Without a hint the tenant's bill names what the enclave serves, if that is one model.
    model: hints.model ?? enclave.parsed.vouchsafe.models[0]?.id ?? '',
    enclave,
    request,
    response: { ...answer.received(), end },
    hints: arrival.hints === undefined ? null : sha256(arrival.hints),
    reserved: hints,
    at: Math.floor(options.clock().getTime() / 1000),
  }
  const { dispatcher, settings, onSettled } = options
  const signal = AbortSignal.any([relayed.stop, AbortSignal.timeout(settings.receiptWaitMs)])
  const awaited =
    receiptId === undefined || end === 'cut'
      ? undefined
      : await awaitReceipt(dispatcher, { url: enclave.url, id: receiptId, signal })
  if (awaited !== undefined) relayed.onReceipt(awaited)
  onSettled(exchange, await settle(exchange, awaited, options))
}

/** How the answer ended. The moment it ends says who ended it; later both sides are gone. */
async function endOf(body: Readable, gone: AbortSignal): Promise<AnswerEnd> {
  return new Promise((resolve) => {
    finished(body, (error) => {
      if (error === undefined || error === null) resolve('whole')
      // Whoever reads from us destroys the stream without an error of its own.
      else resolve(gone.aborted || error.code === 'ERR_STREAM_PREMATURE_CLOSE' ? 'left' : 'cut')
    })
  })
}

function keysetOf(answer: {
  readonly status: number
  readonly body: string
}): Readonly<Record<string, unknown>> & { readonly keyset_digest: string } {
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'gateway.keyset' } as const
  if (answer.status !== 200) throw new VouchsafeError(blame, `enclave answered ${answer.status}`)
  let given: unknown
  try {
    given = JSON.parse(answer.body)
  } catch (cause) {
    throw new VouchsafeError(blame, 'the enclave answered something else', { cause })
  }
  const members = typeof given === 'object' && given !== null ? { ...given } : {}
  if ('keyset_digest' in members && typeof members.keyset_digest === 'string') {
    return { ...members, keyset_digest: members.keyset_digest }
  }
  throw new VouchsafeError(blame, 'the enclave names no keyset')
}

function remember(known: Map<string, KnownReceipt>, id: string, receipt: KnownReceipt): void {
  known.set(id, receipt)
  const [oldest] = known.keys()
  if (known.size > MAX_RECEIPTS && oldest !== undefined) known.delete(oldest)
}

function sha256(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}
