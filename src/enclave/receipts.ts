/**
 * Signed receipts of this boot. One exists when its answer has ended; until then, and when it has
 * been forgotten, there is none.
 *
 * @see `spec/envelope.md` §11, §12
 * @packageDocumentation
 */
import { toBase64url } from '../core/bytes/base64url.ts'
import { utf8 } from '../core/bytes/bytes.ts'
import { toHex } from '../core/bytes/hex.ts'
import { canonicalJson } from '../core/encoding/canonical-json.ts'
import type { Clock, Hasher, Random } from '../core/ports/crypto.ts'
import type { ResponseDigest } from '../core/sealing/body-meter.ts'
import type { OpenedRequest } from '../core/sealing/open-request.ts'
import { type ReceiptOutcome, signReceipt, type UnsignedReceipt } from '../core/sealing/receipt.ts'
import type { TokenUsage } from '../core/sealing/usage.ts'
import type { ReceiptKey } from './boot-keys.ts'
import { digestFor, type Standing } from './standing.ts'

/** What is signed about one exchange. */
interface ReceiptInput {
  readonly opened: OpenedRequest
  /** What was in force when the request came. */
  readonly standing: Standing
  /** Outer value of the hints field. */
  readonly hints: string | undefined
  readonly response: ResponseDigest
  /** Lower-case hex. */
  readonly salted: { readonly request: string; readonly response: string }
  readonly usage: TokenUsage
  readonly outcome: ReceiptOutcome
}

export interface Receipts {
  /** A name nobody can guess: whoever knows it may read the receipt. */
  newId(): string
  sign(id: string, input: ReceiptInput): Promise<void>
  /** Canonical JSON. */
  get(id: string): string | undefined
  /** Answers that are not signed for yet, and receipts that nobody has fetched. */
  open(): { readonly unsigned: number; readonly unfetched: number }
}

export interface ReceiptsOptions {
  readonly key: ReceiptKey
  readonly model: { readonly id: string; readonly manifest: string }
  /** Receipts kept; the oldest leave first. */
  readonly limit: number
  readonly clock: Clock
  readonly random: Random
  readonly hasher: Hasher
}

/** Receipts in memory: they are worth something for minutes, until the gateway has fetched them. */
export function createReceipts(options: ReceiptsOptions): Receipts {
  const { key, limit, random } = options
  const texts = new Map<string, string>()
  const unsigned = new Set<string>()
  const unfetched = new Set<string>()
  return {
    newId: () => {
      const id = `rcpt_${toBase64url(random(16))}`
      unsigned.add(id)
      return id
    },
    sign: async (id, input) => {
      try {
        const receipt = await signReceipt(await describe(id, input, options), key.signer)
        texts.set(id, canonicalJson(receipt))
      } finally {
        unsigned.delete(id)
      }
      unfetched.add(id)
      const [oldest] = texts.keys()
      if (texts.size <= limit || oldest === undefined) return
      texts.delete(oldest)
      unfetched.delete(oldest)
    },
    get: (id) => {
      unfetched.delete(id)
      return texts.get(id)
    },
    open: () => ({ unsigned: unsigned.size, unfetched: unfetched.size }),
  }
}

async function describe(
  id: string,
  input: ReceiptInput,
  { key, model, clock, hasher }: ReceiptsOptions,
): Promise<UnsignedReceipt> {
  const { opened, standing, hints, response, salted, usage, outcome } = input
  const digest = async (text: string): Promise<string> =>
    `sha256:${toHex(await hasher.digest('SHA-256', utf8(text)))}`
  return {
    version: 'vouchsafe.receipt/1',
    receipt_id: id,
    served_at: Math.floor(clock().getTime() / 1000),
    keyset_digest: digestFor(standing, opened.keyId),
    key_id: key.name,
    envelope: {
      format: opened.form === 'chunked' ? 'ohttp-chunked' : 'ohttp',
      kem: opened.suite.kem,
      aead: opened.suite.aead,
      hpke_key_id: opened.keyId,
      recipient: 'node',
      weak: false,
    },
    request: { digest: opened.ciphertext.digest, bytes: opened.ciphertext.bytes },
    response: { ...response },
    hints: hints === undefined ? null : await digest(hints),
    model: { ...model, release_id: standing.leaseId },
    appraisal: { policy: standing.proof.policyDigest, ear: await digest(standing.proof.ear) },
    usage,
    salted,
    outcome,
  }
}
