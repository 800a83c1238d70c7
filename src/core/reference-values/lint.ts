/** Everything wrong with the text of a set of reference values, by line and column. @packageDocumentation */

import type { ValueType } from '../appraisal/policy-field.ts'
import type { Diagnostic } from '../appraisal/policy-lint.ts'
import type { Json } from '../encoding/canonical-json.ts'
import { type JsonSource, parseJsonSource, pointerStep } from '../encoding/json-source.ts'
import { VouchsafeError } from '../errors.ts'
import { unknownMeasurements } from './propose.ts'
import {
  parseReferenceValues,
  REFERENCE_VALUE_TYPES,
  type ReferenceValueSet,
} from './reference-values.ts'

/** A set with its warnings, or at least one problem. */
export type LintedSet =
  | { readonly set: ReferenceValueSet; readonly diagnostics: readonly Diagnostic[] }
  | { readonly set: undefined; readonly diagnostics: readonly Diagnostic[] }

type Members = Readonly<Record<string, Json | undefined>>

/** A problem and where: RFC 6901, into the text. */
interface Problem {
  readonly pointer: string
  readonly detail: string
}

const BLAME = { code: 'ERR_REFERENCE_VALUES_INVALID', at: 'reference_values' } as const

/**
 * Reads the text of a set.
 *
 * @returns The set, with a diagnostic for each measurement that evidence of its format never has; or
 *   every problem in the order of the text. Text that is not JSON gives one.
 */
export function lintReferenceValues(text: string): LintedSet {
  let source: JsonSource
  try {
    source = parseJsonSource(text, BLAME)
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    return { set: undefined, diagnostics: [fromSyntax(error)] }
  }
  const problems = problemsOf(source.value)
  if (problems.length > 0) return { set: undefined, diagnostics: place(problems, source) }
  try {
    const set = parseReferenceValues(source.value)
    return { set, diagnostics: place(strangers(set), source) }
  } catch (error) {
    // What no single member is to blame for: an entry that occurs twice.
    if (!(error instanceof VouchsafeError)) throw error
    const problem = { pointer: '/entries', detail: detailOf(error) }
    return { set: undefined, diagnostics: place([problem], source) }
  }
}

function problemsOf(value: Json): readonly Problem[] {
  if (!isObject(value)) return [{ pointer: '', detail: 'want one set of reference values' }]
  const { head, entry } = REFERENCE_VALUE_TYPES
  const { $schema, entries, ...rest } = value
  const known = Object.entries(head).flatMap(([name, type]) =>
    check(type, rest[name], pointerStep(name)),
  )
  const unknown = Object.keys(rest).filter((name) => !Object.hasOwn(head, name))
  return [
    ...known,
    ...unknown.map((name) => ({ pointer: pointerStep(name), detail: 'unknown member' })),
    ...($schema === undefined || typeof $schema === 'string'
      ? []
      : [{ pointer: '/$schema', detail: 'want an address' }]),
    ...(Array.isArray(entries) && entries.length > 0
      ? (entries as readonly Json[]).flatMap((item, i) => entryProblems(item, i, entry))
      : [{ pointer: '/entries', detail: 'want a list of at least 1' }]),
  ]
}

function entryProblems(
  value: Json,
  index: number,
  types: typeof REFERENCE_VALUE_TYPES.entry,
): readonly Problem[] {
  const pointer = `/entries/${index}`
  if (!isObject(value)) return [{ pointer, detail: 'want an object with label, values' }]
  const { label, values, ...rest } = value
  const several = isObject(values) && Object.keys(values).length > 0
  return [
    ...check(types.label, label, `${pointer}/label`),
    // One at a time, so that each has its own place.
    ...(several
      ? Object.entries(values).flatMap(([name, measured]) =>
          check(types.values, { [name]: measured }, `${pointer}/values${pointerStep(name)}`),
        )
      : check(types.values, values, `${pointer}/values`)),
    ...Object.keys(rest).map((name) => ({
      pointer: pointer + pointerStep(name),
      detail: 'unknown member',
    })),
  ]
}

function check(type: ValueType<unknown>, value: unknown, pointer: string): readonly Problem[] {
  try {
    if (value === undefined) return [{ pointer, detail: 'absent' }]
    type.parse(value, BLAME)
    return []
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    return [{ pointer, detail: detailOf(error) }]
  }
}

function strangers({ format, entries }: ReferenceValueSet): readonly Problem[] {
  return entries.flatMap(({ values }, i) =>
    unknownMeasurements(format, values).map((name) => ({
      pointer: `/entries/${i}/values${pointerStep(name)}`,
      detail: `no ${format} evidence has this measurement, so the entry never matches`,
    })),
  )
}

function place(problems: readonly Problem[], source: JsonSource): readonly Diagnostic[] {
  return problems
    .map(({ pointer, detail }): Diagnostic => {
      const { line, column } = positionOf(pointer, source)
      const at = `${BLAME.at}${pointer.replaceAll('/', '.')}`
      return { line, column, at, detail }
    })
    .sort((a, b) => a.line - b.line || a.column - b.column)
}

/** Of the nearest thing there is, for one that is absent. */
function positionOf(
  pointer: string,
  source: JsonSource,
): { readonly line: number; readonly column: number } {
  const found = source.namePosition(pointer) ?? source.valuePosition(pointer)
  if (found !== undefined) return found
  if (pointer === '') return { line: 1, column: 1 }
  return positionOf(pointer.slice(0, pointer.lastIndexOf('/')), source)
}

/** The parser's words begin with the place: `line 3, column 7: …`. */
function fromSyntax(error: VouchsafeError): Diagnostic {
  const detail = detailOf(error)
  const [, line = '1', column = '1', rest = detail] =
    /^line (\d+), column (\d+): ([^]*)$/.exec(detail) ?? []
  return { line: Number(line), column: Number(column), at: error.at, detail: rest }
}

function detailOf(error: VouchsafeError): string {
  return error.message.slice(error.at.length + 2)
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
