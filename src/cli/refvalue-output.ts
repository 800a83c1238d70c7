/** How sets of reference values are shown, and written once somebody has seen them. @packageDocumentation */
import type { ReferenceValueSet } from '../core/reference-values/reference-values.ts'
import { referenceValuesDigest } from '../core/reference-values/reference-values.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import type { CliContext } from './context.ts'
import { withLock } from './file-lock.ts'
import { clean, jsonText, table } from './output.ts'
import { createFile, replaceFile } from './output-file.ts'

export interface WriteFlags {
  readonly out?: string
  readonly yes?: boolean
  readonly json?: boolean
}

const SCHEMA = '../schemas/reference-values.schema.json'

/** The set as a table: each entry, each measurement. */
export async function renderSet(set: ReferenceValueSet): Promise<string> {
  const digest = await referenceValuesDigest(set, createCrypto())
  const head = `${set.name} ${set.version} (${set.format}): ${countOf(set)}\n${digest}\n`
  const entries = set.entries.map(({ label, values }) => {
    const rows = Object.entries(values).map(([name, value]) => [`  ${name}`, value])
    return `\n${clean(label)}\n${table(rows)}`
  })
  return head + entries.join('')
}

/** The set as JSON text that `parseReferenceValues` reads back. */
export function setText(set: ReferenceValueSet): string {
  return jsonText({ $schema: SCHEMA, ...set })
}

/** Where a set goes, and how it is to be confirmed. */
export interface Destination {
  readonly file: string
  readonly yes: boolean
  /**
   * For a file that is there: the set once more, out of what the file holds by then. Somebody else
   * may have added an entry while a person was asked.
   */
  readonly again?: () => Promise<ReferenceValueSet>
}

/**
 * Writes a set, after asking if there is somebody to ask and `--yes` did not say so already.
 *
 * @returns Whether it was written.
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if there is such a file and `again` is absent, if
 *   another holds its lock, or it cannot be written; what `again` throws.
 */
export async function writeSet(
  set: ReferenceValueSet,
  { file, yes, again }: Destination,
  context: CliContext,
): Promise<boolean> {
  const question = `Trust this and write ${file} (${countOf(set)})?`
  if (!yes && (await context.confirm?.(question)) === false) return false
  if (again === undefined) await createFile(file, setText(set), 'out')
  else {
    await withLock(file, 'into', async () => replaceFile(file, setText(await again()), 'into'))
  }
  return true
}

function countOf({ entries }: ReferenceValueSet): string {
  return entries.length === 1 ? '1 entry' : `${entries.length} entries`
}
