/** `vouchsafe refvalue show`, `check` and `diff`: sets that are files. @packageDocumentation */
import type { Command } from 'commander'
import { EXIT_CODES } from '../core/errors.ts'
import { compareSets, type Difference } from '../core/reference-values/difference.ts'
import { lintReferenceValues } from '../core/reference-values/lint.ts'
import { referenceValuesDigest } from '../core/reference-values/reference-values.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { loadReferenceValues } from '../drivers/policies/directory.ts'
import type { CliContext } from './context.ts'
import { readInput } from './inputs.ts'
import { clean, jsonText, paint } from './output.ts'
import { renderSet } from './refvalue-output.ts'

interface JsonFlag {
  readonly json?: boolean
}

/** Adds the commands. */
export function registerFiles(parent: Command, context: CliContext): void {
  parent
    .command('show')
    .description('what a set accepts')
    .argument('<file>', 'a set')
    .option('--json', 'print JSON')
    .action(async (file: string, flags: JsonFlag) => show(file, flags, context))
  parent
    .command('check')
    .description('find everything that is wrong with sets, by line and column')
    .argument('<file...>', 'sets; - for stdin')
    .option('--json', 'print JSON')
    .action(async (files: readonly string[], flags: JsonFlag) => check(files, flags, context))
  parent
    .command('diff')
    .description('what two sets accept differently; exit 10 if they do')
    .argument('<before>', 'a set')
    .argument('<after>', 'a set')
    .option('--json', 'print JSON')
    .action(async (before: string, after: string, flags: JsonFlag) =>
      diff([before, after], flags, context),
    )
}

async function show(file: string, { json }: JsonFlag, context: CliContext): Promise<void> {
  const [set] = await loadReferenceValues([file])
  if (set === undefined) return
  if (json === true) {
    context.out(jsonText({ ...set, digest: await referenceValuesDigest(set, createCrypto()) }))
    return
  }
  context.out(await renderSet(set))
}

async function check(
  files: readonly string[],
  { json }: JsonFlag,
  context: CliContext,
): Promise<void> {
  const results = []
  for (const file of files) {
    const text = new TextDecoder().decode(await readInput(file, context))
    const { set, diagnostics } = lintReferenceValues(text)
    const digest = set === undefined ? null : await referenceValuesDigest(set, createCrypto())
    const head = set === undefined ? null : { name: set.name, version: set.version, digest }
    results.push({ file, set: head, problems: diagnostics })
  }
  if (results.some(({ problems }) => problems.length > 0)) context.exit(EXIT_CODES.misconfigured)
  if (json === true) {
    context.out(jsonText(results))
    return
  }
  for (const { file, set, problems } of results) {
    if (problems.length === 0) {
      context.out(`${file}: ${paint('ok', 'green', context.color)} ${set?.digest ?? ''}\n`)
    }
    for (const { line, column, at, detail } of problems) {
      context.out(`${file}:${line}:${column}: ${clean(at)}: ${clean(detail)}\n`)
    }
  }
}

async function diff(
  files: readonly [string, string],
  { json }: JsonFlag,
  context: CliContext,
): Promise<void> {
  const [before, after] = await loadReferenceValues(files)
  if (before === undefined || after === undefined) return
  const differences = compareSets(before, after)
  if (differences.length > 0) context.exit(EXIT_CODES.denied)
  if (json === true) context.out(jsonText({ differences }))
  else if (differences.length === 0) context.out('the same\n')
  else context.out(differences.map((one) => differenceText(one, context.color)).join(''))
}

function differenceText({ at, before, after }: Difference, color: boolean): string {
  const line = (sign: string, value: string | undefined): string =>
    value === undefined
      ? ''
      : `  ${paint(`${sign} ${clean(value)}`, sign === '-' ? 'red' : 'green', color)}\n`
  return `${clean(at)}\n${line('-', before)}${line('+', after)}`
}
