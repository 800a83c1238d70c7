/**
 * Protected PCIe: GPUs that talk through NVSwitches in plain text, so that a foreign GPU or switch on
 * the fabric would read along. Each report names its neighbours; here they are compared. Only claims
 * that have been authenticated, and whose nonce was asked of all of them, mean anything.
 *
 * @packageDocumentation
 * @see NVIDIA nvtrust, "Protected PCIe (PPCIE) Verifier"
 */
import type { Check } from '../../appraisal/check.ts'
import { equal } from '../../bytes/bytes.ts'
import { type GpuClaims, modeOf, type SwitchClaims } from './claims.ts'

/** The devices of one machine. */
export interface Fabric {
  readonly gpus: readonly GpuClaims[]
  readonly switches: readonly SwitchClaims[]
}

/** How many there must be: what nobody counts can be left out. */
export interface FabricSize {
  readonly gpus: number
  readonly switches: number
}

/** Ids of the checks, in their order. */
export const TOPOLOGY_CHECK_IDS = [
  'nvfabric.size',
  'nvfabric.distinct',
  'nvfabric.nonce',
  'nvfabric.mode',
  'nvfabric.switches',
  'nvfabric.gpus',
] as const

/**
 * Is it one fabric, and all of it? Every GPU names the same switches, which are those that answered;
 * every switch names the same GPUs, as many as answered; each device answered once, to the same
 * nonce, in protected mode. That the GPUs which switches name are the ones that answered, rather than
 * as many others, no report says: a GPU does not state its own identifier.
 */
export function checkTopology({ gpus, switches }: Fabric, size: FabricSize): readonly Check[] {
  const pdis = switches.map(({ opaque }) => opaque.pdi)
  const [first] = switches
  const [sizeId, distinctId, nonceId, modeId, switchesId, gpusId] = TOPOLOGY_CHECK_IDS
  const gpuSets = switches.map(({ opaque }) => setOf(opaque.gpuPdis))
  const named = first?.opaque.gpuPdis.length ?? 0
  return [
    check(sizeId, `${size.gpus} GPUs, ${size.switches} switches`, {
      ok: gpus.length === size.gpus && switches.length === size.switches && size.gpus > 0,
      actual: `${gpus.length} GPUs, ${switches.length} switches`,
    }),
    check(distinctId, 'every device once', {
      ok: isDistinct([...gpus, ...switches].map(({ ueid }) => ueid)) && isDistinct(pdis),
      actual: `${new Set([...gpus, ...switches].map(({ ueid }) => ueid)).size} devices`,
    }),
    check(nonceId, 'one nonce for all', {
      ok: isOneNonce([...gpus, ...switches]),
      actual: isOneNonce([...gpus, ...switches]) ? 'one' : 'several',
    }),
    check(modeId, 'PPCIE', {
      ok: gpus.length > 0 && gpus.every(({ opaque }) => modeOf(opaque) === 'PPCIE'),
      actual: [...new Set(gpus.map(({ opaque }) => modeOf(opaque)))].join(', ') || 'none',
    }),
    check(switchesId, `every GPU at ${setOf(pdis) || 'no switch'}`, {
      ok:
        gpus.length > 0 &&
        pdis.length > 0 &&
        gpus.every(({ opaque }) => setOf(opaque.switchPdis) === setOf(pdis)),
      actual: [...new Set(gpus.map(({ opaque }) => setOf(opaque.switchPdis) || 'no switch'))].join(
        '; ',
      ),
    }),
    check(gpusId, `every switch at the same ${gpus.length} GPUs`, {
      ok: new Set(gpuSets).size === 1 && named === gpus.length,
      actual: [...new Set(gpuSets)].join('; ') || 'none',
    }),
  ]
}

/** In one order, so that two sets are the same when their texts are. */
function setOf(pdis: readonly string[]): string {
  return [...new Set(pdis)].sort().join(', ')
}

function isDistinct(names: readonly string[]): boolean {
  return new Set(names).size === names.length
}

function isOneNonce(devices: readonly { readonly nonce: Uint8Array }[]): boolean {
  const [first] = devices
  return first !== undefined && devices.every(({ nonce }) => equal(nonce, first.nonce))
}

function check(
  id: string,
  expected: string,
  { ok, actual }: { readonly ok: boolean; readonly actual: string },
): Check {
  return { id, outcome: ok ? 'pass' : 'fail', expected, actual }
}
