/** `vouchsafe endorsements`: fetch them, carry them over an air gap, see how current they are. @packageDocumentation */
import type { Command } from 'commander'
import type { CliContext } from '../context.ts'
import { registerBundles } from '../endorsement-bundles.ts'
import { registerFetch } from '../endorsement-fetch.ts'
import { registerStatus } from '../endorsement-status.ts'

/** Adds `endorsements` with `fetch`, `export`, `import` and `status`. */
export function register(program: Command, context: CliContext): void {
  const parent = program
    .command('endorsements')
    .description('fetch vendor endorsements, carry them over an air gap, see how current they are')
  registerFetch(parent, context)
  registerBundles(parent, context)
  registerStatus(parent, context)
}
