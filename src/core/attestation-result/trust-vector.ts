/**
 * The trustworthiness vector of AR4SI, derived from the checks: each check speaks for exactly one
 * element, and an element is as bad as its worst check. So the vector never says better than the
 * tier, and never worse.
 *
 * What it is worth: an element at 2 means that every check asked of it passed, not that everything
 * was asked. Checks that a policy waives claim nothing, and an element of which nothing was asked is
 * 0. Relying Parties that need to know what was asked read the checks, which travel beside it.
 *
 * @packageDocumentation
 * @see draft-ietf-rats-ar4si §2.3
 */
import type { Check } from '../appraisal/check.ts'
import { BINDING_IDS, REFERENCE_VALUES_ID } from '../appraisal/check-ids.ts'
import { type AttestationResult, tierOf } from '../appraisal/result.ts'
import { formatOf } from '../evidence/formats.ts'

/** Elements that our evidence can speak to. File system, storage and sourced data it cannot. */
export type TrustElement = 'instance-identity' | 'configuration' | 'executables' | 'hardware'

export type TrustVector = Readonly<Record<TrustElement, number>>

/** AR4SI values: the generic affirming one, and for each element what a warning and a failure are. */
const AFFIRMING = 2
const VALUES = {
  'instance-identity': { warn: 32, fail: 97 }, // 97: not recognized
  configuration: { warn: 32, fail: 96 }, // 32: unsafe; 96: unsupportable
  executables: { warn: 33, fail: 96 }, // 33: unrecognized; 96: contraindicated
  hardware: { warn: 32, fail: 97 }, // 32: genuine, with known weaknesses; 97: not recognized
} as const satisfies Record<TrustElement, { readonly warn: number; readonly fail: number }>

/** The vector of a result. */
export function trustVectorOf(result: AttestationResult): TrustVector {
  const asked = formatOf(result.format).appraisalCheckIds
  const valueOf = (element: TrustElement): number =>
    trustValue(
      element,
      result.checks.filter(({ id }) => elementOf(id, asked) === element),
    )
  return {
    'instance-identity': valueOf('instance-identity'),
    configuration: valueOf('configuration'),
    executables: valueOf('executables'),
    hardware: valueOf('hardware'),
  }
}

/**
 * Freshness and key binding say whose evidence it is; measurements what runs; everything else that a
 * policy asks is configuration, but for the level of the platform itself. What remains is
 * authentication: signatures, chains, revocation.
 */
function elementOf(id: string, asked: readonly string[]): TrustElement {
  const ends = Object.values(BINDING_IDS)
  const fresh = ['freshness', 'carried'].includes(id.split('.')[1] ?? '')
  if (fresh || ends.some((end) => id.endsWith(`.${end}`))) return 'instance-identity'
  const measured =
    /\.(mrtd|rtmr[0-9]|pcr[0-9]+|measurement|rim|rem[0-9]|sw_components|signers)$/.test(id) ||
    /\.(mrenclave|mrsigner|isvprodid|isvsvn)$/.test(id)
  if (measured || id.endsWith(`.${REFERENCE_VALUES_ID}`)) return 'executables'
  const platform = /\.(tcb|chip|module|platform|product|advisor)/i.test(id)
  return asked.includes(id) && !platform ? 'configuration' : 'hardware'
}

function trustValue(element: TrustElement, checks: readonly Check[]): number {
  const tier = tierOf(checks)
  if (tier === 'contraindicated') return VALUES[element].fail
  if (tier === 'warning') return VALUES[element].warn
  return tier === 'affirming' ? AFFIRMING : 0
}
