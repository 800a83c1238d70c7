/**
 * Key encapsulation: DHKEM (RFC 9180 §4.1) over X25519 and P-256, and the hybrid MLKEM768-X25519
 * (draft-ietf-hpke-pq), whose secret is safe as long as either half is.
 *
 * @packageDocumentation
 */
import { concat, utf8 } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type {
  AgreementPrivateKey,
  AgreementPublicKey,
  Bytes,
  Curve,
  MlKemPrivateKey,
  SealingCrypto,
} from '../ports/sealing.ts'
import { labeledKdf, u16 } from './kdf.ts'
import { KEMS, type KemId } from './suites.ts'

const EMPTY = new Uint8Array(0)
const SECRET_LENGTH = 32
const ML_KEM = { publicKey: 1184, ciphertext: 1088 } as const
const LABELS = {
  dkpPrk: utf8('dkp_prk'),
  sk: utf8('sk'),
  candidate: utf8('candidate'),
  eaePrk: utf8('eae_prk'),
  sharedSecret: utf8('shared_secret'),
} as const
/** `\.//^\`, at the end: early drafts of X-Wing had it first, and their vectors do not apply. */
const HYBRID_LABEL = utf8('\\.//^\\')

/** A recipient's public key, checked and imported once. */
export interface KemPublicKey {
  readonly kem: KemId
  readonly bytes: Uint8Array
  /** A fresh secret of 32 bytes, and what to send so that only the recipient learns it. */
  encapsulate(): Promise<{ readonly enc: Bytes; readonly sharedSecret: Bytes }>
}

/** A recipient's key pair. The private half stays inside the driver that made it. */
export interface KemKeyPair {
  readonly kem: KemId
  readonly publicKey: Uint8Array
  /**
   * @throws {@link VouchsafeError} `ERR_ENVELOPE_OPEN_FAILED` at `hpke.open`, the same as for a
   *   ciphertext that does not open: which step failed is nobody's business.
   */
  decapsulate(enc: Uint8Array): Promise<Bytes>
}

/**
 * A fresh key pair. To keep it over a restart, draw 32 random bytes, keep those, and use
 * {@link deriveKeyPair} instead.
 */
export async function generateKeyPair(kem: KemId, crypto: SealingCrypto): Promise<KemKeyPair> {
  if (kem === 0x647a) return importKeyPair(kem, crypto.random(SECRET_LENGTH), crypto)
  return dhKeyPair(kem, await crypto.generateAgreementKey(curveOf(kem)), crypto)
}

/**
 * DeriveKeyPair (RFC 9180 §7.1.3; draft-ietf-hpke-pq for the hybrid).
 *
 * @param ikm - At least 32 bytes of entropy.
 */
export async function deriveKeyPair(
  kem: KemId,
  ikm: Uint8Array,
  crypto: SealingCrypto,
): Promise<KemKeyPair> {
  if (ikm.length < SECRET_LENGTH) throw new RangeError('ikm is at least 32 bytes')
  if (kem === 0x647a) return importKeyPair(kem, hybridSeed(ikm, crypto), crypto)
  const kdf = labeledKdf(crypto, kemSuiteId(kem))
  const prk = await kdf.prk(await kdf.extract(EMPTY, LABELS.dkpPrk, ikm))
  if (kem === 0x0020) {
    const scalar = await prk.expand(LABELS.sk, { length: SECRET_LENGTH })
    return importKeyPair(kem, scalar, crypto)
  }
  for (let counter = 0; counter < 256; counter++) {
    const info = Uint8Array.of(counter)
    const candidate = await prk.expand(LABELS.candidate, { info, length: SECRET_LENGTH })
    const pair = await importCandidate(candidate, crypto)
    if (pair !== undefined) return pair
  }
  throw new RangeError('no P-256 key in 256 candidates')
}

/**
 * A key pair from its serialised private key (RFC 9180 §7.1.2).
 *
 * @param privateKey - 32 bytes: a scalar, or the seed of a hybrid key.
 * @throws RangeError if it is no private key of that KEM.
 */
export async function importKeyPair(
  kem: KemId,
  privateKey: Uint8Array,
  crypto: SealingCrypto,
): Promise<KemKeyPair> {
  if (privateKey.length !== SECRET_LENGTH) throw new RangeError('a private key is 32 bytes')
  if (kem !== 0x647a) {
    return dhKeyPair(kem, await crypto.importAgreementKey(curveOf(kem), privateKey), crypto)
  }
  const expanded = crypto.shake256(privateKey, 96)
  const mlKem = await crypto.importMlKemKey(expanded.subarray(0, 64))
  const x25519 = await crypto.importAgreementKey('X25519', expanded.subarray(64))
  expanded.fill(0)
  return hybridKeyPair(mlKem, x25519, crypto)
}

/**
 * Checks and imports a recipient's public key.
 *
 * @throws {@link VouchsafeError} `ERR_ENVELOPE_MALFORMED` at `hpke.public_key` if it is none.
 */
export async function importPublicKey(
  kem: KemId,
  bytes: Uint8Array,
  crypto: SealingCrypto,
): Promise<KemPublicKey> {
  if (bytes.length !== KEMS[kem].publicKey) throw notAPublicKey()
  if (kem === 0x647a) return hybridPublicKey(bytes, crypto)
  const recipient = await crypto.importAgreementPublic(curveOf(kem), bytes)
  if (recipient === undefined) throw notAPublicKey()
  return {
    kem,
    bytes: recipient.bytes,
    encapsulate: async () => {
      const { enc, dh } = await ephemeral(recipient, crypto)
      return { enc, sharedSecret: await extractAndExpand(kem, { dh, enc, recipient }, crypto) }
    },
  }
}

