/**
 * NVIDIA Remote Attestation Service: a detached EAT bundle, one token over all devices and one for each.
 *
 * @packageDocumentation
 * @see https://docs.attestation.nvidia.com, "Claims schema", versions 2 to 4
 */
import { field, integer } from '../../appraisal/policy-field.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import { at, type JsonObject, nonceBytes, show, textAt } from './json.ts'
import {
  allInList,
  always,
  ask,
  type Device,
  type Kind,
  type Meaning,
  only,
  type PassportClaims,
} from './kind.ts'

/** Words of EAT (RFC 9711 §4.2.9) for debug that is off. */
const DEBUG_OFF = [
  'disabled',
  'disabled-since-boot',
  'disabled-permanently',
  'disabled-fully-and-permanently',
]
const WARNING = 'x-nvidia-attestation-warning'
/** Records that differ from reference values; null or an empty list where none does. The second is of version 4. */
const MISMATCHES = [
  'x-nvidia-mismatch-measurement-records',
  'x-nvidia-mismatch-opaque-data-records',
]
/** Ends of claims that say `true` of a good device; which ones there are depends on the device. */
const REPORT = [
  'attestation-report-parsed',
  'attestation-report-signature-verified',
  'attestation-report-nonce-match',
  'attestation-report-cert-chain-fwid-match',
  'arch-check',
]
const REPORT_CHAIN = 'attestation-report-cert-chain'
const RIMS = { gpu: ['driver-rim', 'vbios-rim'], switch: ['bios-rim'] } as const
/** Schema versions differ in whether they name it; where they do, it must be true. */
const OPTIONAL_RIM = ['schema-validated', 'version-match']
const RIM = ['fetched', 'signature-verified', 'measurements-available']

type Type = keyof typeof RIMS

/** Bundles as the service answers them, and as NVIDIA's tools print them in `detached_eat`. */
export const nvidiaNras: Kind = {
  id: 'nvidia-nras',
  types: ['jwt', 'eat+jwt', ''],
  expiryOptional: false,
  bundled: true,
  recognizes: ({ token: { payload }, devices }) =>
    devices.length > 0 && Object.hasOwn(payload, 'x-nvidia-overall-att-result'),
  meaning,
  questions: {
    debug: always(
      'nras.policy.debug',
      { doc: 'Debug is off on every device: dbgstat.', value: false, good: 'disabled' },
      (claims) =>
        each(claims, ({ payload }) =>
          DEBUG_OFF.includes(textAt(payload, 'dbgstat') ?? '')
            ? []
            : [`dbgstat ${show(payload['dbgstat'])}`],
        ),
    ),
    overallResult: always(
      'nras.token.overall_result',
      {
        doc: 'NVIDIA found all devices good: x-nvidia-overall-att-result.',
        value: true,
        good: 'true',
      },
      ({ payload }) => {
        const result = payload['x-nvidia-overall-att-result']
        return result === true ? [] : [show(result)]
      },
    ),
    report: always(
      'nras.device.report',
      {
        doc: 'The report of every device is signed by its own key, answers the nonce and is of its architecture.',
        value: true,
        good: 'verified',
      },
      (claims) => each(claims, (device) => notTrue(device, REPORT)),
    ),
    certificates: always(
      'nras.device.certificates',
      {
        doc: 'NVIDIA found the certificates of every device valid and not revoked (OCSP).',
        value: true,
        good: 'valid, OCSP good',
      },
      (claims) => each(claims, (device) => chainFaults(device, REPORT_CHAIN)),
    ),
    measurements: always(
      'nras.device.measres',
      {
        doc: 'Measurements of every device are the reference ones: measres, with no record that differs.',
        value: 'success',
        good: 'success',
      },
      (claims) =>
        each(claims, ({ payload }) => [
          ...(payload['measres'] === 'success' ? [] : [`measres ${show(payload['measres'])}`]),
          ...MISMATCHES.filter((name) => !isNothing(at(payload, name))),
        ]),
    ),
    rims: only(
      'nras.device.rims',
      {
        doc: 'The reference values of every device were fetched, signed, of its version, by certificates that are valid and not revoked.',
        value: true,
        good: 'verified',
      },
      (claims) => each(claims, rimFaults),
    ),
    secureBoot: only(
      'nras.device.secboot',
      { doc: 'Secure boot of every device is on: secboot.', value: true, good: 'on' },
      (claims) =>
        each(claims, ({ payload }) =>
          payload['secboot'] === true ? [] : [`secboot ${show(payload['secboot'])}`],
        ),
    ),
    warnings: only(
      'nras.device.warnings',
      { doc: 'NVIDIA warns of nothing.', value: false, good: 'none' },
      (claims) =>
        each(claims, ({ payload }) => {
          const warning = payload[WARNING]
          return warning === undefined || warning === null ? [] : [show(warning)]
        }),
    ),
    count: ask({
      id: 'nras.device.count',
      field: field('Number of devices.', integer(1)),
      actual: ({ devices }) => String(devices.length),
      judge: ({ devices }, wanted) => ({ expected: String(wanted), ok: devices.length === wanted }),
    }),
    distinct: only(
      'nras.device.distinct',
      { doc: 'Each device is another one: ueid.', value: true, good: 'all different' },
      ({ devices }) => {
        const ids = devices.map(({ payload }) => textAt(payload, 'ueid'))
        return ids.includes(undefined) || new Set(ids).size < ids.length
          ? [show(ids.map((id) => id ?? 'absent').join(', '))]
          : []
      },
    ),
    hwmodels: allInList('nras.device.hwmodel', 'Model of every device: hwmodel.', ({ devices }) =>
      devices.map(({ payload }) => textAt(payload, 'hwmodel')),
    ),
    ueids: allInList('nras.device.ueid', 'Devices that may answer: ueid.', ({ devices }) =>
      devices.map(({ payload }) => textAt(payload, 'ueid')),
    ),
    driverVersions: allInList(
      'nras.device.driver_version',
      'Driver version of every GPU. Switches have none.',
      ({ devices }) =>
        devices
          .filter((device) => typeOf(device) !== 'switch')
          .map(({ payload }) => textAt(payload, 'x-nvidia-gpu-driver-version')),
    ),
    vbiosVersions: allInList(
      'nras.device.vbios_version',
      'VBIOS version of every GPU, and BIOS version of every switch.',
      ({ devices }) =>
        devices.map(
          ({ payload }) =>
            textAt(payload, 'x-nvidia-gpu-vbios-version') ??
            textAt(payload, 'x-nvidia-switch-bios-version'),
        ),
    ),
  },
}

