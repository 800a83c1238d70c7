/**
 * The signature around a CoRIM. Who may sign is the caller's to say: a key that came with the message
 * would vouch for itself.
 *
 * @packageDocumentation
 * @see draft-ietf-rats-corim §4.2
 */
import { equal } from '../../bytes/bytes.ts'
import { type CborValue, decodeCbor } from '../../encoding/cbor.ts'
import {
  type CoseMessage,
  coseAlgorithm,
  decodeCoseMessage,
  signatureInput,
} from '../../encoding/cose.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { CryptoProvider, VerifyingKey } from '../../ports/crypto.ts'
import { type ChainTrust, type SignerHeaders, signerOf } from './chain-signer.ts'
import { assertCurrent, readValidity, type Validity } from './corim.ts'
import { asBytes, asList, asMap, asTime, show, within } from './item.ts'

export interface SignedCorim {
  /** The CoRIM, to be read once its signature has been checked. */
  readonly payload: Uint8Array
  /** When its signer stands by it. */
  readonly validity: readonly Validity[]
  /** Of its certificate, for people; `undefined` for a key that was given. */
  readonly signer: string | undefined
}

/** Who may sign: one key, or whoever has a certificate under a root. */
export type CorimTrust = { readonly key: VerifyingKey } | ChainTrust

/** `#6.500(…)`, `#6.502(…)` and `#6.18(…)`, as they are written. */
const WRAPPERS: readonly Uint8Array[] = [
  Uint8Array.of(0xd9, 0x01, 0xf4),
  Uint8Array.of(0xd9, 0x01, 0xf6),
]
const SIGN1 = 0xd2
const HEADER = { alg: 1, crit: 2, contentType: 3, kid: 4, meta: 8, cwt: 15, x5chain: 33, x5t: 34 }
/** All that this verifier acts on, or may ignore where a key is given. */
const KNOWN: readonly unknown[] = Object.values(HEADER)
const CONTENT_TYPES: readonly unknown[] = [
  'application/rim+cbor',
  'application/corim-unsigned+cbor',
  'application/corim+cbor',
]
/** Labels of RFC 9597: a hash stands in the payload's place. */
const HASH_ENVELOPE: readonly number[] = [258, 259, 260]
const [CWT_EXP, CWT_NBF] = [4, 5] as const
const [URI, TIME] = [32, 1] as const

/** Whether the bytes are meant to be a signed CoRIM; `inner` is what stands inside of wrappers. */
export function unwrapCorim(bytes: Uint8Array): {
  readonly signed: boolean
  readonly inner: Uint8Array
} {
  const wrapper = WRAPPERS.find((tag) => equal(bytes.subarray(0, tag.length), tag))
  // Each is taken off once at most, in this order, so this ends.
  const inner = wrapper === undefined ? bytes : bytes.subarray(wrapper.length)
  const second = wrapper === WRAPPERS[0] ? WRAPPERS[1] : undefined
  const last =
    second !== undefined && equal(inner.subarray(0, second.length), second)
      ? inner.subarray(second.length)
      : inner
  return { signed: last[0] === SIGN1, inner: last }
}

/**
 * Checks the signature of a signed CoRIM and when its signer stands by it.
 *
 * @param bytes - `#6.18(…)`, as {@link unwrapCorim} gives it.
 * @returns The payload, which is now the signer's.
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_UNTRUSTED` for a signature that is not by this
 *   key, nor by a certificate under these roots, or is not current; with the code of `blame` for
 *   anything malformed, and for critical headers that nobody here understands.
 */
export async function openSignedCorim(
  bytes: Uint8Array,
  { trust, now, crypto }: { trust: CorimTrust; now: Date; crypto: CryptoProvider },
  blame: Blame,
): Promise<SignedCorim> {
  const message = decodeCoseMessage(bytes, [URI, TIME], blame)
  refuseHeaders(message, blame)
  const untrusted = { code: 'ERR_REFERENCE_VALUES_UNTRUSTED', at: 'corim.signature' } as const
  const chain =
    'key' in trust
      ? undefined
      : await signerOf(signerHeaders(message), { trust, now, crypto }, blame)
  const key = 'key' in trust ? trust.key : chain?.key
  const whose = chain === undefined ? 'the key that was given' : `the key of ${chain.name}`
  const algorithm = coseAlgorithm(message.algorithm)
  if (key === undefined || algorithm !== key.alg) {
    const found = algorithm ?? `algorithm ${message.algorithm}`
    throw new VouchsafeError(untrusted, `by ${found}, and ${whose} is for ${key?.alg ?? 'neither'}`)
  }
  if (!(await crypto.verify(key, message.signature, signatureInput(message)))) {
    throw new VouchsafeError(untrusted, `not by ${whose}`)
  }
  const validity = validityOf(message, blame)
  for (const period of validity) assertCurrent(period, now, 'corim.signature.validity')
  return { payload: message.payload, validity, signer: chain?.name }
}

function signerHeaders({ headers }: CoseMessage): SignerHeaders {
  return { x5chain: headers.get(HEADER.x5chain), x5t: headers.get(HEADER.x5t) }
}

function refuseHeaders({ headers }: CoseMessage, blame: Blame): void {
  const at = within(blame, 'protected')
  const type = headers.get(HEADER.contentType)
  if (type !== undefined && !CONTENT_TYPES.includes(type)) {
    throw new VouchsafeError(at, `content type ${show(type)} is no CoRIM's`)
  }
  if (HASH_ENVELOPE.some((label) => headers.has(label))) {
    throw new VouchsafeError(at, 'signs the hash of a CoRIM that is elsewhere')
  }
  const critical = headers.has(HEADER.crit) ? asList(headers.get(HEADER.crit), at) : []
  const present = new Set<unknown>(headers.keys())
  for (const label of critical) {
    const name = `critical header ${show(label)}`
    if (!KNOWN.includes(label)) throw new VouchsafeError(at, `${name} is not understood`)
    // RFC 9052 §3.1: what the signer relies on and did not sign is a fatal error.
    if (!present.has(label)) throw new VouchsafeError(at, `${name} is absent`)
  }
}

/** From `corim-meta` (8) and CWT claims (15), whichever there are. */
function validityOf({ headers }: CoseMessage, blame: Blame): readonly Validity[] {
  const found: Validity[] = []
  if (headers.has(HEADER.meta)) {
    const at = within(blame, 'corim-meta')
    const meta = asMap(decodeCbor(asBytes(headers.get(HEADER.meta), at), [URI, TIME], at), at)
    if (meta.has(1)) found.push(readValidity(meta.get(1), within(at, 'signature-validity')))
  }
  if (headers.has(HEADER.cwt)) {
    const at = within(blame, 'cwt-claims')
    const claims = asMap(headers.get(HEADER.cwt), at)
    const time = (label: number): Date | undefined =>
      claims.has(label) ? numericDate(claims.get(label), within(at, String(label))) : undefined
    const notAfter = time(CWT_EXP)
    const notBefore = time(CWT_NBF)
    if (notAfter !== undefined || notBefore !== undefined) {
      found.push({ notBefore, notAfter: notAfter ?? new Date(8.64e15) })
    }
  }
  return found
}

/** A NumericDate without its tag (RFC 8392 §2), and with it, as some write it. */
function numericDate(value: CborValue | undefined, blame: Blame): Date {
  const seconds = typeof value === 'bigint' ? Number(value) : value
  if (typeof seconds !== 'number') return asTime(value, blame)
  const date = new Date(seconds * 1000)
  if (Number.isNaN(date.getTime())) throw new VouchsafeError(blame, 'not a time')
  return date
}
