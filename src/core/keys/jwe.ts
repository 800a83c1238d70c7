/**
 * Keys on their way: flattened JWE, `ECDH-ES+A256KW` to a P-256 key, content `A256GCM`
 * (`spec/keys.md` §2.1; RFC 7516, RFC 7518 §4.6).
 *
 * jose draws the ephemeral key, the content key and the IV from the platform by itself: this module
 * is not pure, and is the only one in `core/keys` that isn't.
 *
 * @packageDocumentation
 */
import {
  type CryptoKey,
  exportJWK,
  FlattenedEncrypt,
  flattenedDecrypt,
  generateKeyPair,
  importJWK,
  type JWK,
} from 'jose'
import { fromBase64url } from '../bytes/base64url.ts'
import { concat } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { VouchsafeError } from '../errors.ts'
import type { Recipient } from './recipient.ts'

const ALG = 'ECDH-ES+A256KW'
const ENC = 'A256GCM'
const MEMBERS = ['ciphertext', 'encrypted_key', 'iv', 'protected', 'tag'] as const

/** A flattened JWE (RFC 7516 §7.2.2) with these members and no others. */
export type WrappedKeyJwe = Readonly<Record<(typeof MEMBERS)[number], string>>

/** A key pair for receiving keys, made for one boot and never written down. */
export interface ReleaseKeyPair {
  readonly recipient: Recipient
  /** The uncompressed point in hex, as keysets have it. */
  readonly publicKeyHex: string
  /** Cannot be exported. */
  readonly privateKey: CryptoKey
}

/** Makes a pair with the platform's randomness. */
export async function generateReleaseKey(): Promise<ReleaseKeyPair> {
  const { publicKey, privateKey } = await generateKeyPair(ALG, { crv: 'P-256', extractable: false })
  const { x = '', y = '' } = await exportJWK(publicKey)
  const blame = { code: 'ERR_KEYSET_MALFORMED', at: 'release_key' } as const
  const point = concat(Uint8Array.of(0x04), fromBase64url(x, blame), fromBase64url(y, blame))
  return { recipient: { crv: 'P-256', kty: 'EC', x, y }, publicKeyHex: toHex(point), privateKey }
}

/**
 * Wraps key material to a recipient. Release has a stricter door: `wrapReleased` in `release.ts`.
 *
 * @param kid - What is wrapped, in the authenticated header: `kbs:///ns/type/name?version=1`.
 * @throws {@link VouchsafeError} `ERR_KEYSET_MALFORMED` at `recipient` for a point off the curve.
 */
export async function wrapKey(
  material: Uint8Array,
  { kid, recipient }: { readonly kid: string; readonly recipient: Recipient },
): Promise<WrappedKeyJwe> {
  const key = await importRecipient(recipient)
  const jwe = await new FlattenedEncrypt(material)
    .setProtectedHeader({ alg: ALG, enc: ENC, kid })
    .encrypt(key)
  return {
    protected: jwe.protected ?? '',
    encrypted_key: jwe.encrypted_key ?? '',
    iv: jwe.iv ?? '',
    ciphertext: jwe.ciphertext,
    tag: jwe.tag ?? '',
  }
}

/**
 * Unwraps key material. Every failure is the same one, since its difference would be an oracle.
 *
 * @param kid - What the header must name: a key may not arrive in the place of another.
 * @throws {@link VouchsafeError} `ERR_KEY_UNWRAP_FAILED` at `jwe`.
 */
export async function unwrapKey(
  jwe: unknown,
  { kid, privateKey }: { readonly kid: string; readonly privateKey: CryptoKey | JWK },
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const { plaintext, protectedHeader } = await flattenedDecrypt(onlyMembers(jwe), privateKey, {
      keyManagementAlgorithms: [ALG],
      contentEncryptionAlgorithms: [ENC],
    })
    if (protectedHeader?.kid !== kid) throw new TypeError('another key')
    return Uint8Array.from(plaintext)
  } catch (cause) {
    const blame = { code: 'ERR_KEY_UNWRAP_FAILED', at: 'jwe' } as const
    throw new VouchsafeError(blame, 'not a key wrapped to us', { cause })
  }
}

async function importRecipient({ crv, kty, x, y }: Recipient): Promise<CryptoKey | Uint8Array> {
  try {
    return await importJWK({ crv, kty, x, y }, ALG)
  } catch (cause) {
    const blame = { code: 'ERR_KEYSET_MALFORMED', at: 'recipient' } as const
    throw new VouchsafeError(blame, 'not a point on P-256', { cause })
  }
}

/** No `aad`, no unprotected header: what is not authenticated has no place. */
function onlyMembers(jwe: unknown): WrappedKeyJwe {
  if (typeof jwe !== 'object' || jwe === null) throw new TypeError('no object')
  const names = Object.keys(jwe).sort()
  if (names.join() !== MEMBERS.join()) throw new TypeError('other members')
  return jwe as WrappedKeyJwe
}
