/**
 * From evidence that is known to be good to the entry that accepts its like: which measurements say
 * what runs, and which only where it ran.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../errors.ts'
import type { FormatId } from '../evidence/common/format-ids.ts'
import type { Measurements } from './reference-values.ts'

/** One measurement of the evidence, and what becomes of it. */
export interface ProposedMeasurement {
  readonly name: string
  readonly value: string
  readonly trusted: boolean
  /** What it measures, and why it is left out if it is. */
  readonly why: string
}

interface Advice {
  readonly name: RegExp
  readonly trust: boolean
  readonly why: string
}

const yes = (name: RegExp, why: string): Advice => ({ name, trust: true, why })
const no = (name: RegExp, why: string): Advice => ({ name, trust: false, why })

const TDX: readonly Advice[] = [
  yes(/^mrtd$/, 'the initial TD: its firmware'),
  yes(/^rtmr0$/, 'configuration of the firmware; also changes with the shape of the machine'),
  yes(/^rtmr1$/, 'boot loader and kernel'),
  yes(/^rtmr2$/, 'kernel command line and initrd'),
  yes(/^rtmr3$/, 'whatever the workload extends'),
  no(/^mrseam$/, "the platform's TDX module, which its owner updates: tcb.status judges it"),
  no(/^mrsignerseam$/, "who signed the platform's TDX module: a field of the policy"),
  no(/^mr(?:configid|owner|ownerconfig)$/, 'set by the host at launch; include it if you use it'),
  no(/^mrservicetd$/, 'service TDs that the host binds: a field of the policy'),
]
/** By format: what each measurement is. Formats that are not here have no advice, and trust all. */
const ADVICE: Readonly<Partial<Record<FormatId, readonly Advice[]>>> = {
  tdx: TDX,
  simulated: TDX,
  'sev-snp': [
    yes(/^measurement$/, 'the launched guest: its firmware, and what that was given'),
    no(/^hostData$/, 'set by the host at launch; include it if you use it'),
    no(/^(?:idKeyDigest|authorKeyDigest)$/, 'who signed the id block; include it if you use one'),
  ],
  nitro: [
    yes(/^pcr0$/, 'the enclave image'),
    yes(/^pcr1$/, 'kernel and boot ramdisk'),
    yes(/^pcr2$/, 'the application'),
    yes(/^pcr8$/, 'who signed the image'),
    no(/^pcr3$/, 'the IAM role of the parent instance: where it ran'),
    no(/^pcr4$/, 'the id of the parent instance: where it ran'),
    no(/^pcr\d+$/, 'not of the image; include it if the enclave extends it'),
  ],
  'arm-cca': [
    yes(/^rim$/, 'what the realm started from'),
    yes(/^rem[0-3]$/, 'whatever the realm extends'),
    no(/^rpv$/, 'given by the host at creation; include it if you use it'),
    no(/^implementation_id$/, 'the make of the platform: import it from its maker'),
    no(/^sw_/, "the platform's firmware: import it from its maker"),
  ],
}
const ZEROS = /^0+$/

/**
 * Which measurements of authenticated evidence an entry should name.
 *
 * @param choice - Names that the operator decided on, against the advice.
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_INVALID` for a name that the evidence does not
 *   have, or that is chosen both ways; and if nothing is left to trust.
 */
export function proposeMeasurements(
  format: FormatId,
  measurements: Measurements,
  choice: { readonly include: readonly string[]; readonly exclude: readonly string[] },
): readonly ProposedMeasurement[] {
  assertChoice(measurements, choice)
  const proposed = Object.entries(measurements).map(([name, value]): ProposedMeasurement => {
    const advice = ADVICE[format]?.find((one) => one.name.test(name))
    const why = advice?.why ?? 'measured by the evidence'
    const measured = { name, value, why }
    if (choice.include.includes(name)) return { ...measured, trusted: true }
    if (choice.exclude.includes(name)) {
      return { ...measured, trusted: false, why: `${why}; left out on request` }
    }
    const trusted = advice?.trust !== false
    // Zeros in a register say that nothing was extended, which is worth holding on to.
    const empty = ZEROS.test(value) && !trusted ? '; all zeros here' : ''
    return { ...measured, trusted, why: `${why}${empty}` }
  })
  if (proposed.some(({ trusted }) => trusted)) return proposed
  throw fail('nothing is left to trust')
}

/** The values of an entry. */
export function trustedValues(proposed: readonly ProposedMeasurement[]): Measurements {
  const trusted = proposed.filter((one) => one.trusted)
  return Object.fromEntries(trusted.map(({ name, value }) => [name, value]))
}

/** Measurements that say what runs and are not there: an entry without them accepts any. */
export function missingMeasurements(
  format: FormatId,
  measurements: Measurements,
): readonly string[] {
  const literal = (ADVICE[format] ?? [])
    .filter(({ trust }) => trust)
    .flatMap(({ name }) => /^\^(\w+)\$$/.exec(name.source)?.[1] ?? [])
  return literal.filter((name) => !Object.hasOwn(measurements, name))
}

/** Names of a set that no evidence of its format has, so that its entries never match. */
export function unknownMeasurements(format: FormatId, values: Measurements): readonly string[] {
  const advice = ADVICE[format]
  if (advice === undefined) return []
  return Object.keys(values).filter((name) => !advice.some((one) => one.name.test(name)))
}

function assertChoice(
  measurements: Measurements,
  {
    include,
    exclude,
  }: { readonly include: readonly string[]; readonly exclude: readonly string[] },
): void {
  const absent = [...include, ...exclude].find((name) => !Object.hasOwn(measurements, name))
  if (absent !== undefined) throw fail(`the evidence has no ${absent}`)
  const both = include.find((name) => exclude.includes(name))
  if (both !== undefined) throw fail(`${both} is both included and excluded`)
}

function fail(detail: string): VouchsafeError {
  return new VouchsafeError(
    { code: 'ERR_REFERENCE_VALUES_INVALID', at: 'reference_values.values' },
    detail,
  )
}
