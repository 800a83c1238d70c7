import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { Hasher } from '../../ports/crypto.ts'
import type { Authenticated, AuthenticationContext } from '../common/format.ts'
import { bindingOfKey, isHashOf } from '../common/ra-tls.ts'
import { authenticateQuote, type DcapFindings } from '../intel-dcap/authenticate.ts'
import { TEE_KINDS } from '../intel-dcap/endorse.ts'
import { Ledger } from '../intel-dcap/ledger.ts'
import { claimsOf, type SgxClaims } from './claims.ts'
import type { SgxEvidence } from './report.ts'
import { judgeTcb, type SgxTcb } from './tcb.ts'
import type { Carried } from './wrapper.ts'

/** Ids of the checks behind those of DCAP; always these, always in this order. Append-only. */
export const SGX_CHECK_IDS = [
  /** The platform reaches a level of TCB Info. */
  'sgx.tcb.level',
  /** REPORTDATA is made of what came beside the quote: held data, or a certificate's key. */
  'sgx.carried.binding',
] as const

type SgxLedger = Ledger<(typeof SGX_CHECK_IDS)[number]>

/**
 * Authenticates an SGX quote: the checks of DCAP, then the level of its platform, in the order of
 * `spec/evidence.md` §2.1, then what came beside the quote. A platform that reaches no TCB level
 * fails a check and is authentic all the same: its claims are Intel's word, and one of them is that
 * it is not supported. So is a quote that came with what it does not speak of.
 *
 * @throws {@link VouchsafeError} as `authenticateQuote` does.
 */
export async function authenticateSgx(
  evidence: SgxEvidence,
  context: AuthenticationContext,
): Promise<Authenticated<SgxClaims>> {
  const { checks, findings } = await authenticateQuote(evidence.quote, TEE_KINDS.sgx, context)
  const ledger: SgxLedger = new Ledger(SGX_CHECK_IDS)
  if (findings === undefined) {
    return { authentic: false, checks: [...checks, ...ledger.checks()] }
  }
  const sgxTcb = judgeTcb(findings)
  recordLevel(ledger, sgxTcb, findings)
  const carried = await recordCarried(ledger, evidence, context.crypto)
  return {
    authentic: true,
    claims: claimsOf(evidence, { findings, sgxTcb, carried }),
    checks: [...checks, ...ledger.checks()],
  }
}

function recordLevel(ledger: SgxLedger, { parts, short }: SgxTcb, { tcbInfo }: DcapFindings): void {
  const none = `none of ${tcbInfo.content.tcbLevels.length}; short of the best in ${short ?? 'nothing'}`
  ledger.compare('sgx.tcb.level', {
    expected: 'a level of TCB Info reached in every component',
    actual: parts.platform ?? none,
    ok: parts.platform !== undefined,
  })
}

/** Answers what came beside the quote, as claims show it. */
async function recordCarried(
  ledger: SgxLedger,
  { report, carried }: SgxEvidence,
  hasher: Hasher,
): Promise<Json> {
  const { expected, binding, printable } = await judgeCarried(report.reportData, carried, hasher)
  ledger.compare('sgx.carried.binding', {
    expected,
    actual: binding ?? `REPORTDATA ${toHex(report.reportData)}`,
    ok: binding !== undefined,
  })
  return printable
}

interface CarriedFinding {
  readonly expected: string
  /** How REPORTDATA is made of it; `undefined` if it is not. */
  readonly binding: string | undefined
  readonly printable: Json
}

async function judgeCarried(
  reportData: Uint8Array,
  carried: Carried,
  hasher: Hasher,
): Promise<CarriedFinding> {
  const sha256 = async (bytes: Uint8Array): Promise<string> =>
    toHex(await hasher.digest('SHA-256', bytes))
  if (carried.kind === 'nothing') {
    const nothing = 'nothing came beside the quote'
    return { expected: nothing, binding: nothing, printable: null }
  }
  if (carried.kind === 'heldData') {
    const { data } = carried
    const bound = await isHashOf(reportData, data, hasher)
    return {
      expected: `REPORTDATA is the SHA-256 of the held data, ${await sha256(data)}, then zeros`,
      binding: bound ? 'SHA-256 of the held data' : undefined,
      printable: { heldData: { sha256: await sha256(data), size: data.length } },
    }
  }
  const key = await sha256(carried.spki)
  const binding = await bindingOfKey(reportData, carried, hasher)
  return {
    expected: `REPORTDATA names the certificate's key, whose SHA-256 is ${key}`,
    binding,
    printable: { certificate: { keySha256: key, binding: binding ?? null } },
  }
}
