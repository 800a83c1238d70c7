/** The key that signs quotes, and what vouches for it. @packageDocumentation */
import { concat, equal, isZero } from '../../bytes/bytes.ts'
import type { VerifyingKey } from '../../ports/crypto.ts'
import { fingerprint } from './collateral.ts'
import type { PckChain } from './pck-chain.ts'
import type { Quote } from './quote.ts'
import type { Tools } from './signatures.ts'

/** DER of SubjectPublicKeyInfo for a P-256 key, up to and with the mark of an uncompressed point. */
const P256_SPKI = Uint8Array.from([
  0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
  0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
])

/** What a QE report says of the key that signs quotes. */
interface Vouched {
  /** The report is signed by the PCK. */
  readonly report: boolean
  /** REPORTDATA is SHA-256(attestation key ‖ QE auth data), then zeros. */
  readonly bound: boolean
  /** The attestation key; the same object for the same report, so that it is imported once. */
  readonly key: VerifyingKey
}

/** Steps 7 and 8, remembered: a platform makes one QE report per attestation key. */
export async function vouchedBy(
  { leaf, leafId }: PckChain,
  quote: Quote,
  { crypto, memo }: Tools,
): Promise<Vouched> {
  const { qeReport, qeReportSignature, attestationKey, qeAuthData } = quote
  const id = await fingerprint(quote, quote.certified, crypto)
  return memo.once(`dcap.report:${id}:${leafId}`, async () => {
    const digest = await crypto.digest('SHA-256', concat(attestationKey, qeAuthData))
    const { reportData } = qeReport
    return {
      report: await crypto.verify(leaf.key, qeReportSignature, qeReport.bytes),
      bound: equal(reportData.subarray(0, 32), digest) && isZero(reportData.subarray(32)),
      key: keyOf(attestationKey),
    }
  })
}

/** The key of a quote: a raw P-256 point, x‖y. */
export function keyOf(point: Uint8Array): VerifyingKey {
  return { alg: 'ES256', spki: concat(P256_SPKI, point) }
}
