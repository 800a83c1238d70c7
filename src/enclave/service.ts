/**
 * One sealed exchange: open, check, ask the model, seal what it says as it says it, and sign a
 * receipt for it. Plaintext lives in here and in the model, and nowhere else: it goes into no log,
 * no metric and no error that leaves unsealed.
 *
 * @see `spec/envelope.md` §7, §8, §11, §14, §16
 * @packageDocumentation
 */
import { toHex } from '../core/bytes/hex.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Clock } from '../core/ports/crypto.ts'
import type { RunningHash, SealingCrypto } from '../core/ports/sealing.ts'
import { type OpenedRequest, openRequest } from '../core/sealing/open-request.ts'
import { startSaltedDigest } from '../core/sealing/receipt.ts'
import type { ReplayCache } from '../core/sealing/replay-cache.ts'
import type { PlainResponse, SealedResponse } from '../core/sealing/seal-response.ts'
import type { Plan } from './answer.ts'
import { openingKeys } from './key-ring.ts'
import { type PlanDeps, planAnswer } from './plan.ts'
import type { Receipts } from './receipts.ts'
import type { Standing } from './standing.ts'

export interface ServiceDeps extends PlanDeps {
  /** `undefined` once the lease has ended. */
  readonly standing: () => Standing | undefined
  /** Asks for new sealing keys: the memory of replays fills up. */
  readonly turnEarly: () => void
  readonly replay: ReplayCache
  /** Entries that `replay` has room for. */
  readonly replayLimit: number
  readonly receipts: Receipts
  readonly crypto: SealingCrypto
  readonly clock: Clock
  /** Most bytes of one sealed request. */
  readonly requestBytes: number
}

/** A sealed request as it arrives. */
export interface SealedCall {
  /** Without parameters. */
  readonly mediaType: string
  readonly body: AsyncIterable<Uint8Array>
  /** Outer value of `Vouchsafe-Hints`. */
  readonly hints: string | undefined
  /** Aborted when the connection of the answer is gone. */
  readonly signal: AbortSignal
}

/** A sealed answer as it leaves: always 200 outside. */
export interface SealedReply {
  readonly receiptId: string
  readonly mediaType: string
  readonly body: AsyncIterable<Uint8Array>
  /** Signs the receipt over what has left so far. Call it when the connection has closed. */
  readonly settle: () => Promise<void>
}

/** At this share of the replay memory new keys are asked for: long before anything is refused. */
const CROWDED = 0.75

/**
 * Answers a sealed request.
 *
 * @throws {@link VouchsafeError} for what could not be opened, so that there is nothing to seal an
 *   answer with; `ERR_UPSTREAM_UNAVAILABLE` at `enclave.lease` when the lease has ended.
 */
export async function answerSealed(call: SealedCall, deps: ServiceDeps): Promise<SealedReply> {
  const standing = requireStanding(deps)
  const now = deps.clock()
  const opened = await openRequest({
    keys: openingKeys(standing.ring, now.getTime() / 1000),
    mediaType: call.mediaType,
    body: call.body,
    replay: deps.replay,
    now,
    crypto: deps.crypto,
    limit: deps.requestBytes,
  })
  if (deps.replay.size > CROWDED * deps.replayLimit) deps.turnEarly()
  const plan = await planAnswer(opened, { hints: call.hints, signal: call.signal, now }, deps)
  return reply({ opened, plan, standing, hints: call.hints }, deps)
}

function requireStanding({ standing }: ServiceDeps): Standing {
  const found = standing()
  if (found !== undefined) return found
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'enclave.lease' } as const
  throw new VouchsafeError(blame, 'the lease of this enclave has ended')
}

interface Exchange {
  readonly opened: OpenedRequest
  readonly plan: Plan
  readonly standing: Standing
  readonly hints: string | undefined
}

async function reply(exchange: Exchange, deps: ServiceDeps): Promise<SealedReply> {
  const { opened, plan } = exchange
  const asked = await startSaltedDigest(opened, deps.crypto)
  asked.update(opened.outcome.request?.body ?? new Uint8Array())
  const answered = new SaltedBody(plan.response, await startSaltedDigest(opened, deps.crypto))
  const sealed = opened.respond(answered.plain)
  const receiptId = deps.receipts.newId()
  const salted = { request: toHex(asked.digest()) }
  let settled: Promise<void> | undefined
  const settle = async (): Promise<void> => {
    settled ??= deps.receipts.sign(receiptId, {
      ...exchange,
      response: sealed.summary(),
      salted: { ...salted, response: answered.digest() },
      usage: plan.usage(),
      outcome: sealed.summary().complete ? plan.outcome() : 'aborted',
    })
    return settled
  }
  return { receiptId, mediaType: sealed.mediaType, body: deliver(sealed, settle), settle }
}

/** The receipt exists when the answer has ended, however it ended. */
async function* deliver(
  sealed: SealedResponse,
  settle: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* sealed.body
  } finally {
    await settle()
  }
}

/** A response whose content is authenticated with a key that only client and enclave have. */
class SaltedBody {
  readonly plain: PlainResponse
  readonly #hash: RunningHash
  #digest: string | undefined

  constructor(response: PlainResponse, hash: RunningHash) {
    this.#hash = hash
    const { body } = response
    if (body instanceof Uint8Array) this.#hash.update(body)
    this.plain = body instanceof Uint8Array ? response : { ...response, body: this.#watch(body) }
  }

  /** Closes it: the first answer stays the answer. */
  digest(): string {
    this.#digest ??= toHex(this.#hash.digest())
    return this.#digest
  }

  async *#watch(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const bytes of body) {
      // Whatever comes after the receipt was signed does not leave any more.
      if (this.#digest !== undefined) return
      this.#hash.update(bytes)
      yield bytes
    }
  }
}
