/**
 * The bill, from what the enclave signed and what the gateway itself saw pass. A receipt that does
 * not fit is never billed and never dropped: it is kept as `faulty`, with the reason, for a person.
 *
 * @packageDocumentation
 * @see spec/envelope.md §12
 */
import { VouchsafeError } from '../core/errors.ts'
import type { CryptoProvider } from '../core/ports/crypto.ts'
import type { UsageRecord, UsageState, UsageStore } from '../core/ports/gateway-store.ts'
import {
  authenticateReceipt,
  checkReceipt,
  parseReceipt,
  type Receipt,
} from '../core/sealing/receipt.ts'
import { checkUsage, type Reservation, type Usage } from '../core/sealing/usage.ts'
import type { Enclave } from './registry.ts'
import type { Passed } from './relay.ts'

/** A sealed exchange, as the gateway saw it. */
export interface Exchange {
  readonly receiptId: string
  readonly tenant: string
  readonly model: string
  readonly enclave: Enclave
  readonly request: Passed
  readonly response: Passed & { readonly end: AnswerEnd }
  /** `sha256:<hex>` of the hints field, `null` without one. */
  readonly hints: string | null
  readonly reserved: Reservation
  /** Unix seconds. */
  readonly at: number
}

/** `whole`: relayed to its end; `left`: the client went away; `cut`: the enclave broke it off. */
export type AnswerEnd = 'whole' | 'left' | 'cut'

/** Records what an exchange cost. @param receipt - Its text; `undefined` if it never came. */
export async function settle(
  exchange: Exchange,
  receipt: string | undefined,
  { usage, crypto }: { readonly usage: UsageStore; readonly crypto: CryptoProvider },
): Promise<{ readonly state: UsageState; readonly reason: string }> {
  const judgement = await judge(exchange, receipt, crypto)
  const state = usage.record({ ...record(exchange), ...judgement })
  return { state, reason: judgement.reason }
}

type Judgement = Pick<UsageRecord, 'inputTokens' | 'outputTokens' | 'state' | 'reason'>

const NOTHING = { inputTokens: 0, outputTokens: 0 }

async function judge(
  exchange: Exchange,
  text: string | undefined,
  crypto: CryptoProvider,
): Promise<Judgement> {
  // What an enclave that left in the middle would claim about the rest cannot be checked.
  if (exchange.response.end === 'cut') return faulty('the enclave broke its answer off')
  if (text === undefined) return faulty('no receipt in time')
  try {
    const receipt = parseReceipt(parseJson(text))
    const { enclave } = exchange
    const { parsed: keyset, keysetDigest } = enclave
    await authenticateReceipt(receipt, { keyset, keysetDigest }, crypto)
    checkAgainst(receipt, exchange)
    checkUsage(receipt.usage, exchange.reserved, receipt.response.bytes)
    // A refused repeat of a request must not take the place of the one that is answered and billed.
    const free = receipt.outcome === 'refused' || receipt.outcome === 'error'
    return { ...tokensOf(receipt.usage), state: free ? 'free' : 'billed', reason: '' }
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    return faulty(`${error.code} ${error.message}`)
  }
}

function faulty(reason: string): Judgement {
  return { ...NOTHING, state: 'faulty', reason }
}

/** An answer that the client left early is longer in the receipt than what passed here. */
function checkAgainst(receipt: Receipt, exchange: Exchange): void {
  const { receiptId, enclave, model, request, response, hints } = exchange
  const blame = { code: 'ERR_RECEIPT_MISMATCH', at: 'receipt.receipt_id' } as const
  if (receipt.receipt_id !== receiptId) throw new VouchsafeError(blame, 'another exchange')
  const whole = response.end === 'whole'
  const seen = whole ? { ...response, chunks: 0, complete: true } : receipt.response
  const { keysetDigest } = enclave
  checkReceipt(receipt, { keysetDigest, model, request, response: seen, hints })
  if (!whole && receipt.response.bytes < response.bytes) {
    const at = 'receipt.response.bytes'
    throw new VouchsafeError({ ...blame, at }, 'fewer bytes than passed here')
  }
}

function tokensOf(usage: Usage): typeof NOTHING {
  if ('video_tokens' in usage) return { inputTokens: 0, outputTokens: usage.video_tokens }
  return { inputTokens: usage.input_tokens, outputTokens: usage.output_tokens }
}

function record(
  exchange: Exchange,
): Pick<UsageRecord, 'receiptId' | 'tenant' | 'model' | 'requestDigest' | 'at'> {
  const { receiptId, tenant, model, request, at } = exchange
  return { receiptId, tenant, model, requestDigest: request.digest, at }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const blame = { code: 'ERR_RECEIPT_MALFORMED', at: 'receipt' } as const
    throw new VouchsafeError(blame, 'not JSON', { cause })
  }
}
