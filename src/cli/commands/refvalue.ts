/** `vouchsafe refvalue`: reference values from where they come, looked at before they are trusted. @packageDocumentation */
import type { Command } from 'commander'
import type { CliContext } from '../context.ts'
import { registerAdd } from '../refvalue-add.ts'
import { registerFiles } from '../refvalue-files.ts'
import { registerImport } from '../refvalue-import.ts'

export function register(program: Command, context: CliContext): void {
  const parent = program
    .command('refvalue')
    .description('import, propose, check and compare reference values')
  registerImport(parent, context)
  registerAdd(parent, context)
  registerFiles(parent, context)
}
