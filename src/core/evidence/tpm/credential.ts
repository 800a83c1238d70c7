/**
 * TPM2_MakeCredential in software: a secret that only the TPM which holds an endorsement key (EK) can
 * read, and only if a key of a given name is loaded in it too. A name is a hash over a key and its
 * attributes, so whoever gives the secret back has shown that a key with those attributes lives there.
 *
 * @packageDocumentation
 * @see TCG TPM 2.0 Library, Part 1, 24 "Credential Protection", 11.4.10 "Key Derivation Function",
 *   B.10.4 and C.6.4 "Secret Sharing"; TCG EK Credential Profile for TPM 2.0, B "Default EK Templates"
 */
import { concat, utf8 } from '../../bytes/bytes.ts'
import type { CredentialCrypto, CredentialHash } from '../../ports/credential.ts'
import type { Hasher, VerifyingKey } from '../../ports/crypto.ts'

export interface CredentialRequest {
  /** From the EK's certificate. */
  readonly ek: VerifyingKey
  /** Of the attestation key: what `nameOf` gives. */
  readonly name: Uint8Array
  /** 16 to 32 bytes: TPMs take no more than the digest of the EK's name has. */
  readonly secret: Uint8Array
  /** 48 random bytes, of which as many are used as the EK's hash has. */
  readonly seed: Uint8Array
}

/** Both halves of what TPM2_ActivateCredential takes, without their sizes. */
export interface Credential {
  /** TPMS_ID_OBJECT. */
  readonly idObject: Uint8Array<ArrayBuffer>
  /** TPMU_ENCRYPTED_SECRET. */
  readonly encryptedSecret: Uint8Array<ArrayBuffer>
}

interface Template {
  readonly hash: CredentialHash
  readonly digestBytes: number
  /** Of AES. */
  readonly keyBytes: 16 | 32
}

const SMALL: Template = { hash: 'SHA-256', digestBytes: 32, keyBytes: 16 }
const LARGE: Template = { hash: 'SHA-384', digestBytes: 48, keyBytes: 32 }
/** SubjectPublicKeyInfo of RSA with 3072 bits has 422 bytes, that of 2048 has 294. */
const LARGE_RSA_SPKI = 422
const [P256_BYTES, P384_BYTES] = [32, 48]
/** What the seed is for. The zero at the end is part of it. */
const IDENTITY = 'IDENTITY\0'

interface Secret {
  readonly seed: Uint8Array
  readonly encryptedSecret: Uint8Array<ArrayBuffer>
}

/**
 * Makes a credential. Hash and cipher are those of the TCG's default template for a key of this kind,
 * as certificates of endorsement keys name no other.
 */
export async function makeCredential(
  { ek, name, secret, seed: random }: CredentialRequest,
  crypto: CredentialCrypto & Hasher,
): Promise<Credential> {
  const template = templateOf(ek)
  const { hash, digestBytes, keyBytes } = template
  const { seed, encryptedSecret } =
    ek.alg === 'ES256' || ek.alg === 'ES384'
      ? await agreeOnSeed(ek, template, crypto)
      : encryptSeed(ek, random.slice(0, digestBytes), { hash, crypto })
  const derive = (label: string, context: Uint8Array, bytes: number): Uint8Array =>
    kdfA({ hash, key: seed, label, context, bytes, digestBytes }, crypto)
  const storage = derive('STORAGE', name, keyBytes)
  const identity = crypto.encryptCfb(storage, sized(secret))
  const integrity = derive('INTEGRITY', new Uint8Array(), digestBytes)
  const hmac = crypto.hmac(hash, integrity, concat(identity, name))
  return { idObject: concat(sized(hmac), identity), encryptedSecret }
}

/**
 * A credential as `tpm2_activatecredential -i` reads it: a header with a version, then each half with
 * its size.
 */
export function encodeCredentialFile({ idObject, encryptedSecret }: Credential): Uint8Array {
  const header = Uint8Array.of(0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1)
  return concat(header, sized(idObject), sized(encryptedSecret))
}

/** TPM2B: two bytes of size, then the bytes. */
function sized(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes)
}

function templateOf({ alg, spki }: VerifyingKey): Template {
  if (alg === 'ES256') return SMALL
  if (alg === 'ES384') return LARGE
  return spki.length >= LARGE_RSA_SPKI ? LARGE : SMALL
}

/** B.10.4: OAEP, labelled with what the secret is for and a zero. */
function encryptSeed(
  { spki }: VerifyingKey,
  seed: Uint8Array,
  { hash, crypto }: { readonly hash: CredentialHash; readonly crypto: CredentialCrypto },
): Secret {
  const label = utf8(IDENTITY)
  return { seed, encryptedSecret: crypto.encryptOaep(spki, { hash, label }, seed) }
}

/** C.6.4: the seed is derived, and the point of a new key is sent. */
async function agreeOnSeed(
  { alg, spki }: VerifyingKey,
  { hash }: Template,
  crypto: CredentialCrypto & Hasher,
): Promise<Secret> {
  const size = alg === 'ES256' ? P256_BYTES : P384_BYTES
  // A SubjectPublicKeyInfo of these curves ends in its point: its form, x and y.
  const theirs = spki.slice(spki.length - 1 - 2 * size)
  const { point: ours, shared } = crypto.agree(theirs)
  const [x, y] = [ours.slice(1, 1 + size), ours.slice(1 + size)]
  // KDFe (11.4.10.3): one round, since the digest of each template is as long as its seed.
  const parties = concat(x, theirs.slice(1, 1 + size))
  const input = concat(Uint8Array.of(0, 0, 0, 1), shared, utf8(IDENTITY), parties)
  return { seed: await crypto.digest(hash, input), encryptedSecret: concat(sized(x), sized(y)) }
}

/** SP 800-108 in counter mode, as 11.4.10.2 has it; the second context is always empty here. */
function kdfA(
  {
    hash,
    key,
    label,
    context,
    bytes,
    digestBytes,
  }: {
    readonly hash: CredentialHash
    readonly key: Uint8Array
    readonly label: string
    readonly context: Uint8Array
    readonly bytes: number
    readonly digestBytes: number
  },
  crypto: CredentialCrypto,
): Uint8Array {
  // One round gives a whole digest, and nothing here asks for more.
  if (bytes > digestBytes) throw new RangeError(`${bytes} bytes of a digest of ${digestBytes}`)
  const bits = bytes * 8
  const length = Uint8Array.of(0, 0, bits >> 8, bits & 0xff)
  const input = concat(Uint8Array.of(0, 0, 0, 1), utf8(`${label}\0`), context, length)
  return crypto.hmac(hash, key, input).slice(0, bytes)
}
