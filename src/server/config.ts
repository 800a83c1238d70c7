/**
 * Configuration from one JSON file: closed schemas, every mistake at once, each with its line and
 * column. An unknown key is a mistake: it is a setting that somebody believes is in force.
 *
 * @packageDocumentation
 */
import type { Static, TObject } from 'typebox'
import { Settings } from 'typebox/system'
import { Value } from 'typebox/value'
import type { Json } from '../core/encoding/canonical-json.ts'
import {
  type JsonSource,
  type Position,
  parseJsonSource,
  pointerStep,
} from '../core/encoding/json-source.ts'
import { VouchsafeError } from '../core/errors.ts'

/** Closed: for every object of a configuration schema. */
export const CLOSED = { additionalProperties: false } as const

/** One mistake, and where it stands. */
interface ConfigProblem extends Position {
  /** Dotted: `listen.port`. */
  readonly at: string
  /** What was found and what would be accepted. */
  readonly detail: string
}

/** The default of TypeBox is 8, and the ninth mistake would cost another round. */
const MAX_ERRORS = 200

/**
 * Reads a configuration; what is left out has the default that its schema gives.
 *
 * @param schema - Closed objects all the way down; `default` for whatever may be left out.
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID`, `at` the first mistake, with one line of
 *   text per mistake: `FILE:LINE:COLUMN KEY: what is wrong`.
 */
export function readConfig<T extends TObject>(
  schema: T,
  { file, text }: { readonly file: string; readonly text: string },
): Static<T> {
  const source = parseJsonSource(text, { code: 'ERR_CONFIG_INVALID', at: file })
  const value = Value.Default(schema, structuredClone(source.value))
  const problems = problemsOf(schema, value, source)
  const [first] = problems
  if (first === undefined) return value as Static<T>
  const lines = problems.map(
    ({ line, column, at, detail }) => `${file}:${line}:${column} ${at}: ${detail}`,
  )
  throw new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at: first.at }, lines.join('\n'))
}

function problemsOf(schema: TObject, value: unknown, source: JsonSource): readonly ConfigProblem[] {
  const { maxErrors } = Settings.Get()
  Settings.Set({ maxErrors: MAX_ERRORS })
  try {
    const errors = Value.Errors(schema, value) as readonly SchemaError[]
    return errors
      .flatMap((error) => problemsOfError(error, source))
      .sort((a, b) => a.line - b.line || a.column - b.column)
  } finally {
    Settings.Set({ maxErrors })
  }
}

interface SchemaError {
  readonly keyword: string
  readonly instancePath: string
  readonly message: string
  readonly params: {
    readonly additionalProperties?: readonly string[]
    readonly requiredProperties?: readonly string[]
    readonly allowedValues?: readonly unknown[]
  }
}

function problemsOfError(error: SchemaError, source: JsonSource): readonly ConfigProblem[] {
  const { keyword, instancePath: pointer, message, params } = error
  // Says again what `additionalProperties` says.
  if (keyword === 'boolean') return []
  const inside = (name: string) => pointer + pointerStep(name)
  if (keyword === 'additionalProperties') {
    return (params.additionalProperties ?? []).map((name) => ({
      ...place(source.namePosition(inside(name))),
      at: dotted(inside(name)),
      detail: 'no such setting',
    }))
  }
  const where = place(source.valuePosition(pointer))
  if (keyword === 'required') {
    return (params.requiredProperties ?? []).map((name) => ({
      ...where,
      at: dotted(inside(name)),
      detail: 'absent, and it has no default',
    }))
  }
  const allowed = params.allowedValues?.map((one) => JSON.stringify(one)).join(', ')
  const want = allowed === undefined ? message : `must be one of ${allowed}`
  return [
    { ...where, at: dotted(pointer), detail: `found ${shown(source.value, pointer)}; ${want}` },
  ]
}

/** What came from a default has no place in the file; its beginning will do. */
function place(position: Position | undefined): Position {
  return position ?? { line: 1, column: 1 }
}

function dotted(pointer: string): string {
  const steps = pointer.split('/').slice(1)
  return steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~')).join('.') || 'config'
}

/** The value, short. Secrets are in files of their own, so a setting may be shown. */
function shown(root: Json, pointer: string): string {
  let found: unknown = root
  for (const step of pointer.split('/').slice(1)) {
    if (typeof found !== 'object' || found === null) break
    found = (found as Record<string, unknown>)[step.replaceAll('~1', '/').replaceAll('~0', '~')]
  }
  const text = JSON.stringify(found) as string | undefined
  return text === undefined ? 'nothing' : text.length <= 60 ? text : `${text.slice(0, 57)}…`
}
