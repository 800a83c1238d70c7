/** What an authenticated Nitro attestation document says. @packageDocumentation */
import { isZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { AuthenticationContext, Claims } from '../common/format.ts'
import type { NitroDocument } from './document.ts'

export interface NitroClaims extends Claims {
  readonly moduleId: string
  /** SHA-256 of what the enclave put into `public_key`, lower-case hex. */
  readonly publicKeyDigest: string | undefined
  /** Lower-case hex by name, `pcr0` … `pcr31`; only what the document lists. */
  readonly measurements: Readonly<Record<string, string>>
  /** The image registers PCR0–PCR2 that are all zero, which is how an enclave in debug mode looks. */
  readonly zeroImagePcrs: readonly string[]
  /** Seconds between the document's timestamp and the time of verification, in either direction. */
  readonly ageSeconds: number
}

const IMAGE_PCRS = [0, 1, 2]

/**
 * Claims of a document whose signature has been checked.
 *
 * `reportData` is `user_data`, which is where an enclave puts what it wants vouched for.
 */
export async function claimsOf(
  document: NitroDocument,
  { crypto, now }: Pick<AuthenticationContext, 'crypto' | 'now'>,
): Promise<NitroClaims> {
  const { pcrs, moduleId, publicKey, userData, nonce, timestamp } = document
  const listed = [...pcrs].sort(([a], [b]) => a - b)
  return {
    reportData: userData,
    nonce,
    moduleId,
    publicKeyDigest: publicKey && toHex(await crypto.digest('SHA-256', publicKey)),
    measurements: Object.fromEntries(listed.map(([i, value]) => [`pcr${i}`, toHex(value)])),
    zeroImagePcrs: listed
      .filter(([i, value]) => IMAGE_PCRS.includes(i) && isZero(value))
      .map(([i]) => `PCR${i}`),
    ageSeconds: Math.abs(now.getTime() - timestamp) / 1000,
    // AWS publishes no levels: a host is what it is while its three-hour certificate lasts.
    tcb: { status: 'unpublished', date: undefined, advisoryIds: [] },
    printable: printable(document, listed),
  }
}

function printable(
  document: NitroDocument,
  listed: readonly (readonly [number, Uint8Array])[],
): Json {
  const { moduleId, publicKey, userData, nonce, timestamp } = document
  const text = (bytes: Uint8Array | undefined): Json => (bytes === undefined ? null : toHex(bytes))
  return {
    module_id: moduleId,
    digest: 'SHA384',
    timestamp: new Date(timestamp).toISOString(),
    pcrs: Object.fromEntries(listed.map(([i, value]) => [String(i), toHex(value)])),
    public_key: text(publicKey),
    user_data: text(userData),
    nonce: text(nonce),
  }
}
