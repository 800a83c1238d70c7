import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { Claims } from '../common/format.ts'
import type { DcapFindings } from '../intel-dcap/authenticate.ts'
import type { PckCa } from '../intel-dcap/pck-chain.ts'
import type { PckPlatform } from '../intel-dcap/sgx-extension.ts'
import type { SgxReport } from '../intel-dcap/sgx-report.ts'
import { bodyFields, type TdReport, type TdxQuote } from './report.ts'
import type { TdxTcb } from './tcb.ts'

/** What an authentic TDX quote says. */
export interface TdxClaims extends Claims {
  readonly report: TdReport
  readonly platform: PckPlatform
  readonly tdxTcb: TdxTcb
  /** The lower of the numbers of TCB Info and QE Identity: how recent the judgement is. */
  readonly tcbEvaluationDataNumber: number
}

/** Builds the claims of a quote whose every signature and date has been checked. */
export function claimsOf(
  { quote, report }: TdxQuote,
  findings: DcapFindings,
  tdxTcb: TdxTcb,
): TdxClaims {
  const { chain, tcbInfo, qeIdentity } = findings
  const numbers = {
    tcbInfo: tcbInfo.document.tcbEvaluationDataNumber,
    qeIdentity: qeIdentity.tcbEvaluationDataNumber,
  }
  const tcb = {
    status: tdxTcb.status,
    date: tdxTcb.date && isoTime(tdxTcb.date),
    advisoryIds: tdxTcb.advisoryIds,
  }
  return {
    reportData: report.reportData,
    nonce: undefined,
    measurements: measurementsOf(report),
    tcb,
    report,
    platform: chain.platform,
    tdxTcb,
    tcbEvaluationDataNumber: Math.min(numbers.tcbInfo, numbers.qeIdentity),
    printable: {
      quote: { version: quote.header.version, body: quote.bodyType },
      report: printableBody(report),
      platform: printablePlatform(chain.platform, chain.ca),
      tcb: {
        ...tcb,
        date: tcb.date ?? null,
        parts: printableParts(tdxTcb),
        short: tdxTcb.short,
        tcbEvaluationDataNumber: numbers,
      },
      qe: printableQe(quote.qeReport),
    },
  }
}

/** Registers by the lower-case name that policies and reference values use. */
function measurementsOf(report: TdReport): Readonly<Record<string, string>> {
  const [rtmr0, rtmr1, rtmr2, rtmr3] = report.rtmrs
  return {
    mrtd: toHex(report.mrTd),
    rtmr0: toHex(rtmr0),
    rtmr1: toHex(rtmr1),
    rtmr2: toHex(rtmr2),
    rtmr3: toHex(rtmr3),
    mrseam: toHex(report.mrSeam),
    mrsignerseam: toHex(report.mrSignerSeam),
    mrconfigid: toHex(report.mrConfigId),
    mrowner: toHex(report.mrOwner),
    mrownerconfig: toHex(report.mrOwnerConfig),
    ...(report.mrServiceTd && { mrservicetd: toHex(report.mrServiceTd) }),
  }
}

function printableBody(report: TdReport): Json {
  return Object.fromEntries(
    bodyFields(report).flatMap(([name, value]) => (value ? [[name, toHex(value)]] : [])),
  )
}

function printablePlatform(platform: PckPlatform, ca: PckCa): Json {
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

function printableQe({ mrSigner, isvProdId, isvSvn }: SgxReport): Json {
  return { mrsigner: toHex(mrSigner), isvprodid: isvProdId, isvsvn: isvSvn }
}

function printableParts({ parts }: TdxTcb): Json {
  return { platform: parts.platform ?? null, module: parts.module ?? null, qe: parts.qe }
}

/** As Intel writes it: seconds, and no fraction. */
function isoTime(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`
}
