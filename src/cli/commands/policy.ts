/** `vouchsafe policy`: write policies without guessing. @packageDocumentation */
import { join } from 'node:path'
import type { Command } from 'commander'
import { type Policy, policyDigest, REFERENCE_VALUES } from '../../core/appraisal/policy.ts'
import { lintPolicy } from '../../core/appraisal/policy-lint.ts'
import { policySchema, referenceValuesSchema } from '../../core/appraisal/policy-schema.ts'
import type { Json } from '../../core/encoding/canonical-json.ts'
import { EXIT_CODES } from '../../core/errors.ts'
import type { FormatId } from '../../core/evidence/common/format-ids.ts'
import { FORMATS, formatOf } from '../../core/evidence/formats.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { loadPolicy, policyFile } from '../../drivers/policies/directory.ts'
import type { CliContext } from '../context.ts'
import { readInput } from '../inputs.ts'
import { clean, jsonText, paint } from '../output.ts'
import { replaceFile } from '../output-file.ts'
import { type CasesRun, runCases } from '../policy-cases.ts'
import { usage } from '../usage.ts'

export function register(program: Command, context: CliContext): void {
  const policy = program.command('policy').description('check, explain and describe policies')
  policy
    .command('check')
    .description('find everything that is wrong with policies, by line and column')
    .argument('<policy...>', 'files, or names of policies that ship')
    .option('--json', 'print JSON')
    .action(async (files: readonly string[], options: { readonly json?: boolean }) => {
      await check(files, options.json === true, context)
    })
  policy
    .command('explain')
    .description('say in words what a policy asks, and what it does not')
    .argument('<policy>', 'a file, or the name of one that ships')
    .option('--format <format>', 'which member of a family, such as authentic')
    .action(async (name: string, options: { readonly format?: string }) => {
      await explain(name, options.format, context)
    })
  policy
    .command('schema')
    .description('print the JSON Schema of policies for a format, or of reference-values')
    .argument('[format]', [...Object.keys(FORMATS), 'reference-values'].join(', '))
    .option('--out <directory>', 'write every schema into a directory instead')
    .action(async (format: string | undefined, options: { readonly out?: string }) => {
      await schema(format, options.out, context)
    })
}

interface Checked {
  readonly file: string
  readonly policy: { readonly id: string; readonly digest: string } | null
  readonly cases: CasesRun | null
  readonly problems: readonly {
    readonly line: number
    readonly column: number
    readonly at: string
    readonly detail: string
  }[]
}

async function check(names: readonly string[], json: boolean, context: CliContext): Promise<void> {
  const results: Checked[] = []
  for (const name of names) results.push(await checkOne(name, context))
  const isWrong = ({ problems, cases }: Checked): boolean =>
    problems.length > 0 || (cases !== null && cases.failed.length > 0)
  if (results.some(isWrong)) context.exit(EXIT_CODES.misconfigured)
  if (json) {
    context.out(jsonText(results))
    return
  }
  for (const { file, policy, cases, problems } of results) {
    if (policy) context.out(`${file}: ${paint('ok', 'green', context.color)} ${policy.digest}\n`)
    if (cases) context.out(renderCases(cases))
    for (const { line, column, at, detail } of problems) {
      context.out(`${file}:${line}:${column}: ${clean(at)}: ${clean(detail)}\n`)
    }
  }
}

async function checkOne(name: string, context: CliContext): Promise<Checked> {
  const file = await policyFile(name)
  const text = new TextDecoder('utf-8').decode(await readInput(file, context))
  const { policy, diagnostics } = lintPolicy(text)
  if (policy === undefined) return { file, policy: null, cases: null, problems: diagnostics }
  const digest = await policyDigest(policy, createCrypto())
  const cases = await runCases(file, policy, context)
  return { file, policy: { id: policy.id, digest }, cases, problems: [] }
}

function renderCases({ file, passed, minted, failed }: CasesRun): string {
  const rest = minted === 0 ? '' : `, ${minted} not run here: they need minted or shared evidence`
  return [
    `${file}: ${passed} passed, ${failed.length} failed${rest}\n`,
    ...failed.map(({ name, difference }) => `${file}: ${clean(name)}: ${clean(difference)}\n`),
  ].join('')
}

async function explain(
  name: string,
  format: string | undefined,
  context: CliContext,
): Promise<void> {
  const family = format === undefined ? {} : { format: formatOf(format, 'cli.format').id }
  const policy = await loadPolicy(name, { ...family, production: false })
  const digest = await policyDigest(policy, createCrypto())
  context.out(`${policy.id} (${policy.format}): ${policy.description}\n${digest}\n\n`)
  context.out('Always: signature, chain to a pinned root, revocation, and validity dates.\n')
  context.out('By the caller: freshness (nonce) and key binding (report data).\n\n')
  for (const { field, doc, answer } of explainFields(policy)) {
    context.out(`${paint(field, 'bold', context.color)}: ${answer}\n    ${doc}\n`)
  }
}

function explainFields(
  policy: Policy,
): readonly { readonly field: string; readonly doc: string; readonly answer: string }[] {
  const fields = { referenceValues: REFERENCE_VALUES, ...formatOf(policy.format).policyFields }
  return Object.entries(fields).map(([field, { doc, unwaivable }]) => {
    const asked = field === 'referenceValues' ? policy.referenceValues : policy.fields[field]
    const never = unwaivable ? ' (can never be waived)' : ''
    const answer =
      asked !== undefined && 'waive' in asked
        ? `not asked: ${asked.waive}`
        : `must be ${JSON.stringify(asked?.require)}${never}`
    return { field, doc, answer }
  })
}

async function schema(
  name: string | undefined,
  out: string | undefined,
  context: CliContext,
): Promise<void> {
  if (out !== undefined) {
    for (const [file, value] of allSchemas()) {
      await replaceFile(join(out, file), jsonText(value), 'out')
    }
    return
  }
  if (name === undefined) {
    throw usage('format', `name one of ${[...Object.keys(FORMATS), 'reference-values'].join(', ')}`)
  }
  const value = name === 'reference-values' ? referenceValuesSchema() : policySchema(formatOf(name))
  context.out(jsonText(value))
}

/** Every published schema by file name. */
export function allSchemas(): readonly (readonly [string, Json])[] {
  const policies = (Object.keys(FORMATS) as readonly FormatId[]).map(
    (id) => [`policy-${id}.schema.json`, policySchema(formatOf(id))] as const,
  )
  return [...policies, ['reference-values.schema.json', referenceValuesSchema()]]
}
