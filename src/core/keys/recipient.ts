/**
 * Who a key is wrapped to: the P-256 release key in an enclave's keyset (`spec/envelope.md` §10).
 *
 * @packageDocumentation
 */
import { toBase64url } from '../bytes/base64url.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { canonicalBytes, type Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { Hasher } from '../ports/crypto.ts'

const POINT_SIZE = 65
const UNCOMPRESSED = 0x04

/** A P-256 public key as JWK, with exactly the members of its RFC 7638 thumbprint. */
export interface Recipient {
  readonly crv: 'P-256'
  readonly kty: 'EC'
  readonly x: string
  readonly y: string
}

/** The part of a keyset that says who may receive keys, and what names the keyset. */
export interface KeysetRecipient {
  /** `sha256:<hex>` of {@link canonical}. */
  readonly digest: string
  /** The whole keyset, whatever else is in it, as canonical JSON. */
  readonly canonical: Uint8Array
  readonly recipient: Recipient
}

/**
 * Digest and release key of a keyset. That anything vouches for the keyset is for its digest to show,
 * in an Attestation Result.
 *
 * @throws {@link VouchsafeError} `ERR_KEYSET_MALFORMED` if it has no canonical form or no P-256
 *   release key. Whether the point is on the curve shows when something is wrapped to it.
 */
export async function recipientOf(keyset: unknown, hasher: Hasher): Promise<KeysetRecipient> {
  const at = 'keyset.vouchsafe.release_key'
  const key = member(member(keyset, 'vouchsafe'), 'release_key')
  const publicKey = member(key, 'public_key')
  if (member(key, 'algo') !== 'p256' || typeof publicKey !== 'string') {
    throw new VouchsafeError(blame(at), 'want algo p256 and a public_key')
  }
  const recipient = recipientFromHex(publicKey, blame(`${at}.public_key`))
  const canonical = canonicalKeyset(keyset)
  const digest = await hasher.digest('SHA-256', canonical)
  return { digest: `sha256:${toHex(digest)}`, canonical, recipient }
}

/**
 * Reads an uncompressed point in hex.
 *
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function recipientFromHex(text: string, blamed: Blame): Recipient {
  const point = fromHex(text, blamed)
  if (point.length !== POINT_SIZE || point[0] !== UNCOMPRESSED) {
    throw new VouchsafeError(blamed, 'want an uncompressed P-256 point of 65 bytes')
  }
  const x = toBase64url(point.subarray(1, 33))
  return { crv: 'P-256', kty: 'EC', x, y: toBase64url(point.subarray(33)) }
}

/** RFC 7638 SHA-256 thumbprint, base64url. */
export async function recipientThumbprint(
  { crv, kty, x, y }: Recipient,
  hasher: Hasher,
): Promise<string> {
  return toBase64url(await hasher.digest('SHA-256', canonicalBytes({ crv, kty, x, y })))
}

function canonicalKeyset(keyset: unknown): Uint8Array {
  try {
    return canonicalBytes(keyset as Json)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw new VouchsafeError(blame('keyset'), 'no canonical form', { cause })
  }
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Readonly<Record<string, unknown>>)[name]
}

function blame(at: string): Blame {
  return { code: 'ERR_KEYSET_MALFORMED', at }
}
