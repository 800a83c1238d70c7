/** `vouchsafe inspect`: what evidence says, believing none of it. @packageDocumentation */
import type { Command } from 'commander'
import type { CliContext } from '../context.ts'
import { FORMAT_WORDS, openInput, readInput } from '../inputs.ts'
import { clean, jsonText, paint, table } from '../output.ts'

const WARNING =
  'NOTHING WAS VERIFIED: no signature, no chain, no date. Anyone can write these bytes.'

interface Options {
  readonly format: string
  readonly json?: boolean
}

export function register(program: Command, context: CliContext): void {
  program
    .command('inspect')
    .description('print every field of evidence, in the vendor’s spelling, without verifying it')
    .argument(
      '<evidence>',
      'file with evidence: raw, hex, base64, JSON or a certificate; - for stdin',
    )
    .option('--format <format>', FORMAT_WORDS, 'auto')
    .option('--json', 'print JSON')
    .action(async (file: string, options: Options) => {
      await inspect(file, options, context)
    })
}

async function inspect(file: string, options: Options, context: CliContext): Promise<void> {
  const { format, evidence: bytes } = openInput(await readInput(file, context), options.format)
  const fields = format.describe(format.parse(bytes))
  if (options.json === true) {
    context.out(jsonText({ format: format.id, verified: false, fields }))
    return
  }
  context.out(`${paint(WARNING, 'yellow', context.color)}\n\n`)
  const rows = fields.map(({ name, value }) => [clean(name), clean(value)])
  context.out(table([['format', format.id], ['size', `${bytes.length} bytes`], ...rows]))
  context.out(`\n${paint(WARNING, 'yellow', context.color)}\n`)
}
