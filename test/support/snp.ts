import { appraise } from '../../src/core/appraisal/appraise.ts'
import type { Policy } from '../../src/core/appraisal/policy.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
} from '../../src/core/endorsements/endorsement-set.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { sevSnp } from '../../src/core/evidence/sev-snp/format.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import {
  type AmdPki,
  type AmdProduct,
  type MintedVek,
  mintAmdCrl,
  mintAmdPki,
  mintVek,
  type VekOptions,
} from '../../src/testing/index.ts'

/** When everything minted here is valid. */
export const NOW = new Date('2026-06-01T12:00:00Z')
export const BEFORE = new Date('2026-01-01T00:00:00Z')
export const AFTER = new Date('2027-01-01T00:00:00Z')
export const LIFE = { notBefore: BEFORE, notAfter: AFTER } as const
export const CRYPTO = createCrypto()
const MEMO = createMemo(1000)

/** A product's hierarchy with good keys of both kinds. RSA of 2048 bits: the size is not checked. */
export function mintAmd(product: AmdProduct) {
  const pki = mintAmdPki(product, { ...LIFE, rsaBits: 2048 })
  return {
    pki,
    vcek: mintVek(pki, { kind: 'VCEK', ...LIFE }),
    vlek: mintVek(pki, { kind: 'VLEK', ...LIFE }),
    crl: mintAmdCrl(pki, { thisUpdate: BEFORE, nextUpdate: AFTER }),
  }
}

export function vekOf(pki: AmdPki, options: Partial<VekOptions> = {}): MintedVek {
  return mintVek(pki, { kind: 'VCEK', ...LIFE, ...options })
}

/** Endorsements of one hierarchy; the CRL is a current one that lists nothing. */
export function bag(
  pki: AmdPki,
  veks: readonly MintedVek[],
  change: Partial<EndorsementSet> = {},
): EndorsementSet {
  const certificates = [...veks.map(({ der }) => der), pki.ask.der, pki.asvk.der, pki.ark.der]
  const crls = [mintAmdCrl(pki, { thisUpdate: BEFORE, nextUpdate: AFTER })]
  return { ...NO_ENDORSEMENTS, certificates, crls, ...change }
}

export function anchorsOf(pki: AmdPki): TrustAnchors {
  const none = { Milan: [], Genoa: [], Turin: [] }
  return { ...VENDOR_ANCHORS, amd: { ...none, [pki.product]: [pki.anchor] } }
}

/** Every field waived but the ones that cannot be, and `change`. */
export function snpPolicy(change: Policy['fields'] = {}): Policy {
  const waived = Object.keys(sevSnp.policyFields).map((name) => [name, { waive: 'not asked' }])
  return {
    id: 'test',
    format: 'sev-snp',
    description: 'for tests',
    referenceValues: { waive: 'not asked' },
    fields: {
      ...(Object.fromEntries(waived) as Policy['fields']),
      debug: { require: false },
      vmpl: { require: [0] },
      revocation: { require: 'crl' },
      ...change,
    },
  }
}

export interface SnpCase {
  readonly report: Uint8Array
  readonly endorsements: EndorsementSet
  readonly anchors: TrustAnchors
  readonly policy?: Policy
  readonly now?: Date
}

export async function appraiseSnp(input: SnpCase): Promise<AttestationResult> {
  const { report, endorsements, anchors, policy = snpPolicy(), now = NOW } = input
  return appraise(
    {
      format: 'sev-snp',
      evidence: report,
      endorsements,
      referenceValues: [],
      policy,
      binding: { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } },
      anchors,
      now,
    },
    { crypto: CRYPTO, memo: MEMO },
  )
}

/** Ids of the checks that failed for a reason of their own. */
export function failures({ checks }: AttestationResult): readonly string[] {
  return checks
    .filter(({ outcome, actual }) => outcome === 'fail' && actual !== 'not authenticated')
    .map(({ id }) => id)
}
