/** Everything wrong with the text of a policy, by line and column. @packageDocumentation */
import { parseJsonSource } from '../encoding/json-source.ts'
import { VouchsafeError } from '../errors.ts'
import { type Policy, readPolicy } from './policy.ts'

/** One finding; line and column count from 1. */
export interface Diagnostic {
  readonly line: number
  readonly column: number
  /** Dotted name of the member, as errors name it. */
  readonly at: string
  readonly detail: string
}

const BLAME = { code: 'ERR_POLICY_INVALID', at: 'policy' } as const

/**
 * Reads a policy's text.
 *
 * @returns The policy, or every diagnostic in the order of the text. Text that is not JSON, or has a
 *   member twice, gives one, since nothing after it can be placed.
 */
export function lintPolicy(
  text: string,
):
  | { readonly policy: Policy; readonly diagnostics: readonly [] }
  | { readonly policy: undefined; readonly diagnostics: readonly Diagnostic[] } {
  let source: ReturnType<typeof parseJsonSource>
  try {
    source = parseJsonSource(text, BLAME)
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    return { policy: undefined, diagnostics: [fromSyntax(error)] }
  }
  const { policy, problems } = readPolicy(source.value)
  if (policy !== undefined) return { policy, diagnostics: [] }
  const diagnostics = problems.map(({ pointer, at, detail }): Diagnostic => {
    const place = source.namePosition(pointer) ?? source.valuePosition(pointer)
    return { line: place?.line ?? 1, column: place?.column ?? 1, at, detail }
  })
  const inOrder = diagnostics.sort((a, b) => a.line - b.line || a.column - b.column)
  return { policy: undefined, diagnostics: inOrder }
}

/** The parser's words begin with the place: `line 3, column 7: …`. */
function fromSyntax(error: VouchsafeError): Diagnostic {
  const detail = error.message.slice(error.at.length + 2)
  const [, line = '1', column = '1', rest = detail] =
    /^line (\d+), column (\d+): ([^]*)$/.exec(detail) ?? []
  return { line: Number(line), column: Number(column), at: error.at, detail: rest }
}
