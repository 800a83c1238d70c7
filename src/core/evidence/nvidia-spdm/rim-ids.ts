/**
 * Names by which NVIDIA's service knows manifests: `https://rim.attestation.nvidia.com/v1/rim/<id>`.
 * Read from reports that nobody has checked, in an alphabet that is safe in a path.
 *
 * @packageDocumentation
 */
import { archOfReport, driverChipOf } from './arch.ts'
import type { Opaque } from './opaque.ts'

/** What a manifest describes. */
export type RimKind = 'driver' | 'vbios' | 'bios'

export interface RimId {
  readonly kind: RimKind
  readonly id: string
  /** What the manifest must say itself, since it does not hold its own name. */
  readonly product: string
  readonly version: string
  readonly edition: 'GPU' | 'SWITCH'
}

/** Project, SKU and chip of the one NVSwitch there is: its reports do not name them. */
const SWITCH = '5612_0002_890'

/** The manifests that a report is measured against; a driver's first. */
export function rimIdsOf(opaque: Opaque): readonly RimId[] {
  const version = opaque.vbiosVersion
  const compact = version.replaceAll('.', '')
  if (opaque.kind === 'switch') {
    const id = `NV_SWITCH_BIOS_${SWITCH}_${compact}`
    return [{ kind: 'bios', id, product: 'LS10', version, edition: 'SWITCH' }]
  }
  const { driverVersion, project, projectSku, chipSku } = opaque
  const chip = driverChipOf(opaque)
  const confidential = archOfReport(opaque) === 'BLACKWELL' ? 'CC_' : ''
  return [
    {
      kind: 'driver',
      id: `NV_GPU_${confidential}DRIVER_${chip}_${driverVersion}`,
      product: chip,
      version: driverVersion,
      edition: 'GPU',
    },
    {
      kind: 'vbios',
      id: `NV_GPU_VBIOS_${project}_${projectSku}_${chipSku}_${compact}`.toUpperCase(),
      product: chip,
      version,
      edition: 'GPU',
    },
  ]
}
