/**
 * Receipts: what an enclave signs about one sealed exchange, over digests of ciphertext only. The
 * gateway bills by them and the client checks them, each with the bytes it saw; nobody learns
 * content from one (spec/envelope.md §11).
 *
 * @packageDocumentation
 */
import { concat, utf8 } from '../bytes/bytes.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { canonicalBytes } from '../encoding/canonical-json.ts'
import { VouchsafeError } from '../errors.ts'
import type { CryptoProvider, Signer, VerifyingKey } from '../ports/crypto.ts'
import type { HashProvider, RunningHash } from '../ports/sealing.ts'
import type { BodyDigest, ResponseDigest } from './body-meter.ts'
import { type JsonNode, jsonNode } from './json.ts'
import type { Keyset } from './keyset.ts'
import { parseUsage, type Usage } from './usage.ts'

/** What the receipt is about, and who signed it. Type aliases, because only those are also JSON. */
export type UnsignedReceipt = {
  readonly version: 'vouchsafe.receipt/1'
  /** Opaque. */
  readonly receipt_id: string
  /** Unix seconds. */
  readonly served_at: number
  readonly keyset_digest: string
  /** Of the receipt key in that keyset. */
  readonly key_id: string
  readonly envelope: ReceiptEnvelope
  /** Of the ciphertext as received. */
  readonly request: { readonly digest: string; readonly bytes: number }
  /** Of the ciphertext as sent. */
  readonly response: {
    readonly digest: string
    readonly bytes: number
    readonly chunks: number
    readonly complete: boolean
  }
  /** `sha256:<hex>` of the hints field value, `null` without one. */
  readonly hints: string | null
  readonly model: {
    readonly id: string
    readonly manifest: string
    /** Of the release that opened the weights, `null` if they were not sealed. */
    readonly release_id: string | null
  }
  /** Digests of the policy and the EAR that the enclave had when it answered. */
  readonly appraisal: { readonly policy: string; readonly ear: string }
  readonly usage: Usage
  /** HMACs of the plaintext bodies, under a key that only client and enclave have. */
  readonly salted: { readonly request: string; readonly response: string } | null
  readonly outcome: ReceiptOutcome
}

/** How the exchange was sealed. */
export type ReceiptEnvelope = {
  readonly format: 'ohttp' | 'ohttp-chunked' | 'multi' | 'ehbp' | 'ark-e2e'
  readonly kem: number
  readonly aead: number
  readonly hpke_key_id: number
  readonly recipient: 'node' | 'multi' | 'fleet'
  readonly weak: boolean
}

/** How the exchange ended. */
export type ReceiptOutcome = 'ok' | 'error' | 'refused' | 'aborted'

/** A receipt with its signature, 64 bytes in hexadecimal. */
export type Receipt = UnsignedReceipt & { readonly signature: string }

/** What a party saw of the exchange, to be held against the receipt. */
export interface SeenExchange {
  readonly keysetDigest: string
  readonly model: string
  readonly request: BodyDigest
  readonly response: ResponseDigest
  /** `sha256:<hex>` of the hints field value it sent or relayed, `null` without one. */
  readonly hints: string | null
}

const AT = 'receipt'
const ID = /^[A-Za-z0-9._-]{1,128}$/
const MODEL = /^[\x21-\x7e]{1,128}$/
const FORMATS = ['ohttp', 'ohttp-chunked', 'multi', 'ehbp', 'ark-e2e'] as const
const OUTCOMES = ['ok', 'error', 'refused', 'aborted'] as const
const MEMBERS = [
  'version',
  'receipt_id',
  'served_at',
  'keyset_digest',
  'key_id',
  'envelope',
  'request',
  'response',
  'hints',
  'model',
  'appraisal',
  'usage',
  'salted',
  'outcome',
  'signature',
] as const
/** DER of an Ed25519 key up to its 32 bytes (RFC 8410 §4). */
const ED25519_SPKI = Uint8Array.of(48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0)

/** Signs a receipt with the keyset's receipt key (Ed25519 over the canonical document). */
export async function signReceipt(receipt: UnsignedReceipt, signer: Signer): Promise<Receipt> {
  if (signer.key.alg !== 'Ed25519') throw new TypeError('receipts are signed with Ed25519')
  return { ...receipt, signature: toHex(await signer.sign(canonicalBytes(receipt))) }
}

/**
 * Parses a receipt. It proves nothing until {@link authenticateReceipt} has.
 *
 * @param value - From `JSON.parse`.
 * @throws {@link VouchsafeError} `ERR_RECEIPT_MALFORMED`, for unknown members too.
 */
export function parseReceipt(value: unknown): Receipt {
  const root = jsonNode(value, 'ERR_RECEIPT_MALFORMED', AT).object(MEMBERS)
  const { policy, ear } = root.appraisal.object(['policy', 'ear'])
  const salted = root.salted.value === null ? null : root.salted.object(['request', 'response'])
  return {
    version: root.version.oneOf(['vouchsafe.receipt/1']),
    receipt_id: root.receipt_id.text(ID),
    served_at: root.served_at.integer(),
    keyset_digest: root.keyset_digest.digest(),
    key_id: root.key_id.text(ID),
    envelope: parseEnvelope(root.envelope),
    request: parseBody(root.request.object(['digest', 'bytes'])),
    response: parseResponse(root.response),
    hints: root.hints.value === null ? null : root.hints.digest(),
    model: parseModel(root.model),
    appraisal: { policy: policy.digest(), ear: ear.digest() },
    usage: parseUsage(root.usage),
    salted: salted && { request: salted.request.hex(32), response: salted.response.hex(32) },
    outcome: root.outcome.oneOf(OUTCOMES),
    signature: root.signature.hex(64),
  }
}

