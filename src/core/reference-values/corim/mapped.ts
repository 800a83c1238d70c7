/** What a CoRIM says, in this verifier's terms. @packageDocumentation */
import type { Json } from '../../encoding/canonical-json.ts'
import type { PlatformKey } from '../../endorsements/endorsement-set.ts'
import type { Fragment } from '../fragments.ts'

export interface Mapped {
  readonly fragments: readonly Fragment[]
  readonly platformKeys: readonly PlatformKey[]
  /** What measurements cannot say and a policy can: fields of the format's policy, by name. */
  readonly policy: Readonly<Record<string, readonly Json[]>>
  /** What was left out, each with its place and reason. Never empty when something was. */
  readonly unmapped: readonly string[]
}

export const NOTHING: Mapped = { fragments: [], platformKeys: [], policy: {}, unmapped: [] }

/** All of several. */
export function joinMapped(all: readonly Mapped[]): Mapped {
  const fields = new Set(all.flatMap(({ policy }) => Object.keys(policy)))
  return {
    fragments: all.flatMap(({ fragments }) => fragments),
    platformKeys: all.flatMap(({ platformKeys }) => platformKeys),
    policy: Object.fromEntries(
      [...fields].map((name) => [name, different(all.flatMap(({ policy }) => policy[name] ?? []))]),
    ),
    unmapped: all.flatMap(({ unmapped }) => unmapped),
  }
}

function different(values: readonly Json[]): readonly Json[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()]
}
