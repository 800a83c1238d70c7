/**
 * The TCB of an SGX platform: its level, and what that becomes with the Quoting Enclave's. Steps 12
 * and 13 of `spec/evidence.md` §2.1; there is no module, and no relaunch.
 *
 * @packageDocumentation
 * @see Intel PCS API v4, "Get SGX TCB Info"; Intel QVL, `EvaluateTcb.cpp`
 */
import type { DcapFindings } from '../intel-dcap/authenticate.ts'
import { findTcbLevel, shortOf } from '../intel-dcap/tcb-info.ts'
import { convergeVerdicts, type TcbStatus } from '../intel-dcap/tcb-status.ts'

export interface SgxTcb {
  /** Intel's words, and one for a platform that reaches no level at all. */
  readonly status: TcbStatus | 'NotSupported'
  readonly date: Date | undefined
  readonly advisoryIds: readonly string[]
  readonly parts: { readonly platform: TcbStatus | undefined; readonly qe: TcbStatus }
  /** What falls short of the best level and by how much, e.g. `sgxtcbcomponents[0] 3 < 5`. */
  readonly short: string | undefined
}

/** No component of TDX: such levels compare none. */
const NO_TDX = new Uint8Array(0)

/** Judges the platform of an authentic quote. */
export function judgeTcb({ chain, tcbInfo, qeLevel }: DcapFindings): SgxTcb {
  const { tcbLevels } = tcbInfo.content
  // The levels are compared with what the PCK certificate says, as Intel's algorithm has it: it was
  // issued for this TCB, and the PCE signed with the key of this TCB.
  const platform = { ...chain.platform, tdxComponents: NO_TDX }
  const level = findTcbLevel(tcbLevels, platform)
  const [best] = tcbLevels
  const parts = { platform: level?.status, qe: qeLevel.status }
  const short = best === undefined ? undefined : shortOf(best, platform)
  if (level === undefined) {
    return { status: 'NotSupported', date: undefined, advisoryIds: [], parts, short }
  }
  return { ...convergeVerdicts(level, qeLevel), parts, short }
}
