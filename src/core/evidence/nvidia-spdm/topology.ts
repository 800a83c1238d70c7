/**
 * Protected PCIe: GPUs that talk through NVSwitches in plain text, so that a foreign GPU or switch on
 * the fabric would read along. Each report names its neighbours; here they are compared. Only claims
 * that have been authenticated, and whose nonce was asked of all of them, mean anything.
 *
 * @packageDocumentation
 * @see NVIDIA nvtrust, "Protected PCIe (PPCIE) Verifier"
 */
import type { Check } from '../../appraisal/check.ts'
import type { Json } from '../../encoding/canonical-json.ts'

/**
 * Printable claims of the devices of one machine, as their results keep them: so everybody who has the
 * results can compare the devices again. `null` for a device that was not authenticated.
 */
export interface Fabric {
  readonly gpus: readonly Json[]
  readonly switches: readonly Json[]
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

const NOT_AUTHENTICATED = 'not authenticated'
/** As claims print them. GPUs that say nothing of it are older than protected PCIe. */
const ALONE = ['SPT', 'MPT', 'unstated', NOT_AUTHENTICATED]
const NO_FABRIC = 'no switch, and no GPU in protected PCIe'

interface Gpu extends Answered {
  readonly mode: string
  readonly switchPdis: readonly string[]
}

interface Switch extends Answered {
  readonly pdi: string
  readonly gpuPdis: readonly string[]
}

interface Answered {
  readonly key: string
  readonly nonce: string
}

/**
 * Is it one fabric, and all of it? Every GPU names the same switches, which are those that answered;
 * every switch names the same GPUs, as many as answered; each device answered once, to the same
 * nonce, in protected mode. That the GPUs which switches name are the ones that answered, rather than
 * as many others, no report says: a GPU does not state its own identifier.
 *
 * A machine has a fabric if any switch answered, or any authentic GPU says that it is in protected PCIe
 * or says nothing clear about it. Where there is none, there is nothing to compare, and each check says so.
 */
export function checkTopology(fabric: Fabric): readonly Check[] {
  const gpus = fabric.gpus.map(gpuOf)
  const switches = fabric.switches.map(switchOf)
  if (switches.length === 0 && gpus.every(({ mode }) => ALONE.includes(mode))) {
    return TOPOLOGY_CHECK_IDS.map((id) => check(id, NO_FABRIC, { ok: true, actual: NO_FABRIC }))
  }
  const [sizeId, distinctId, nonceId, ...neighbours] = TOPOLOGY_CHECK_IDS
  const devices = [...gpus, ...switches]
  const nonces = new Set(devices.map(({ nonce }) => nonce))
  const isDistinct = hasAll(devices.map(({ key }) => key)) && hasAll(switches.map((s) => s.pdi))
  const size = countNamed(gpus, switches)
  const found = `${gpus.length} GPUs, ${switches.length} switches`
  return [
    check(sizeId, size, { ok: size === found && gpus.length > 0, actual: found }),
    check(distinctId, 'every device once', {
      ok: isDistinct,
      actual: `${new Set(devices.map(({ key }) => key)).size} devices`,
    }),
    check(nonceId, 'one nonce for all', {
      ok: nonces.size === 1 && !nonces.has(''),
      actual: nonces.size === 1 ? 'one' : 'several',
    }),
    ...checkNeighbours(neighbours, gpus, switches),
  ]
}

/** What the devices name is what must answer: nobody else could count it for every machine. */
function countNamed(gpus: readonly Gpu[], switches: readonly Switch[]): string {
  const named = {
    gpus: new Set(switches.flatMap(({ gpuPdis }) => gpuPdis)).size,
    switches: new Set(gpus.flatMap(({ switchPdis }) => switchPdis)).size,
  }
  return `${named.gpus} GPUs, ${named.switches} switches`
}

function checkNeighbours(
  [modeId, switchesId, gpusId]: readonly [string, string, string],
  gpus: readonly Gpu[],
  switches: readonly Switch[],
): readonly Check[] {
  const pdis = setOf(switches.map(({ pdi }) => pdi))
  const modes = new Set(gpus.map(({ mode }) => mode))
  const switchSets = new Set(gpus.map(({ switchPdis }) => setOf(switchPdis)))
  const gpuSets = new Set(switches.map(({ gpuPdis }) => setOf(gpuPdis)))
  const fewest = Math.min(...switches.map(({ gpuPdis }) => new Set(gpuPdis).size))
  return [
    check(modeId, 'PPCIE', {
      ok: modes.size === 1 && modes.has('PPCIE'),
      actual: [...modes].join(', ') || 'none',
    }),
    check(switchesId, `every GPU at ${pdis || 'no switch'}`, {
      ok: pdis !== '' && switchSets.size === 1 && switchSets.has(pdis),
      actual: [...switchSets].map((set) => set || 'no switch').join('; ') || 'none',
    }),
    check(gpusId, `every switch at the same ${gpus.length} GPUs`, {
      ok: gpuSets.size === 1 && gpus.length > 0 && fewest === gpus.length,
      actual: [...gpuSets].map((set) => set || 'no GPU').join('; ') || 'none',
    }),
  ]
}

function gpuOf(claims: Json): Gpu {
  const { mode, switch_pdis } = membersOf(claims)
  return {
    ...answeredOf(claims),
    // Its own result refuses it; whether there is a fabric is for the others to say.
    mode: claims === null ? NOT_AUTHENTICATED : textOf(mode),
    switchPdis: textsOf(switch_pdis),
  }
}

function switchOf(claims: Json): Switch {
  const { pdi, gpu_pdis } = membersOf(claims)
  return { ...answeredOf(claims), pdi: textOf(pdi), gpuPdis: textsOf(gpu_pdis) }
}

function answeredOf(claims: Json): Answered {
  const { device_key, eat_nonce } = membersOf(claims)
  return { key: textOf(device_key), nonce: textOf(eat_nonce) }
}

type Name = 'mode' | 'switch_pdis' | 'pdi' | 'gpu_pdis' | 'device_key' | 'eat_nonce'

function membersOf(claims: Json): Partial<Readonly<Record<Name, Json>>> {
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) return {}
  return claims as Partial<Readonly<Record<Name, Json>>>
}

/** What is not there as it is printed is nothing, which passes no check. */
function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

function textsOf(value: Json | undefined): readonly string[] {
  return Array.isArray(value) ? (value as readonly Json[]).map(textOf) : []
}

/** In one order, so that two sets are the same when their texts are. */
function setOf(pdis: readonly string[]): string {
  return [...new Set(pdis)].sort().join(', ')
}

/** Whether each has a name of its own. */
function hasAll(names: readonly string[]): boolean {
  return !names.includes('') && new Set(names).size === names.length
}

function check(
  id: string,
  expected: string,
  { ok, actual }: { readonly ok: boolean; readonly actual: string },
): Check {
  return { id, outcome: ok ? 'pass' : 'fail', expected, actual }
}
