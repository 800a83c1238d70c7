import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { Claims, TcbClaim } from '../common/format.ts'
import type { DcapFindings } from '../intel-dcap/authenticate.ts'
import type { PckChain } from '../intel-dcap/pck-chain.ts'
import type { Quote } from '../intel-dcap/quote.ts'
import type { PckPlatform } from '../intel-dcap/sgx-extension.ts'
import type { SgxReport } from '../intel-dcap/sgx-report.ts'
import { reportFields, type SgxEvidence } from './report.ts'
import type { SgxTcb } from './tcb.ts'

/** What an authentic SGX quote says. */
export interface SgxClaims extends Claims {
  readonly report: SgxReport
  readonly platform: PckPlatform
  readonly sgxTcb: SgxTcb
  /** The lower of the numbers of TCB Info and QE Identity: how recent the judgement is. */
  readonly tcbEvaluationDataNumber: number
}

/** What authentication found besides the report. */
export interface Judged {
  readonly findings: DcapFindings
  readonly sgxTcb: SgxTcb
  /** What came beside the quote, printable. */
  readonly carried: Json
}

/** Registers by the lower-case name that policies and reference values use. */
const MEASUREMENTS = ['MRENCLAVE', 'MRSIGNER', 'CONFIGID', 'ISVEXTPRODID', 'ISVFAMILYID']

/** Builds the claims of a quote whose every signature and date has been checked. */
export function claimsOf({ quote, report }: SgxEvidence, judged: Judged): SgxClaims {
  const { chain, tcbInfo, qeIdentity } = judged.findings
  const { sgxTcb } = judged
  const numbers = {
    tcbInfo: tcbInfo.document.tcbEvaluationDataNumber,
    qeIdentity: qeIdentity.tcbEvaluationDataNumber,
  }
  const tcb = {
    status: sgxTcb.status,
    date: sgxTcb.date && isoTime(sgxTcb.date),
    advisoryIds: sgxTcb.advisoryIds,
  }
  const body = printableReport(report)
  const measured = Object.entries(body).filter(([name]) => MEASUREMENTS.includes(name))
  return {
    reportData: report.reportData,
    nonce: undefined,
    measurements: Object.fromEntries(
      measured.map(([name, value]) => [name.toLowerCase(), `${value}`]),
    ),
    tcb,
    report,
    platform: chain.platform,
    sgxTcb,
    tcbEvaluationDataNumber: Math.min(numbers.tcbInfo, numbers.qeIdentity),
    printable: printableOf({ quote, report: body }, { judged, tcb, numbers }),
  }
}

function printableOf(
  { quote, report }: { readonly quote: Quote; readonly report: Json },
  {
    judged: { findings, sgxTcb, carried },
    tcb,
    numbers,
  }: { readonly judged: Judged; readonly tcb: TcbClaim; readonly numbers: Json },
): Json {
  return {
    quote: { version: quote.header.version },
    report,
    platform: printablePlatform(findings.chain),
    tcb: {
      ...tcb,
      date: tcb.date ?? null,
      parts: { platform: sgxTcb.parts.platform ?? null, qe: sgxTcb.parts.qe },
      short: sgxTcb.short === undefined ? [] : [sgxTcb.short],
      tcbEvaluationDataNumber: numbers,
    },
    qe: {
      mrsigner: toHex(quote.qeReport.mrSigner),
      isvprodid: quote.qeReport.isvProdId,
      isvsvn: quote.qeReport.isvSvn,
    },
    carried,
  }
}

function printableReport(report: SgxReport): Readonly<Record<string, string | number>> {
  return Object.fromEntries(
    reportFields(report).map(([name, value]) => [
      name,
      typeof value === 'number' ? value : toHex(value),
    ]),
  )
}

function printablePlatform({ platform, ca }: PckChain): Json {
  return {
    fmspc: platform.fmspc,
    pceId: platform.pceId,
    ppid: platform.ppid,
    platformInstanceId: platform.platformInstanceId ?? null,
    ca,
    sgxTcbComponents: platform.sgxComponents,
    pceSvn: platform.pceSvn,
    smtEnabled: platform.smtEnabled ?? null,
  }
}

/** As Intel writes it: seconds, and no fraction. */
function isoTime(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`
}
