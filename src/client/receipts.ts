/**
 * Receipts of a session: fetched when an answer has ended, checked against the bytes that we sent and
 * got, and kept for whoever wants to see what was paid for.
 *
 * @packageDocumentation
 */

import { utf8 } from '../core/bytes/bytes.ts'
import { toHex } from '../core/bytes/hex.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Platform } from '../core/ports/platform.ts'
import type { BodyDigest, ResponseDigest } from '../core/sealing/body-meter.ts'
import {
  authenticateReceipt,
  checkReceipt,
  parseReceipt,
  type Receipt,
} from '../core/sealing/receipt.ts'
import { type GatewayAddress, getText } from './http.ts'
import type { VerifiedEnclave } from './verify-enclave.ts'

/** How the receipt of one exchange turned out. */
export type ReceiptOutcome =
  | { readonly id: string; readonly verified: true; readonly receipt: Receipt }
  /** `id` is empty if none was named. */
  | { readonly id: string; readonly verified: false; readonly error: VouchsafeError }

/** What we saw of the exchange. */
export interface Seen {
  /** As named outside the seal; `undefined` if it was not. */
  readonly id: string | undefined
  readonly enclave: VerifiedEnclave
  readonly model: string
  readonly request: BodyDigest
  readonly response: ResponseDigest
  /** The hints field as sent. */
  readonly hints: string
}

/**
 * Fetches and checks one receipt. It exists as soon as the answer has ended.
 *
 * @returns The receipt, or why there is none that we can believe; nothing is thrown for that, since
 *   the answer itself is whole and authentic without it.
 */
export async function collectReceipt(
  seen: Seen,
  { gateway, platform }: { readonly gateway: GatewayAddress; readonly platform: Platform },
): Promise<ReceiptOutcome> {
  const { id, enclave } = seen
  if (id === undefined) return { id: '', verified: false, error: absent('none was named') }
  try {
    const path = `${enclave.receiptsUrl.replace(/\/+$/, '')}/${encodeURIComponent(id)}`
    const { status, text } = await getText(gateway, path, platform.fetch)
    if (status !== 200) throw absent(`the gateway answered ${status}`)
    const receipt = parseReceipt(parseJson(text))
    await checkSeen(receipt, seen, platform)
    return { id, verified: true, receipt }
  } catch (error) {
    if (error instanceof VouchsafeError) return { id, verified: false, error }
    throw error
  }
}

function absent(detail: string): VouchsafeError {
  const blame = { code: 'ERR_RECEIPT_MISMATCH', at: 'receipt' } as const
  return new VouchsafeError(blame, `absent: ${detail}`)
}

async function checkSeen(receipt: Receipt, seen: Seen, { crypto }: Platform): Promise<void> {
  const { keyset, keysetDigest } = seen.enclave
  await authenticateReceipt(receipt, { keyset, keysetDigest }, crypto)
  const hints = `sha256:${toHex(await crypto.digest('SHA-256', utf8(seen.hints)))}`
  checkReceipt(receipt, { ...seen, keysetDigest, hints })
  if (receipt.receipt_id !== seen.id) {
    const blame = { code: 'ERR_RECEIPT_MISMATCH', at: 'receipt.receipt_id' } as const
    throw new VouchsafeError(blame, 'of another exchange')
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const blame = { code: 'ERR_RECEIPT_MALFORMED', at: 'receipt' } as const
    throw new VouchsafeError(blame, 'not JSON', { cause })
  }
}
