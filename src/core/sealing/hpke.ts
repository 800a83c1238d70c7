/**
 * Hybrid Public Key Encryption in base mode (RFC 9180). Anyone may seal to a public key; who sealed
 * is not authenticated, and post-quantum KEMs could not do so anyway.
 *
 * @packageDocumentation
 */
import { concat, utf8 } from '../bytes/bytes.ts'
import type { Awaitable } from '../ports/crypto.ts'
import type { Bytes, SealingCrypto } from '../ports/sealing.ts'
import { AeadSequence } from './aead-sequence.ts'
import { labeledKdf, u16 } from './kdf.ts'
import type { KemKeyPair, KemPublicKey } from './kem.ts'
import { AEADS, NONCE_LENGTH, type Suite, type SymmetricSuite } from './suites.ts'

const EMPTY = new Uint8Array(0)
const MODE_BASE = Uint8Array.of(0)
const EXPORTER_LENGTH = 32
const LABELS = {
  hpke: utf8('HPKE'),
  pskIdHash: utf8('psk_id_hash'),
  infoHash: utf8('info_hash'),
  secret: utf8('secret'),
  key: utf8('key'),
  baseNonce: utf8('base_nonce'),
  exp: utf8('exp'),
  sec: utf8('sec'),
} as const

/** What sender and recipient share, whichever side one is on. */
export interface HpkeContext {
  readonly suite: Suite
  /** Encapsulated key: what the recipient needs, and what names this exchange. */
  readonly enc: Uint8Array
  /** Export (RFC 9180 §5.3): a secret of `length` bytes for `label`, known to both sides only. */
  export(label: Uint8Array, length: number): Promise<Bytes>
}

/** Seals messages in order. */
export interface SenderContext extends HpkeContext {
  seal(aad: Uint8Array, plaintext: Uint8Array): Awaitable<Bytes>
}

/** Opens messages in order; calls must not overlap. */
export interface RecipientContext extends HpkeContext {
  /** @throws {@link VouchsafeError} `ERR_ENVELOPE_OPEN_FAILED` at `hpke.open`, for any reason. */
  open(aad: Uint8Array, ciphertext: Uint8Array): Promise<Bytes>
}

/** SetupBaseS (RFC 9180 §5.1.1). */
export async function setupSender(
  recipient: KemPublicKey,
  { kdf, aead, info }: SymmetricSuite & { readonly info: Uint8Array },
  crypto: SealingCrypto,
): Promise<SenderContext> {
  const { enc, sharedSecret } = await recipient.encapsulate()
  const suite = { kem: recipient.kem, kdf, aead }
  const { sequence, exportSecret } = await keySchedule(suite, { sharedSecret, info }, crypto)
  return {
    suite,
    enc,
    export: exportSecret,
    seal: (aad, plaintext): Awaitable<Bytes> => sequence.seal(aad, plaintext),
  }
}

/**
 * SetupBaseR (RFC 9180 §5.1.1).
 *
 * @throws {@link VouchsafeError} `ERR_ENVELOPE_OPEN_FAILED` at `hpke.open` if `enc` is no
 *   encapsulated key.
 */
export async function setupRecipient(
  keyPair: KemKeyPair,
  {
    kdf,
    aead,
    info,
    enc,
  }: SymmetricSuite & { readonly info: Uint8Array; readonly enc: Uint8Array },
  crypto: SealingCrypto,
): Promise<RecipientContext> {
  const sharedSecret = await keyPair.decapsulate(enc)
  const suite = { kem: keyPair.kem, kdf, aead }
  const { sequence, exportSecret } = await keySchedule(suite, { sharedSecret, info }, crypto)
  return {
    suite,
    enc: enc.slice(),
    export: exportSecret,
    open: async (aad, ciphertext) => sequence.open(aad, ciphertext),
  }
}

/** KeySchedule in base mode (RFC 9180 §5.1). */
async function keySchedule(
  suite: Suite,
  input: { readonly sharedSecret: Uint8Array; readonly info: Uint8Array },
  crypto: SealingCrypto,
): Promise<{
  readonly sequence: AeadSequence
  readonly exportSecret: HpkeContext['export']
}> {
  const suiteId = concat(LABELS.hpke, u16(suite.kem), u16(suite.kdf), u16(suite.aead))
  const kdf = labeledKdf(crypto, suiteId)
  const pskIdHash = await kdf.extract(EMPTY, LABELS.pskIdHash, EMPTY)
  const infoHash = await kdf.extract(EMPTY, LABELS.infoHash, input.info)
  const info = concat(MODE_BASE, pskIdHash, infoHash)
  const secret = await kdf.prk(await kdf.extract(input.sharedSecret, LABELS.secret, EMPTY))
  const key = await secret.expand(LABELS.key, { info, length: AEADS[suite.aead].key })
  const baseNonce = await secret.expand(LABELS.baseNonce, { info, length: NONCE_LENGTH })
  const exporter = await secret.expand(LABELS.exp, { info, length: EXPORTER_LENGTH })
  return {
    sequence: await AeadSequence.create(crypto, suite.aead, { key, baseNonce }),
    exportSecret: async (label, length) =>
      (await kdf.prk(exporter)).expand(LABELS.sec, { info: label, length }),
  }
}
