/** How sets of reference values are shown, and written once somebody has seen them. @packageDocumentation */
import { rename, writeFile } from 'node:fs/promises'
import type { ReferenceValueSet } from '../core/reference-values/reference-values.ts'
import { referenceValuesDigest } from '../core/reference-values/reference-values.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import type { CliContext } from './context.ts'
import { usage } from './inputs.ts'
import { clean, jsonText, table } from './output.ts'

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

/**
 * Writes a set, after asking if there is somebody to ask and `--yes` did not say so already.
 *
 * @param replace - Whether the file may be there, because the set was read from it.
 * @returns Whether it was written.
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if there is such a file, or it cannot be written.
 */
export async function writeSet(
  set: ReferenceValueSet,
  { file, replace, yes }: { file: string; replace: boolean; yes: boolean },
  context: CliContext,
): Promise<boolean> {
  const question = `Trust this and write ${file} (${countOf(set)})?`
  if (!yes && (await context.confirm?.(question)) === false) return false
  try {
    if (!replace) await writeFile(file, setText(set), { flag: 'wx' })
    else {
      // In one step: a set that was half written would be none.
      await writeFile(`${file}.tmp`, setText(set))
      await rename(`${file}.tmp`, file)
    }
    return true
  } catch (cause) {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    throw usage('out', exists ? `${file} is there already` : `cannot write ${file}`, cause)
  }
}

function countOf({ entries }: ReferenceValueSet): string {
  return entries.length === 1 ? '1 entry' : `${entries.length} entries`
}
