/** What an authentic TPM quote says. @packageDocumentation */
import { zeroPad } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { Claims } from '../common/format.ts'
import { type AkTrust, vouchesForAttributes } from './ak-trust.ts'
import type { QuoteAttest } from './attest.ts'
import { type BootLog, printBoot } from './boot.ts'
import type { Quote, TpmEvidence } from './evidence.ts'
import { type PcrBanks, selectedOf } from './pcrs.ts'
import { wrongAttributes } from './public-area.ts'
import type { Revocation } from './revocation.ts'
import { describeScheme } from './signature.ts'

/** What every format that contains a quote can say about it. */
export interface QuoteClaims {
  readonly attest: QuoteAttest
  /** `RSASSA with sha256`. */
  readonly scheme: string
  /** The selected values only. */
  readonly banks: PcrBanks
}

export interface TpmClaims extends Claims {
  readonly quote: QuoteClaims
  readonly trust: AkTrust
  /** `undefined` if the evidence does not say, or nobody vouches for what it says. */
  readonly wrongAttributes: readonly string[] | undefined
  readonly revocation: Revocation | undefined
  readonly boot: BootLog | undefined
}

/** Claims of a quote whose signature and digest have been checked. */
export function quoteClaims({ attest, signature, banks }: Quote): QuoteClaims {
  return {
    attest,
    scheme: describeScheme(signature),
    banks: selectedOf(attest.selection, banks),
  }
}

/** Selected PCRs by the names that reference values use: `pcr0_sha256`. */
export function measurementsOf({ banks }: QuoteClaims): Readonly<Record<string, string>> {
  const measurements: Record<string, string> = {}
  for (const [bank, values] of banks) {
    for (const [pcr, value] of values) measurements[`pcr${pcr}_${bank}`] = toHex(value)
  }
  return measurements
}

/** In TCG's spelling. */
export function printQuote({ attest, scheme, banks }: QuoteClaims): Readonly<Record<string, Json>> {
  const { clockInfo, qualifiedSigner, extraData, pcrDigest } = attest
  return {
    scheme,
    qualifiedSigner: toHex(qualifiedSigner),
    extraData: toHex(extraData),
    clockInfo: {
      clock: String(clockInfo.clock),
      resetCount: clockInfo.resetCount,
      restartCount: clockInfo.restartCount,
      safe: clockInfo.safe,
    },
    firmwareVersion: firmwareText(attest),
    pcrDigest: toHex(pcrDigest),
    pcrs: Object.fromEntries(
      [...banks].map(([bank, values]) => [
        bank,
        Object.fromEntries([...values].map(([pcr, value]) => [String(pcr), toHex(value)])),
      ]),
    ),
  }
}

/** 16 digits: every vendor packs its version in another way. */
export function firmwareText({ firmwareVersion }: QuoteAttest): string {
  return firmwareVersion.toString(16).padStart(16, '0')
}

/** As long as REPORTDATA of other formats. */
const REPORT_DATA_SIZE = 64

/**
 * What the caller chose is in `extraData`: it stands for report data and nonce in one. Shorter ones
 * are shown with zeros to 64 bytes, as report data of every format is compared: many TPMs take no 64
 * bytes. A quote over nothing is bound to nothing.
 */
export function reportDataOf({ extraData }: QuoteAttest): Uint8Array | undefined {
  if (extraData.length === 0) return undefined
  return zeroPad(extraData, Math.max(extraData.length, REPORT_DATA_SIZE))
}

/** Builds the claims of evidence whose every signature has been checked. */
export function claimsOf(
  { quote, akPublic }: TpmEvidence,
  found: Pick<TpmClaims, 'trust' | 'revocation' | 'boot'>,
): TpmClaims {
  const claims = quoteClaims(quote)
  const { trust, boot } = found
  const wrong = akPublic && vouchesForAttributes(trust) ? wrongAttributes(akPublic) : undefined
  return {
    ...found,
    quote: claims,
    wrongAttributes: wrong,
    reportData: reportDataOf(quote.attest),
    nonce: undefined,
    measurements: measurementsOf(claims),
    // Makers publish advisories, and no feed of levels: versions come from the policy.
    tcb: { status: 'unpublished', date: undefined, advisoryIds: [] },
    printable: {
      ...printQuote(claims),
      ak: {
        digest: trust.digest,
        trust: trust.kind,
        path: trust.path.map(({ subjectName }) => subjectName),
        wrongAttributes: wrong ?? null,
      },
      eventLog: boot === undefined ? null : printBoot(boot),
    },
  }
}
