/**
 * Challenges without state: a nonce carries its own expiry and a tag only we can make, so issuing
 * one costs no storage, and nobody can fill ours by asking. Only a nonce that is used is remembered,
 * until it expires.
 *
 * Layout, 32 bytes: expiry (u32, Unix seconds), 12 random bytes, the first 16 bytes of
 * HMAC-SHA256 over a label and those 16 bytes.
 *
 * @packageDocumentation
 */
import { concat, equalSecret, utf8 } from '../core/bytes/bytes.ts'
import { fromHex, toHex } from '../core/bytes/hex.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Random } from '../core/ports/crypto.ts'

/** HMAC-SHA256 under a secret that survives restarts. */
export type Mac = (data: Uint8Array) => Uint8Array

/** 64 lower-case hex digits and when they stop being good. */
export interface Challenge {
  readonly nonce: string
  /** Unix seconds: good before, not at. */
  readonly expiresAt: number
}

const LABEL = utf8('vouchsafe challenge v1\0')
const RANDOM_BYTES = 12
const TAG_BYTES = 16
const TEXT = /^[0-9a-f]{64}$/

/** A fresh challenge that is good until `expiresAt`. */
export function issueChallenge(
  expiresAt: number,
  { mac, random }: { readonly mac: Mac; readonly random: Random },
): Challenge {
  const expiry = new Uint8Array(4)
  new DataView(expiry.buffer).setUint32(0, expiresAt)
  const body = concat(expiry, random(RANDOM_BYTES))
  return { nonce: toHex(concat(body, tagOf(body, mac))), expiresAt }
}

/**
 * Reads a nonce of ours. Whether it was used before is the store's to say.
 *
 * @param now - Unix seconds.
 * @throws {@link VouchsafeError} `ERR_NONCE_UNKNOWN` if we did not issue it or it has expired: a
 *   stranger learns nothing from the difference.
 */
export function openChallenge(
  nonce: string,
  { mac, now }: { readonly mac: Mac; readonly now: number },
): Challenge {
  const blame = { code: 'ERR_NONCE_UNKNOWN', at: 'body.nonce' } as const
  const refuse = () => new VouchsafeError(blame, 'not a current challenge; ask for a new one')
  if (!TEXT.test(nonce)) throw refuse()
  const bytes = fromHex(nonce, blame)
  const body = bytes.subarray(0, bytes.length - TAG_BYTES)
  const genuine = equalSecret(tagOf(body, mac), bytes.subarray(body.length))
  const expiresAt = new DataView(bytes.buffer).getUint32(0)
  if (!genuine || expiresAt <= now) throw refuse()
  return { nonce, expiresAt }
}

function tagOf(body: Uint8Array, mac: Mac): Uint8Array {
  return mac(concat(LABEL, body)).subarray(0, TAG_BYTES)
}
