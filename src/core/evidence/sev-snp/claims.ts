/** What an authenticated SEV-SNP report says. @packageDocumentation */
import { isZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { Claims } from '../common/format.ts'
import { describeReport } from './describe.ts'
import type { SnpReport } from './report.ts'
import { decodeTcb, type Product, type SnpTcb } from './tcb.ts'
import type { Vek } from './vek.ts'

export interface SnpClaims extends Claims {
  readonly report: SnpReport
  readonly product: Product
  readonly tcbs: {
    readonly current: SnpTcb
    readonly reported: SnpTcb
    readonly committed: SnpTcb
    readonly launch: SnpTcb
  }
  /** 64 bytes, lower-case hex; `undefined` where the host masks it. */
  readonly chipId: string | undefined
  /** The cloud provider, by the VLEK certificate. */
  readonly cspId: string | undefined
  /** When the current revocation list runs out; `undefined` without one. */
  readonly crl: { readonly until: string } | undefined
}

/** Claims of a report whose signature has been checked, with the key that checked it. */
export function claimsOf(
  report: SnpReport,
  { product, cspId }: Vek,
  crl: SnpClaims['crl'],
): SnpClaims {
  const fields = describeReport(report, product).map(({ name, value }) => [name, value] as const)
  return {
    report,
    product,
    reportData: report.reportData,
    nonce: undefined,
    measurements: {
      measurement: toHex(report.measurement),
      hostData: toHex(report.hostData),
      idKeyDigest: toHex(report.idKeyDigest),
      authorKeyDigest: toHex(report.authorKeyDigest),
    },
    tcbs: {
      current: decodeTcb(report.currentTcb, product),
      reported: decodeTcb(report.reportedTcb, product),
      committed: decodeTcb(report.committedTcb, product),
      launch: decodeTcb(report.launchTcb, product),
    },
    chipId: isZero(report.chipId) ? undefined : toHex(report.chipId),
    cspId,
    crl,
    // AMD publishes no feed of TCB levels: minimum versions come from the policy.
    tcb: { status: 'unpublished', date: undefined, advisoryIds: [] },
    printable: { ...Object.fromEntries(fields), PRODUCT: product, CSP_ID: cspId ?? null },
  }
}
