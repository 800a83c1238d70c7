/**
 * Authenticates a report of a GPU or an NVSwitch: its chain to the pinned root of devices, its
 * signature, the firmware that holds the key, and the manifests it will be measured against.
 *
 * @packageDocumentation
 */
import { type Check, checkOf, notAuthenticated } from '../../appraisal/check.ts'
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { VouchsafeError } from '../../errors.ts'
import { checkValidity, type Problem } from '../../x509/chain.ts'
import type { Authenticated, AuthenticationContext } from '../common/format.ts'
import { type Arch, archOfLeaf, archOfReport } from './arch.ts'
import { claimsOf, type NvidiaClaims } from './claims.ts'
import { chooseChain, type DeviceChain } from './device-chain.ts'
import { type EndorsedRim, endorseRim, rimCheckIds, rimNotAuthenticated } from './endorse-rim.ts'
import type { NvidiaEvidence } from './evidence.ts'
import { type FirmwareId, readFirmwareId } from './fwid.ts'
import { checkRevocation, deviceQuestions, type Revocation } from './revocation.ts'
import { type RimKind, rimIdsOf } from './rim-ids.ts'

/** First word of a format's check ids, and the manifests that its devices are measured against. */
export interface DeviceFormat {
  readonly prefix: string
  readonly rims: readonly RimKind[]
}

/** What the device itself shows, before anybody asks a service about it. */
export interface DeviceFindings {
  readonly chain: DeviceChain
  readonly arch: Arch | undefined
  readonly firmware: FirmwareId | undefined
  /** All but the last of {@link DEVICE_CHECKS}. */
  readonly checks: readonly Check[]
}

const DEVICE_CHECKS = [
  'chain.path',
  'chain.anchor',
  'chain.validity',
  'report.arch',
  'report.fwid',
  'report.signature',
  'chain.revocation',
] as const

/** All ids, in order. */
export function authenticationCheckIds({ prefix, rims }: DeviceFormat): readonly string[] {
  return [
    ...DEVICE_CHECKS.map((end) => `${prefix}.${end}`),
    ...rims.flatMap((kind) => rimCheckIds(prefix, { kind })),
  ]
}

/**
 * Everything that must hold before a claim may be believed. Services are asked only about a device
 * that is one: for anything else the checks that need them fail as not authenticated.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if there is no manifest of a version,
 *   no OCSP response about a certificate, or, for a bare report, no certificate.
 */
export async function authenticateDevice(
  evidence: NvidiaEvidence,
  format: DeviceFormat,
  context: AuthenticationContext,
): Promise<Authenticated<NvidiaClaims>> {
  const { prefix } = format
  const { chain, checks: shown, arch, firmware } = await examineDevice(evidence, format, context)
  const revocationId = `${prefix}.chain.revocation`
  const holds = shown.every(({ outcome }) => outcome === 'pass')
  if (!holds || arch === undefined || firmware === undefined) {
    const rest = format.rims.flatMap((kind) => rimNotAuthenticated(prefix, { kind }))
    return { authentic: false, checks: [...shown, notAuthenticated(revocationId), ...rest] }
  }
  const { report } = evidence
  const revocation = await checkRevocation(deviceQuestions(chain.path), context)
  const rims: EndorsedRim[] = []
  for (const wanted of rimIdsOf(report.opaque)) {
    rims.push(await endorseRim({ prefix, wanted, report }, context))
  }
  const checks = [
    ...shown,
    checkOf(revocationId, revocation.problem, revocationText(revocation)),
    ...rims.flatMap((one) => one.checks),
  ]
  if (!checks.every(({ outcome }) => outcome === 'pass')) return { authentic: false, checks }
  const golden = rims.map(({ rim }, i) => ({
    kind: rimIdsOf(report.opaque)[i]?.kind ?? 'vbios',
    measurements: rim.golden,
    floors: rim.floors,
  }))
  const revokedSince = oldestOf([revocation, ...rims.map((one) => one.revocation)], context.now)
  const { path } = chain
  const deviceKey = await deviceKeyOf(path, context)
  const found = { arch, path, deviceKey, report, golden, firmware, revokedSince, now: context.now }
  return { authentic: true, checks, claims: claimsOf(found) }
}

