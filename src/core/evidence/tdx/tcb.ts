/**
 * The TCB of a TDX platform: module identity, TCB levels, convergence and relaunch. Steps 11 to 14 of
 * `spec/evidence.md` §2.1.
 *
 * @packageDocumentation
 * @see Intel PCS API v4, "Get TDX TCB Info"; Intel QVL, `EvaluateTcb.cpp`
 */
import { isZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { DcapFindings } from '../intel-dcap/authenticate.ts'
import type { Ledger } from '../intel-dcap/ledger.ts'
import { compareMasked } from '../intel-dcap/qe-identity.ts'
import { shortfallsOf } from '../intel-dcap/shortfall.ts'
import { joinMissed, type MissedRecovery, missedRecovery } from '../intel-dcap/tcb-grace.ts'
import {
  findSvnLevel,
  findTcbLevel,
  type ModuleIdentity,
  type PlatformSvns,
  type SvnLevel,
  type TcbInfo,
} from '../intel-dcap/tcb-info.ts'
import { convergeVerdicts, type TcbStatus, type TcbVerdict } from '../intel-dcap/tcb-status.ts'
import type { TdReport } from './report.ts'

/** Ids of the checks on the TCB; always these, always in this order. Append-only. */
export const TDX_TCB_CHECK_IDS = [
  /** TCB Info has an identity for this generation of the TDX module. */
  'tdx.module.identity',
  'tdx.module.mrsigner',
  /** SEAMATTRIBUTES are as the identity says, and zero. */
  'tdx.module.attributes',
  /** The module's version reaches a level of its identity. */
  'tdx.module.tcb_level',
  /** The platform, as launched, reaches a level of TCB Info. */
  'tdx.tcb.level',
  /** So it does with the versions it has now (TD 1.5 reports). */
  'tdx.tcb.current_level',
] as const

export type TdxTcbCheckId = (typeof TDX_TCB_CHECK_IDS)[number]

/** Intel's words, and one for a platform that reaches no level at all. */
export type TdxTcbStatus =
  | TcbStatus
  | 'TDRelaunchAdvised'
  | 'TDRelaunchAdvisedConfigurationNeeded'
  | 'NotSupported'

export interface TdxTcb {
  readonly status: TdxTcbStatus
  readonly date: Date | undefined
  readonly advisoryIds: readonly string[]
  /** Of the parts, as far as they have one. */
  readonly parts: {
    readonly platform: TcbStatus | undefined
    readonly module: TcbStatus | undefined
    readonly qe: TcbStatus
  }
  /** What falls short of the best level and by how much, e.g. `tdxtcbcomponents[2] 3 < 5`. */
  readonly short: readonly string[]
  /** `undefined` if nothing is out of date. */
  readonly missed: MissedRecovery | undefined
}

const RELAUNCHABLE: readonly TcbStatus[] = ['OutOfDate', 'OutOfDateConfigurationNeeded']
const GOOD_ENOUGH: readonly TcbStatus[] = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
]

/** Checks the TCB of an authentic quote. */
export function checkTdxTcb(
  ledger: Ledger<TdxTcbCheckId>,
  report: TdReport,
  findings: DcapFindings,
): TdxTcb {
  const launch = evaluate(report.teeTcbSvn, findings)
  recordLaunch(ledger, { report, launch, info: findings.tcbInfo.content })
  const now = report.teeTcbSvn2
  const current = now === undefined ? undefined : evaluate(now, findings)
  const foreign = current !== undefined && isForeign(report, current, launch)
  ledger.compare('tdx.tcb.current_level', {
    expected: 'module and platform reach a level',
    actual:
      current === undefined
        ? 'as launched (TD 1.0 report)'
        : foreign
          ? `${moduleName(current.svns)} is of another signer, or has other attributes`
          : levelText(current),
    ok: current === undefined || (current.verdict !== undefined && !foreign),
  })
  return {
    ...statusOf(launch, current),
    parts: {
      platform: launch.level?.status,
      module: launch.moduleLevel?.status,
      qe: findings.qeLevel.status,
    },
    short: launch.short,
    missed: joinMissed([
      launch.missed,
      current?.missed,
      missedRecovery(findings.qeLevels, findings.qeLevel),
    ]),
  }
}

/** What TCB Info says of one set of security versions. */
interface Evaluation {
  readonly svns: Uint8Array
  readonly module: ModuleIdentity | undefined
  /** `undefined` for a module of version 0, which has no levels, too. */
  readonly moduleLevel: SvnLevel | undefined
  readonly level: TcbVerdict | undefined
  /** All parts together; `undefined` if one of them reaches no level. */
  readonly verdict: TcbVerdict | undefined
  readonly short: readonly string[]
  readonly missed: MissedRecovery | undefined
}

