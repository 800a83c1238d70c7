/**
 * What a policy can ask of an event log that came with a quote, whichever format that came in.
 *
 * @packageDocumentation
 */
import { constant, field, integer, listOf } from '../../appraisal/policy-field.ts'
import { type Ask, type Questions, question } from '../../appraisal/question.ts'
import { type BootLog, isExplained } from './boot.ts'

export interface BootPlace<C> {
  /** Before each check id: `tpm`. */
  readonly id: string
  /** Before each field: nothing, or `vtpm.`. */
  readonly name: string
  readonly bootOf: (claims: C) => BootLog | undefined
}

const PCRS = Array.from({ length: 24 }, (_, pcr) => pcr)

/** The questions, in the order of their checks. */
export function bootQuestions<C>({ id, name, bootOf }: BootPlace<C>): Questions<C> {
  const ask: Ask<C> = question
  return {
    [`${name}eventLog`]: ask({
      id: `${id}.event_log`,
      field: field(
        'PCRs that the event log must be there for and replay to, in every bank that they are quoted in.',
        listOf(integer()),
      ),
      actual: (claims) => {
        const boot = bootOf(claims)
        return boot === undefined
          ? 'absent'
          : `explains ${PCRS.filter((pcr) => isExplained(boot, pcr)).join(', ') || 'none'}`
      },
      judge: (claims, wanted) => {
        const boot = bootOf(claims)
        return {
          expected: `explains ${wanted.join(', ')}`,
          ok: boot !== undefined && wanted.every((pcr) => isExplained(boot, pcr)),
        }
      },
    }),
    [`${name}secureBoot`]: ask({
      id: `${id}.secure_boot`,
      field: field('Secure Boot is on, by an event log that replays to PCR 7.', constant(true)),
      actual: (claims) => String(bootOf(claims)?.secureBoot ?? 'absent'),
      judge: (claims) => ({ expected: 'true', ok: bootOf(claims)?.secureBoot === true }),
    }),
  }
}
