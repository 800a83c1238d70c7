/**
 * The statement that evidence vouches for: this keyset, in answer to this nonce. Its SHA-256 is the
 * report data.
 *
 * @packageDocumentation
 * @see `spec/envelope.md` §10, the ACI form without devices
 */
import { type Blame, VouchsafeError } from '../errors.ts'

export interface Statement {
  /** `sha256:<lower-case hex>` of the canonical keyset. */
  readonly keysetDigest: string
  /** 64 lower-case hex digits. */
  readonly nonce: string
}

const DIGEST = /^sha256:[0-9a-f]{64}$/
const NONCE = /^[0-9a-f]{64}$/
const EXACT =
  /^\{"keyset_digest":"(sha256:[0-9a-f]{64})","nonce":"([0-9a-f]{64})","purpose":"aci\.report_data\.v1"\}$/

/** The exact text, which is also its canonical JSON (RFC 8785). */
export function encodeStatement({ keysetDigest, nonce }: Statement): string {
  if (!DIGEST.test(keysetDigest)) throw new RangeError('keyset digest is not sha256:<hex>')
  if (!NONCE.test(nonce)) throw new RangeError('nonce is not 64 lower-case hex digits')
  return `{"keyset_digest":"${keysetDigest}","nonce":"${nonce}","purpose":"aci.report_data.v1"}`
}

/**
 * Reads a statement that must be spelled exactly as {@link encodeStatement} does: any other spelling
 * has another digest, so nothing that was honestly attested can need it.
 *
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function parseStatement(text: string, blame: Blame): Statement {
  const [, keysetDigest, nonce] = EXACT.exec(text) ?? []
  if (keysetDigest === undefined || nonce === undefined) {
    throw new VouchsafeError(blame, 'not an aci.report_data.v1 statement in its exact spelling')
  }
  return { keysetDigest, nonce }
}
