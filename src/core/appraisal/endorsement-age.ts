/** How old what the Verifier knows may be, whatever its own dates say. @packageDocumentation */
import type { Json } from '../encoding/canonical-json.ts'
import type { Asked } from '../endorsements/asked.ts'
import { type Check, checkRequirement, type Requirement } from './check.ts'
import { field, integer, type PolicyField, record } from './policy-field.ts'

/** Name of the field, and end of the check's id. */
export const ENDORSEMENTS_AGE = 'endorsements.age'

const HOUR_SECONDS = 3600

/** In the policies of all formats whose vendors can be asked. */
export const ENDORSEMENTS_AGE_FIELD: PolicyField<{ readonly hours: number }> = field(
  'For how many hours what goes out of date (TCB documents, revocation lists, manifests, OCSP responses) may not have been asked for: since it was fetched, or the bundle filled that it was imported from. Fails where that is not known, as for files and for what came with the evidence.',
  record({ hours: integer(1) }),
)

interface AgeSubject {
  readonly asked: Asked | undefined
  readonly now: Date
}

/** The check; also of evidence that was not authenticated, since the answer is our own and not its. */
export function checkEndorsementAge(
  id: string,
  { asked, now }: AgeSubject,
  requirement: Requirement<{ readonly hours: number }>,
): Check {
  const age = ageOf(asked, now)
  return checkRequirement({ id, actual: printable(asked, age) }, requirement, ({ hours }) => ({
    expected: `asked for within ${hours} h`,
    // From the future is not fresh: one of two clocks is wrong, and nobody knows which.
    ok: age !== undefined && age >= 0 && age <= hours * HOUR_SECONDS,
  }))
}

/** For the claims; nothing where nothing is known. */
export function ageClaims({ asked, now }: AgeSubject): Readonly<Record<string, Json>> {
  const age = ageOf(asked, now)
  if (asked === undefined) return {}
  return {
    endorsements: {
      askedAt: age === undefined ? null : timeText(asked),
      ageSeconds: age ?? null,
      pastTheirDate: [...asked.expired],
    },
  }
}

function ageOf(asked: Asked | undefined, now: Date): number | undefined {
  if (asked === undefined || asked.at === 0) return undefined
  return Math.floor(now.getTime() / 1000) - asked.at
}

function printable(asked: Asked | undefined, age: number | undefined): string {
  const expired = asked === undefined ? [] : asked.expired
  const since =
    asked === undefined || age === undefined
      ? 'not known when they were asked for'
      : `asked for at ${timeText(asked)}, ${age} s before`
  return expired.length === 0
    ? since
    : `${since}; handed out past their date: ${expired.join('; ')}`
}

function timeText({ at }: Asked): string {
  return `${new Date(at * 1000).toISOString().slice(0, 19)}Z`
}
