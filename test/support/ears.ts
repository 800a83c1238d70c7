import type { CryptoKey } from 'jose'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { type Ear, encodeEar } from '../../src/core/attestation-result/ear.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { canonicalBytes, type Json } from '../../src/core/encoding/canonical-json.ts'
import { generateReleaseKey, type ReleaseKeyPair } from '../../src/core/keys/jwe.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { resultOf } from './release.ts'

export const ISSUER = 'https://verifier.test'
const crypto = createCrypto()

/** A policy that every affirming EAR of {@link ISSUER} fulfils. */
export const OPEN_POLICY = {
  version: '1.0.0',
  anyOf: [
    {
      authority: ISSUER,
      allOf: [{ claim: String.raw`submods.cpu0.ear\.status`, equals: 'affirming' }],
    },
  ],
} as const satisfies Json

/** An enclave as the broker sees one: a keyset, and EARs that vouch for it. */
export interface TestEnclave extends ReleaseKeyPair {
  readonly keyset: Readonly<Record<string, Json>>
  ear(
    results?: Readonly<Record<string, AttestationResult>>,
    change?: Partial<EarChange>,
  ): Promise<string>
}
interface EarChange {
  readonly issuer: string
  readonly keysetDigest: string
  readonly issuedAt: Date
  readonly key: CryptoKey
}

/** An enclave with a keyset of its own, vouched for by whoever holds `key`. */
export async function testEnclave(key: CryptoKey, now: () => Date): Promise<TestEnclave> {
  const pair = await generateReleaseKey()
  const keyset = {
    not_after: 1_900_000_000,
    vouchsafe: { version: 1, release_key: { algo: 'p256', public_key: pair.publicKeyHex } },
  }
  const digest = toHex(await crypto.digest('SHA-256', canonicalBytes(keyset)))
  return {
    ...pair,
    keyset,
    ear: async (results = { cpu0: resultOf() }, change = {}) => {
      const issuedAt = change.issuedAt ?? now()
      const ear = {
        issuer: change.issuer ?? ISSUER,
        id: 'e1',
        issuedAt,
        expiresAt: new Date(issuedAt.getTime() + 300_000),
        nonce: '11'.repeat(32),
        verifier: { developer: 'test', build: 'test' },
        results,
        keysetDigest: change.keysetDigest ?? `sha256:${digest}`,
        statementDigest: `sha256:${'22'.repeat(32)}`,
        evidenceDigests: Object.keys(results).map(() => `sha256:${'33'.repeat(32)}`),
        ...logIndexesFor(Object.keys(results)),
      }
      return encodeEar(ear, { key: change.key ?? key, kid: 'test' })
    },
  }
}

/** Where the log has the appraisals: the first submodule's is the last leaf. */
export function logIndexesFor(names: readonly string[]): Pick<Ear, 'logIndex' | 'logIndexes'> {
  const last = Math.max(names.length - 1, 0)
  if (names.length < 2) return { logIndex: 0 }
  return {
    logIndex: last,
    logIndexes: Object.fromEntries(names.map((name, i) => [name, last - i])),
  }
}