function evaluate(svns: Uint8Array, { chain, tcbInfo, qeLevel }: DcapFindings): Evaluation {
  const info = tcbInfo.content
  const platform: PlatformSvns = { ...chain.platform, tdxComponents: svns }
  const module = findModule(info, svns)
  const level = findTcbLevel(info.tcbLevels, platform)
  const moduleLevel = module && findSvnLevel(module.tcbLevels, moduleSvn(svns))
  const short: string[] = []
  const [best] = info.tcbLevels
  if (best !== undefined && level?.status !== 'UpToDate') {
    short.push(...shortfallsOf(best, platform))
  }
  const [bestModule] = module?.tcbLevels ?? []
  if (bestModule !== undefined && moduleSvn(svns) < bestModule.isvSvn) {
    short.push(`TDX module isvsvn ${moduleSvn(svns)} < ${bestModule.isvSvn}`)
  }
  const needsModuleLevel = hasModuleVersion(svns)
  const complete = level !== undefined && (moduleLevel !== undefined || !needsModuleLevel)
  return {
    svns,
    module,
    moduleLevel,
    level,
    // Advisories in the order platform, QE, module (Intel QVL).
    verdict: complete
      ? convergeVerdicts(level, qeLevel, ...(moduleLevel === undefined ? [] : [moduleLevel]))
      : undefined,
    short,
    missed: joinMissed([
      missedRecovery(info.tcbLevels, level),
      missedRecovery(module?.tcbLevels ?? [], moduleLevel),
    ]),
  }
}

/** The second byte of TEE_TCB_SVN is the module's major version, the first its ISVSVN. */
function hasModuleVersion(svns: Uint8Array): boolean {
  return (svns[1] ?? 0) > 0
}

function moduleSvn(svns: Uint8Array): number {
  return svns[0] ?? 0
}

function moduleName(svns: Uint8Array): string {
  return `TDX_${toHex(svns.subarray(1, 2)).toUpperCase()}`
}

/** An absent list is no list of good modules, and an absent entry no good module. */
function findModule(info: TcbInfo, svns: Uint8Array): ModuleIdentity | undefined {
  if (!hasModuleVersion(svns)) return info.tdxModule
  return info.tdxModuleIdentities?.find(({ id }) => id.toUpperCase() === moduleName(svns))
}

function recordLaunch(
  ledger: Ledger<TdxTcbCheckId>,
  {
    report,
    launch,
    info,
  }: {
    readonly report: TdReport
    readonly launch: Evaluation
    readonly info: TcbInfo
  },
): void {
  const { svns, module, moduleLevel, level } = launch
  const name = hasModuleVersion(svns) ? moduleName(svns) : 'tdxModule'
  const list = info.tdxModuleIdentities?.map(({ id }) => id).join(', ') ?? 'absent'
  ledger.compare('tdx.module.identity', {
    expected: `${name} in TCB Info`,
    actual: module === undefined ? `tdxModuleIdentities: ${list}` : name,
    ok: module !== undefined,
  })
  if (module !== undefined) recordModule(ledger, report, module)
  const versioned = hasModuleVersion(svns)
  if (module !== undefined) {
    const none = versioned ? `${moduleSvn(svns)} reaches no level` : 'no levels of its own'
    ledger.compare('tdx.module.tcb_level', {
      expected: `ISVSVN at a level of ${name}`,
      actual: moduleLevel === undefined ? none : `${moduleSvn(svns)}: ${moduleLevel.status}`,
      ok: moduleLevel !== undefined || !versioned,
    })
  }
  ledger.compare('tdx.tcb.level', {
    expected: 'a level of TCB Info reached in every component',
    actual: level?.status ?? `none; short of the best in ${launch.short.join(', ')}`,
    ok: level !== undefined,
  })
}

function recordModule(
  ledger: Ledger<TdxTcbCheckId>,
  report: TdReport,
  module: ModuleIdentity,
): void {
  ledger.compare(
    'tdx.module.mrsigner',
    compareMasked(report.mrSignerSeam, { value: module.mrSigner }),
  )
  const attributes = compareMasked(report.seamAttributes, {
    value: module.attributes,
    mask: module.attributesMask,
  })
  ledger.compare('tdx.module.attributes', {
    ...attributes,
    expected: `${attributes.expected}, and zero`,
    ok: attributes.ok && isZero(report.seamAttributes),
  })
}

/** A module of another generation than at launch must be that of its own identity, too. */
function isForeign(report: TdReport, { module }: Evaluation, launch: Evaluation): boolean {
  if (module === undefined || module === launch.module) return false
  const { attributes: value, attributesMask: mask, mrSigner } = module
  const signer = compareMasked(report.mrSignerSeam, { value: mrSigner })
  return !signer.ok || !compareMasked(report.seamAttributes, { value, mask }).ok
}

function levelText({ module, level, verdict, svns }: Evaluation): string {
  if (verdict !== undefined) return verdict.status
  if (level === undefined) return `${toHex(svns)} reaches no level`
  return module === undefined
    ? `no identity ${moduleName(svns)}`
    : `${moduleName(svns)} has no level`
}

/**
 * A TD that was launched on a platform out of date, and now runs on one that is not, should be
 * launched again: what it was measured by may not have been sound.
 */
function statusOf(
  launch: Evaluation,
  current: Evaluation | undefined,
): Pick<TdxTcb, 'status' | 'date' | 'advisoryIds'> {
  if (launch.verdict === undefined || (current !== undefined && current.verdict === undefined)) {
    return { status: 'NotSupported', date: undefined, advisoryIds: [] }
  }
  const rest = current?.verdict === undefined ? [] : [current.verdict]
  const joined = convergeVerdicts(launch.verdict, ...rest)
  const outdated = RELAUNCHABLE.includes(launch.verdict.status)
  if (!outdated || !rest.some(({ status }) => GOOD_ENOUGH.includes(status))) return joined
  return {
    ...joined,
    status:
      joined.status === 'OutOfDateConfigurationNeeded'
        ? 'TDRelaunchAdvisedConfigurationNeeded'
        : 'TDRelaunchAdvised',
  }
}