/** Of the boot ROM, which stands above the leaf. */
async function deviceKeyOf(
  [leaf, rom]: DeviceChain['path'],
  { crypto }: AuthenticationContext,
): Promise<string> {
  const spki = (rom ?? leaf)?.key.spki ?? new Uint8Array()
  return toHex(await crypto.digest('SHA-256', spki))
}

/**
 * The checks for which nobody but the device is asked.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` for a bare report without a certificate.
 */
export async function examineDevice(
  evidence: NvidiaEvidence,
  { prefix }: Pick<DeviceFormat, 'prefix'>,
  context: AuthenticationContext,
): Promise<DeviceFindings> {
  const chain = await chooseChain(evidence, context)
  const { now, anchors } = context
  const firmware = firmwareOf(chain)
  const arch = archOfLeaf(chain.leaf)
  const checks: readonly Check[] = [
    checkOf(`${prefix}.chain.path`, chain.problem, 'five certificates, each signed by the next'),
    {
      id: `${prefix}.chain.anchor`,
      outcome: chain.pinned ? 'pass' : 'fail',
      expected: `one of ${anchors.nvidia.device.length} pinned roots of devices`,
      actual: chain.rootDigest,
    },
    checkOf(
      `${prefix}.chain.validity`,
      checkValidity(chain.path, now),
      `valid at ${now.toISOString()}`,
    ),
    checkOf(`${prefix}.report.arch`, archProblem(evidence, arch), arch ?? ''),
    checkFwid(`${prefix}.report.fwid`, evidence, firmware),
    checkOf(
      `${prefix}.report.signature`,
      chain.signed ? undefined : SIGNATURE_PROBLEM,
      'ECDSA on P-384 over request and response, by the leaf’s key',
    ),
  ]
  return { chain, arch, firmware, checks }
}

const SIGNATURE_PROBLEM: Problem = {
  expected: 'ECDSA on P-384 over request and response, by the leaf’s key',
  actual: 'signature does not verify',
}

function firmwareOf({ leaf }: DeviceChain): FirmwareId | undefined {
  try {
    return readFirmwareId(leaf)
  } catch (error) {
    // One that cannot be read says nothing, which is what the check reports.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

/** The certificate decides; what the report and whoever sent it say must agree. */
function archProblem(
  { statedArch, report }: NvidiaEvidence,
  leaf: Arch | undefined,
): Problem | undefined {
  const claimed = archOfReport(report.opaque)
  if (leaf !== undefined && claimed === leaf && (statedArch ?? leaf) === leaf) return undefined
  const said = [`certificate ${leaf ?? 'unknown'}`, `report ${claimed ?? 'unknown'}`]
  if (statedArch !== undefined) said.push(`stated ${statedArch}`)
  return { expected: 'one architecture', actual: said.join(', ') }
}

/**
 * Older firmware does not repeat in the report what its certificate says, and switches never do. A
 * policy can require it; what is there must be the same.
 */
function checkFwid(
  id: string,
  { report: { opaque } }: NvidiaEvidence,
  firmware: FirmwareId | undefined,
): Check {
  const certified = firmware === undefined ? 'absent from the certificate' : toHex(firmware.fwid)
  const same = opaque.fwid === undefined || equal(opaque.fwid, firmware?.fwid ?? new Uint8Array())
  return {
    id,
    outcome: firmware !== undefined && same ? 'pass' : 'fail',
    expected: certified,
    actual: opaque.fwid === undefined ? 'absent from the report' : toHex(opaque.fwid),
  }
}

function revocationText({ oldest }: Revocation): string {
  return `good, since ${oldest?.toISOString() ?? 'never'} or later`
}

function oldestOf(revocations: readonly Revocation[], now: Date): Date {
  const times = revocations.map(({ oldest }) => (oldest ?? new Date(0)).getTime())
  return new Date(Math.min(now.getTime(), ...times))
}