/** The nonce is all that a device binds, so it is the report data as well. */
function meaning(payload: JsonObject): Meaning {
  return {
    reportData: nonceBytes(textAt(payload, 'eat_nonce')),
    nonce: undefined,
    measurements: {},
  }
}

/** Faults of all devices, each with its name in front. */
function each(
  { devices }: PassportClaims,
  faults: (device: Device) => readonly string[],
): readonly string[] {
  return devices.flatMap((device) => faults(device).map((fault) => `${device.name} ${fault}`))
}

/** By the claim that every report has, since not all schema versions say it outright. */
function typeOf({ payload }: Device): Type | undefined {
  const types = (Object.keys(RIMS) as readonly Type[]).filter((type) =>
    Object.hasOwn(payload, `x-nvidia-${type}-${REPORT[0] ?? ''}`),
  )
  return types.length === 1 ? types[0] : undefined
}

function isNothing(value: Json | undefined): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0)
}

function notTrue(device: Device, ends: readonly string[]): readonly string[] {
  const type = typeOf(device)
  if (type === undefined) return ['neither a GPU nor a switch']
  return ends
    .filter((end) => device.payload[`x-nvidia-${type}-${end}`] !== true)
    .map((end) => `${end} ${show(device.payload[`x-nvidia-${type}-${end}`])}`)
}

function chainFaults(device: Device, end: string): readonly string[] {
  const type = typeOf(device)
  if (type === undefined) return ['neither a GPU nor a switch']
  const chain = at(device.payload, `x-nvidia-${type}-${end}`)
  const status = textAt(chain, 'x-nvidia-cert-status')
  const ocsp = textAt(chain, 'x-nvidia-cert-ocsp-status')
  return status === 'valid' && ocsp === 'good' ? [] : [`${end} ${show(status)}, OCSP ${show(ocsp)}`]
}

function rimFaults(device: Device): readonly string[] {
  const type = typeOf(device)
  if (type === undefined) return ['neither a GPU nor a switch']
  return RIMS[type].flatMap((rim) => {
    const said = OPTIONAL_RIM.filter((end) =>
      Object.hasOwn(device.payload, `x-nvidia-${type}-${rim}-${end}`),
    )
    const ends = [...RIM, ...said].map((end) => `${rim}-${end}`)
    return [...notTrue(device, ends), ...chainFaults(device, `${rim}-cert-chain`)]
  })
}
