import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { Claims } from '../common/format.ts'
import type { DcapFindings } from '../intel-dcap/authenticate.ts'
import type { PckCa } from '../intel-dcap/pck-chain.ts'
import type { PckPlatform } from '../intel-dcap/sgx-extension.ts'
import type { SgxReport } from '../intel-dcap/sgx-report.ts'
import type { TdxEventLog } from './event-log.ts'
import { measuredByDstack, printableLog } from './event-log-claims.ts'
import { bodyFields, type TdReport, type TdxQuote } from './report.ts'
import type { TdxTcb } from './tcb.ts'

/** What an authentic TDX quote says. */
export interface TdxClaims extends Claims {
  readonly report: TdReport
  readonly platform: PckPlatform
  readonly tdxTcb: TdxTcb
  /** The lower of the numbers of TCB Info and QE Identity: how recent the judgement is. */
  readonly tcbEvaluationDataNumber: number
  /** What the event log proves; `undefined` if none came along. */
  readonly eventLog: TdxEventLog | undefined
  /** When the quote was verified. */
  readonly at: Date
}

/** Builds the claims of a quote whose every signature and date has been checked. */
export function claimsOf(
  { quote, report }: TdxQuote,
  findings: DcapFindings,
  { tcb: tdxTcb, eventLog }: { readonly tcb: TdxTcb; readonly eventLog: TdxEventLog | undefined },
): TdxClaims {
  const { chain, tcbInfo, qeIdentity } = findings
  const numbers = {
    tcbInfo: tcbInfo.document.tcbEvaluationDataNumber,
    qeIdentity: qeIdentity.tcbEvaluationDataNumber,
  }
  const tcb = tcbOf(tdxTcb)
  const body = printableBody(report, quote.body)
  return {
    reportData: report.reportData,
    nonce: undefined,
    measurements: { ...measurementsOf(body), ...measuredByDstack(eventLog) },
    tcb,
    report,
    platform: chain.platform,
    tdxTcb,
    tcbEvaluationDataNumber: Math.min(numbers.tcbInfo, numbers.qeIdentity),
    eventLog,
    at: findings.at,
    printable: {
      quote: { version: quote.header.version, body: quote.bodyType },
      report: body,
      platform: printablePlatform(chain.platform, chain.ca),
      tcb: {
        ...tcb,
        date: tcb.date ?? null,
        parts: printableParts(tdxTcb),
        short: tdxTcb.short,
        outOfDateSince: tdxTcb.missed?.since ? isoTime(tdxTcb.missed.since) : null,
        tcbEvaluationDataNumber: numbers,
      },
      qe: printableQe(quote.qeReport),
      eventLog: printableLog(eventLog),
    },
  }
}

function tcbOf({ status, date, advisoryIds }: TdxTcb): TdxClaims['tcb'] {
  return { status, date: date && isoTime(date), advisoryIds }
}

/** Registers by the lower-case name that policies and reference values use. */
const MEASUREMENTS = [
  'MRTD',
  'RTMR0',
  'RTMR1',
  'RTMR2',
  'RTMR3',
  'MRSEAM',
  'MRSIGNERSEAM',
  'MRCONFIGID',
  'MROWNER',
  'MROWNERCONFIG',
  'MRSERVICETD',
].map((name) => [name, name.toLowerCase()] as const)

function measurementsOf(body: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const measurements: Record<string, string> = {}
  for (const [name, lower] of MEASUREMENTS) {
    const value = body[name]
    if (value !== undefined) measurements[lower] = value
  }
  return measurements
}

/** Fields are views into the body, and parts of one text take a third of the time of texts of their own. */
function printableBody(report: TdReport, body: Uint8Array): Readonly<Record<string, string>> {
  const text = toHex(body)
  const printable: Record<string, string> = {}
  for (const [name, value] of bodyFields(report)) {
    if (value === undefined) continue
    const start = 2 * (value.byteOffset - body.byteOffset)
    printable[name] = text.slice(start, start + 2 * value.length)
  }
  return printable
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
