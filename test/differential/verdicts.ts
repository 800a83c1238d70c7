/** Two verdicts on the same quote, collateral, root and time. @packageDocumentation */
import { type Collateral, QuoteVerifier } from '@phala/dcap-qvl'
import { appraise } from '../../src/core/appraisal/appraise.ts'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { shippedPolicy } from '../support/appraisal.ts'

/** What both are given: collateral is the JSON of QuoteCollateralV3, as text. */
export interface Subject {
  readonly quote: Uint8Array
  readonly collateral: string
  readonly now: Date
  /** SHA-256 and DER of the root, where it is not Intel's. */
  readonly root?: { readonly anchor: string; readonly der: Uint8Array }
}

/** `accepts` with the TCB status, or why not: first words of an error, or the failed checks. */
export type Verdict =
  | { readonly accepts: true; readonly status: string }
  | { readonly accepts: false; readonly why: string }

const tools = { crypto: createCrypto(), memo: createMemo(0) }
/** The peer leaves these to its caller, and so does this comparison: both give the status back. */
const FOR_THE_CALLER = [
  'tdx.tcb.status',
  'tdx.tcb.date',
  'tdx.tcb.advisories',
  'tdx.tcb.evaluationDataNumber',
]

/** Ours, under the shipped policy that asks nothing of what runs in the TD. */
export async function ourVerdict({ quote, collateral, now, root }: Subject): Promise<Verdict> {
  const unchecked = { unchecked: 'a comparison' }
  const anchors: TrustAnchors =
    root === undefined ? VENDOR_ANCHORS : { ...VENDOR_ANCHORS, intel: [root.anchor] }
  try {
    const { endorsements } = collectEndorsements([{ name: 'c', bytes: utf8(collateral) }])
    const { checks, tcb } = await appraise(
      {
        format: 'tdx',
        evidence: quote,
        endorsements,
        referenceValues: [],
        policy: parsePolicy(shippedPolicy('authentic-tdx')),
        binding: { nonce: unchecked, reportData: unchecked },
        anchors,
        now,
      },
      tools,
    )
    const failed = checks.filter(
      ({ id, outcome }) => outcome === 'fail' && !FOR_THE_CALLER.includes(id),
    )
    if (failed.length === 0) return { accepts: true, status: tcb?.status ?? 'none' }
    return { accepts: false, why: failed.map(({ id }) => id).join(', ') }
  } catch (err) {
    if (!(err instanceof VouchsafeError)) throw err
    return { accepts: false, why: `${err.code} at ${err.at}` }
  }
}

/** The peer's. */
export function peerVerdict({ quote, collateral, now, root }: Subject): Verdict {
  const verifier =
    root === undefined
      ? QuoteVerifier.newProd()
      : QuoteVerifier.newWithRootCa(Buffer.from(root.der))
  const seconds = Math.floor(now.getTime() / 1000)
  try {
    const parsed = JSON.parse(collateral) as Collateral
    const { status } = verifier.verify(Buffer.from(quote), parsed, seconds)
    return { accepts: true, status }
  } catch (err) {
    const message = err instanceof Error ? err.message : String(err)
    return { accepts: false, why: message.slice(0, 100) }
  }
}

/** Do they agree? Not why: both have their own words. */
export function agree(a: Verdict, b: Verdict): boolean {
  if (a.accepts !== b.accepts) return false
  return !a.accepts || !b.accepts || a.status === b.status
}
