/** The signature of a report. @packageDocumentation */
import { isZero } from '../../bytes/bytes.ts'
import { fromHex } from '../../bytes/hex.ts'
import { VouchsafeError } from '../../errors.ts'
import type { CryptoProvider } from '../../ports/crypto.ts'
import type { Certificate } from '../../x509/certificate.ts'
import type { Problem } from '../../x509/chain.ts'
import type { SnpReport } from './report.ts'

const SCALAR = 48
/** Order of P-384 (SEC 2 §2.5.1), little-endian. */
const ORDER = fromHex(
  'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
  { code: 'ERR_EVIDENCE_MALFORMED', at: 'snp.signature.order' },
).reverse()

/** ECDSA P-384 with SHA-384 over everything before the signature. */
export async function verifyReport(
  { signature, signed }: SnpReport,
  { key }: Certificate,
  crypto: CryptoProvider,
): Promise<Problem | undefined> {
  const expected = 'ES384 over the report by its VEK'
  if (key.alg !== 'ES384') return { expected, actual: `certificate with ${key.alg} key` }
  const raw = new Uint8Array(2 * SCALAR)
  for (const [i, name] of (['r', 's'] as const).entries()) {
    const scalar = signature[name]
    if (!inRange(scalar)) return { expected, actual: `${name} is zero or not below the order` }
    raw.set(scalar.slice(0, SCALAR).reverse(), i * SCALAR)
  }
  try {
    const valid = await crypto.verify(key, raw, signed)
    return valid ? undefined : { expected, actual: 'signature does not verify' }
  } catch (error) {
    // The certificate is one of many candidates; its key being no key is a reason to go on.
    if (!(error instanceof VouchsafeError)) throw error
    return { expected, actual: 'certificate with an unusable key' }
  }
}

/** Little-endian, zero-padded to 72 bytes. A library might reduce what is too large: we refuse it. */
function inRange(scalar: Uint8Array): boolean {
  if (isZero(scalar) || !isZero(scalar.subarray(SCALAR))) return false
  // The first byte that differs, from the top, decides; equal to the order is not below it.
  for (let i = SCALAR - 1; i >= 0; i--) {
    const difference = (scalar[i] ?? 0) - (ORDER[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
