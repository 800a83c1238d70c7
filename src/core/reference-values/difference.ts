/** What two sets of reference values accept differently. @packageDocumentation */
import type { Measurements, ReferenceValueEntry, ReferenceValueSet } from './reference-values.ts'

/** One difference; `before` or `after` is absent if it is only in one of them. */
export interface Difference {
  readonly at: string
  readonly before?: string
  readonly after?: string
}

/**
 * Differences between two sets. Entries are the same if they accept the same; those that are left are
 * compared by label, in the order of the sets.
 */
export function compareSets(
  before: ReferenceValueSet,
  after: ReferenceValueSet,
): readonly Difference[] {
  const head = (['name', 'version', 'format'] as const).flatMap((name) =>
    differ(name, before[name], after[name]),
  )
  const gone = before.entries.filter((entry) => !after.entries.some((one) => same(one, entry)))
  const added = after.entries.filter((entry) => !before.entries.some((one) => same(one, entry)))
  const renamed = before.entries.flatMap((entry) => {
    const twin = after.entries.find((one) => same(one, entry))
    return twin === undefined ? [] : differ(`${entry.label}: label`, entry.label, twin.label)
  })
  const rest = [...added]
  const changed = gone.flatMap((entry) => {
    const at = rest.findIndex(({ label }) => label === entry.label)
    const [twin] = at === -1 ? [] : rest.splice(at, 1)
    return compareValues(entry.label, entry.values, twin?.values)
  })
  return [
    ...head,
    ...renamed,
    ...changed,
    ...rest.flatMap(({ label, values }) => compareValues(label, undefined, values)),
  ]
}

function compareValues(
  label: string,
  before: Measurements | undefined,
  after: Measurements | undefined,
): readonly Difference[] {
  const names = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])
  return [...names].sort().flatMap((name) => {
    return differ(`${label}: ${name}`, valueOf(before, name), valueOf(after, name))
  })
}

function differ(
  at: string,
  before: string | undefined,
  after: string | undefined,
): readonly Difference[] {
  if (before === after) return []
  return [{ at, ...(before !== undefined && { before }), ...(after !== undefined && { after }) }]
}

function same({ values: a }: ReferenceValueEntry, { values: b }: ReferenceValueEntry): boolean {
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => valueOf(a, name) === valueOf(b, name))
  )
}

function valueOf(values: Measurements | undefined, name: string): string | undefined {
  return values !== undefined && Object.hasOwn(values, name) ? values[name] : undefined
}
