/**
 * Names by which NVIDIA's service knows manifests: `https://rim.attestation.nvidia.com/v1/rim/<id>`.
 * Read from reports that nobody has checked, in an alphabet that is safe in a path.
 *
 * @packageDocumentation
 */
import { archOfReport, driverChipOf } from './arch.ts'
import type { Opaque } from './opaque.ts'
import type { Rim } from './rim.ts'

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

const WORD = '[0-9A-Za-z][0-9A-Za-z.-]{0,31}'
/** Every name that {@link rimIdsOf} gives, and none that means something in a path. */
export const RIM_ID = new RegExp(
  `^(?:NV_GPU_(?:CC_)?DRIVER_${WORD}_${WORD}|NV_GPU_VBIOS(?:_${WORD}){3}_[0-9A-F]{10}|NV_SWITCH_BIOS_${SWITCH}_[0-9A-Z-]{1,32})$`,
)

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

/**
 * Can this be the manifest that was asked for by that name? As far as a manifest says what it is: one
 * of a VBIOS does not name the board that it is for, and whether its values are met tells.
 */
export function isNamed(
  { product, version, edition }: Pick<Rim, 'product' | 'version' | 'edition'>,
  id: string,
): boolean {
  const [, driverChip, driver] = /^NV_GPU_(?:CC_)?DRIVER_([^_]+)_([^_]+)$/.exec(id) ?? []
  if (driver !== undefined) {
    return edition === 'GPU' && product === driverChip && version === driver.toUpperCase()
  }
  const ofSwitch = id.startsWith('NV_SWITCH_')
  const compact = id.slice(id.lastIndexOf('_') + 1)
  return (
    edition === (ofSwitch ? 'SWITCH' : 'GPU') &&
    (product === 'LS10') === ofSwitch &&
    version.replaceAll('.', '') === compact
  )
}
