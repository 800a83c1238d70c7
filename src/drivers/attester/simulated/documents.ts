/** TCB Info and QE Identity of the simulated platform. @packageDocumentation */
import { type KeyObject, sign } from 'node:crypto'
import { utf8 } from '../../../core/bytes/bytes.ts'
import { toHex } from '../../../core/bytes/hex.ts'
import type { SignedJson } from '../../../core/endorsements/endorsement-set.ts'
import type { SimulatedPlatform } from './platform.ts'

/** A document before it is signed; tests change it at will. */
export type Document = Readonly<Record<string, unknown>>

/** Dates of a document. */
export interface Dates {
  readonly issueDate: Date
  readonly nextUpdate: Date
}

/** TEE_TCB_SVN of simulated quotes: module version 1, ISVSVN 6. */
export const TEE_TCB_SVN: Uint8Array = Uint8Array.from([6, 1, 3, ...new Array<number>(13).fill(0)])
/** MRSIGNER, ISVPRODID, ISVSVN and ATTRIBUTES of the simulated Quoting Enclave. */
export const SIMULATED_QE = {
  mrSigner: new Uint8Array(32).fill(0x51),
  isvProdId: 2,
  isvSvn: 8,
  attributes: Uint8Array.from([0x11, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0, 0]),
} as const
const EVALUATION_NUMBER = 20
/** The first TDX components of each level; the others are 0. */
const TDX_LEVELS = { current: [6, 0, 3], former: [3, 0, 2] } as const
const CURRENT = '2026-01-14T00:00:00Z'
const FORMER = '2025-05-14T00:00:00Z'
/** No advisory of Intel's has such a number. */
const ADVISORIES = {
  platform: ['INTEL-SA-99901'],
  module: ['INTEL-SA-99902'],
  qe: ['INTEL-SA-99903'],
}

/** TCB Info with a level that the platform reaches and one below it. */
export function tcbInfoDocument(platform: SimulatedPlatform, dates: Dates): Document {
  const { sgxComponents, pceSvn } = platform
  const module = {
    mrsigner: '00'.repeat(48),
    attributes: '00'.repeat(8),
    attributesMask: 'FF'.repeat(8),
  }
  return {
    id: 'TDX',
    version: 3,
    ...datesOf(dates),
    fmspc: toHex(platform.fmspc),
    pceId: toHex(platform.pceId),
    tcbType: 0,
    tcbEvaluationDataNumber: EVALUATION_NUMBER,
    tdxModule: module,
    tdxModuleIdentities: ['TDX_03', 'TDX_01'].map((id) => ({
      id,
      ...module,
      tcbLevels: [svnLevel(6, CURRENT, []), svnLevel(3, FORMER, ADVISORIES.module)],
    })),
    tcbLevels: [
      { tcb: tcbOf(sgxComponents, pceSvn, TDX_LEVELS.current), ...verdict(CURRENT, []) },
      {
        tcb: tcbOf(sgxComponents, pceSvn, TDX_LEVELS.former),
        ...verdict(FORMER, ADVISORIES.platform),
      },
    ],
  }
}

/** QE Identity with the level of {@link SIMULATED_QE} and one below it. */
export function qeIdentityDocument(dates: Dates): Document {
  return {
    id: 'TD_QE',
    version: 2,
    ...datesOf(dates),
    tcbEvaluationDataNumber: EVALUATION_NUMBER,
    miscselect: '00000000',
    miscselectMask: 'FFFFFFFF',
    attributes: `11${'00'.repeat(15)}`,
    attributesMask: `FB${'FF'.repeat(7)}${'00'.repeat(8)}`,
    mrsigner: toHex(SIMULATED_QE.mrSigner).toUpperCase(),
    isvprodid: SIMULATED_QE.isvProdId,
    tcbLevels: [svnLevel(SIMULATED_QE.isvSvn, CURRENT, []), svnLevel(4, FORMER, ADVISORIES.qe)],
  }
}

/** Signs a document's JSON text. */
export function signDocument(document: Document, key: KeyObject): SignedJson {
  const body = utf8(JSON.stringify(document))
  const signature = sign('sha256', body, { key, dsaEncoding: 'ieee-p1363' })
  return { body, signature: Uint8Array.from(signature) }
}

function datesOf({ issueDate, nextUpdate }: Dates): Document {
  return { issueDate: isoTime(issueDate), nextUpdate: isoTime(nextUpdate) }
}

function isoTime(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`
}

function svnLevel(isvsvn: number, date: string, advisories: readonly string[]): Document {
  return { tcb: { isvsvn }, ...verdict(date, advisories) }
}

function verdict(tcbDate: string, advisoryIDs: readonly string[]): Document {
  return advisoryIDs.length === 0
    ? { tcbDate, tcbStatus: 'UpToDate' }
    : { tcbDate, tcbStatus: 'OutOfDate', advisoryIDs }
}

function tcbOf(sgx: readonly number[], pcesvn: number, tdx: readonly number[]): Document {
  return {
    sgxtcbcomponents: sgx.map((svn) => ({ svn })),
    pcesvn,
    tdxtcbcomponents: sgx.map((_, i) => ({ svn: tdx[i] ?? 0 })),
  }
}