/**
 * Checks that a keyset's receipt key signed the receipt.
 *
 * @param signed - The keyset, already verified, and its digest.
 * @throws {@link VouchsafeError} `ERR_RECEIPT_MISMATCH` at `receipt.keyset_digest`, `receipt.key_id`
 *   or `receipt.signature`.
 */
export async function authenticateReceipt(
  { signature, ...document }: Receipt,
  signed: { readonly keyset: Keyset; readonly keysetDigest: string },
  crypto: CryptoProvider,
): Promise<void> {
  if (document.keyset_digest !== signed.keysetDigest) throw mismatch('keyset_digest')
  const key = receiptKey(signed.keyset, document.key_id)
  if (key === undefined) throw mismatch('key_id')
  const blame = { code: 'ERR_RECEIPT_MALFORMED', at: `${AT}.signature` } as const
  const bytes = fromHex(signature, blame)
  if (!(await crypto.verify(key, bytes, canonicalBytes(document)))) throw mismatch('signature')
}

/**
 * Holds an authenticated receipt against what one saw. For the gateway these are the conditions for
 * billing at all (§12.3), next to `checkUsage`.
 *
 * @throws {@link VouchsafeError} `ERR_RECEIPT_MISMATCH` at the first member that differs.
 */
export function checkReceipt(receipt: Receipt, seen: SeenExchange): void {
  const { request, response } = receipt
  const same: readonly (readonly [boolean, string])[] = [
    [receipt.keyset_digest === seen.keysetDigest, 'keyset_digest'],
    [receipt.model.id === seen.model, 'model.id'],
    [request.digest === seen.request.digest, 'request.digest'],
    [request.bytes === seen.request.bytes, 'request.bytes'],
    [response.digest === seen.response.digest, 'response.digest'],
    [response.bytes === seen.response.bytes, 'response.bytes'],
    [receipt.hints === seen.hints, 'hints'],
  ]
  for (const [ok, member] of same) if (!ok) throw mismatch(member)
}

/**
 * What the `salted` members are made with: feed it a plaintext body, in pieces if need be. Only the
 * two ends of the exchange can; a bare hash of a short prompt could be guessed by anyone.
 *
 * @param exchange - The sealed or the opened request; both give the same.
 */
export async function startSaltedDigest(
  exchange: { export(label: Uint8Array, length: number): Promise<Uint8Array> },
  hashes: Pick<HashProvider, 'startHmacSha256'>,
): Promise<RunningHash> {
  return hashes.startHmacSha256(await exchange.export(utf8('vouchsafe receipt salt'), 32))
}

/** A receipt key of a keyset, as `CryptoProvider` takes it. */
export function receiptKey(keyset: Keyset, keyId: string): VerifyingKey | undefined {
  const key = keyset.receipt_signing_keys.find(({ key_id }) => key_id === keyId)
  if (key === undefined) return undefined
  const blame = { code: 'ERR_KEYSET_MALFORMED', at: 'keyset.receipt_signing_keys' } as const
  return { alg: 'Ed25519', spki: concat(ED25519_SPKI, fromHex(key.public_key, blame)) }
}

function parseBody({ digest, bytes }: { digest: JsonNode; bytes: JsonNode }): BodyDigest {
  return { digest: digest.digest(), bytes: bytes.integer() }
}

function parseResponse(node: JsonNode): ResponseDigest {
  const { chunks, complete, ...body } = node.object(['digest', 'bytes', 'chunks', 'complete'])
  return { ...parseBody(body), chunks: chunks.integer(), complete: complete.boolean() }
}

function parseEnvelope(node: JsonNode): ReceiptEnvelope {
  const { format, kem, aead, hpke_key_id, recipient, weak } = node.object([
    'format',
    'kem',
    'aead',
    'hpke_key_id',
    'recipient',
    'weak',
  ])
  return {
    format: format.oneOf(FORMATS),
    kem: kem.integer(),
    aead: aead.integer(),
    hpke_key_id: hpke_key_id.integer(),
    recipient: recipient.oneOf(['node', 'multi', 'fleet']),
    weak: weak.boolean(),
  }
}

function parseModel(node: JsonNode): Receipt['model'] {
  const { id, manifest, release_id } = node.object(['id', 'manifest', 'release_id'])
  return {
    id: id.text(MODEL),
    manifest: manifest.digest(),
    release_id: release_id.value === null ? null : release_id.text(ID),
  }
}

function mismatch(member: string): VouchsafeError {
  const blame = { code: 'ERR_RECEIPT_MISMATCH', at: `${AT}.${member}` } as const
  return new VouchsafeError(blame, 'not what was seen')
}