function curveOf(kem: 0x0020 | 0x0010): Curve {
  return kem === 0x0020 ? 'X25519' : 'P-256'
}

function kemSuiteId(kem: KemId): Bytes {
  return concat(utf8('KEM'), u16(kem))
}

function notAPublicKey(): VouchsafeError {
  const blame = { code: 'ERR_ENVELOPE_MALFORMED', at: 'hpke.public_key' } as const
  return new VouchsafeError(blame, 'not a public key of this KEM')
}

/** The one error for everything that does not open, wherever it stopped (STYLE §5, no oracles). */
export function openFailed(): VouchsafeError {
  const blame = { code: 'ERR_ENVELOPE_OPEN_FAILED', at: 'hpke.open' } as const
  return new VouchsafeError(blame, 'does not open')
}

async function importCandidate(
  candidate: Uint8Array,
  crypto: SealingCrypto,
): Promise<KemKeyPair | undefined> {
  try {
    return await importKeyPair(0x0010, candidate, crypto)
  } catch (error) {
    // Out of range, once in 2^32 keys: RFC 9180 §7.1.3 then takes the next candidate.
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function hybridSeed(ikm: Uint8Array, crypto: SealingCrypto): Bytes {
  const label = utf8('DeriveKeyPair')
  const parts = [utf8('HPKE-v1'), kemSuiteId(0x647a), u16(label.length), label, u16(SECRET_LENGTH)]
  return crypto.shake256(concat(ikm, ...parts), SECRET_LENGTH)
}

async function ephemeral(
  recipient: AgreementPublicKey,
  crypto: SealingCrypto,
): Promise<{ readonly enc: Bytes; readonly dh: Bytes }> {
  const key = await crypto.generateAgreementKey(recipient.curve)
  const dh = await key.agree(recipient)
  // A public key of low order; a sender who went on would encrypt to everybody.
  if (dh === undefined) throw notAPublicKey()
  return { enc: key.publicKey.slice(), dh }
}

/** ExtractAndExpand (RFC 9180 §4.1). */
async function extractAndExpand(
  kem: KemId,
  parts: {
    readonly dh: Uint8Array
    readonly enc: Uint8Array
    readonly recipient: { readonly bytes: Uint8Array }
  },
  crypto: SealingCrypto,
): Promise<Bytes> {
  const kdf = labeledKdf(crypto, kemSuiteId(kem))
  const prk = await kdf.prk(await kdf.extract(EMPTY, LABELS.eaePrk, parts.dh))
  const info = concat(parts.enc, parts.recipient.bytes)
  return prk.expand(LABELS.sharedSecret, { info, length: SECRET_LENGTH })
}

function dhKeyPair(
  kem: 0x0020 | 0x0010,
  key: AgreementPrivateKey,
  crypto: SealingCrypto,
): KemKeyPair {
  return {
    kem,
    publicKey: key.publicKey,
    decapsulate: async (enc) => {
      const sender = await crypto.importAgreementPublic(key.curve, enc)
      const dh = sender === undefined ? undefined : await key.agree(sender)
      if (dh === undefined) throw openFailed()
      const recipient = { bytes: key.publicKey }
      return extractAndExpand(kem, { dh, enc, recipient }, crypto)
    },
  }
}

function hybridKeyPair(
  mlKem: MlKemPrivateKey,
  x25519: AgreementPrivateKey,
  crypto: SealingCrypto,
): KemKeyPair {
  return {
    kem: 0x647a,
    publicKey: concat(mlKem.publicKey, x25519.publicKey),
    decapsulate: async (enc) => {
      if (enc.length !== KEMS[0x647a].enc) throw openFailed()
      const ctX = enc.subarray(ML_KEM.ciphertext)
      const sender = await crypto.importAgreementPublic('X25519', ctX)
      const ssM = await mlKem.decapsulate(enc.subarray(0, ML_KEM.ciphertext))
      const ssX = sender === undefined ? undefined : await x25519.agree(sender)
      if (ssX === undefined) throw openFailed()
      return crypto.sha3256(concat(ssM, ssX, ctX, x25519.publicKey, HYBRID_LABEL))
    },
  }
}

async function hybridPublicKey(bytes: Uint8Array, crypto: SealingCrypto): Promise<KemPublicKey> {
  const mlKem = await crypto.importMlKemPublic(bytes.subarray(0, ML_KEM.publicKey))
  const x25519 = await crypto.importAgreementPublic('X25519', bytes.subarray(ML_KEM.publicKey))
  if (mlKem === undefined || x25519 === undefined) throw notAPublicKey()
  return {
    kem: 0x647a,
    bytes: bytes.slice(),
    encapsulate: async () => {
      const { ciphertext, sharedSecret: ssM } = await mlKem.encapsulate()
      const { enc: ctX, dh: ssX } = await ephemeral(x25519, crypto)
      const secret = concat(ssM, ssX, ctX, x25519.bytes, HYBRID_LABEL)
      return { enc: concat(ciphertext, ctX), sharedSecret: crypto.sha3256(secret) }
    },
  }
}
