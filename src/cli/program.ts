/**
 * The command line. A command is one file in `commands/` and one line in the table below.
 *
 * @packageDocumentation
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { EXIT_CODES, VouchsafeError } from '../core/errors.ts'
import type { CliContext, CommandModule } from './context.ts'
import { renderError } from './output.ts'

/** Loaded when it is asked for: `vouchsafe verify` need not wait for a web server to be read. */
const COMMANDS: Readonly<Record<string, () => Promise<CommandModule>>> = {
  demo: async () => import('./commands/demo.ts'),
  verify: async () => import('./commands/verify.ts'),
  inspect: async () => import('./commands/inspect.ts'),
  tpm: async () => import('./commands/tpm.ts'),
  policy: async () => import('./commands/policy.ts'),
  refvalue: async () => import('./commands/refvalue.ts'),
  endorsements: async () => import('./commands/endorsements.ts'),
  audit: async () => import('./commands/audit.ts'),
  serve: async () => import('./commands/serve.ts'),
  proxy: async () => import('./commands/proxy.ts'),
  enclave: async () => import('./commands/enclave.ts'),
  seal: async () => import('./commands/seal.ts'),
  open: async () => import('./commands/open.ts'),
  key: async () => import('./commands/key.ts'),
  tenant: async () => import('./commands/tenant.ts'),
}

/** Anything untyped: a bug. Typed errors exit by their kind (`STYLE.md` §5). */
const EXIT_BUG = 1
/** Of vendors with a service that is asked: Arm's and Hygon's endorsements are files. */
const ASKED_ONLINE = /^(?:dcap|snp|nvidia)\./

/**
 * Runs one command line to its end.
 *
 * @param argv - Without the program itself.
 * @returns Nothing: the exit code goes to `context.exit`, and every error is written, not thrown.
 */
export async function run(argv: readonly string[], context: CliContext): Promise<void> {
  try {
    const program = await createProgram(argv, context)
    await program.parseAsync([...argv], { from: 'user' })
  } catch (error) {
    // Help and version end the parser by throwing; so does a mistake, which it has not written.
    if (error instanceof CommanderError && error.exitCode === 0) return
    report(error instanceof CommanderError ? usageError(error) : error, argv, context)
  }
}

async function createProgram(argv: readonly string[], context: CliContext): Promise<Command> {
  const program = new Command('vouchsafe')
    .description('Verify enclaves, release keys to them alone, and prove every decision.')
    .option('--debug', 'print the stack of an error')
    .showHelpAfterError(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        context.out(text)
      },
      // Errors are rendered in one place, from what is thrown.
      writeErr: () => undefined,
    })
  const wanted = argv.find((word) => Object.hasOwn(COMMANDS, word))
  // Behind `refvalue`, the version is that of a set.
  if (wanted !== 'refvalue') {
    program.version(await packageVersion(), '--version', 'print the version')
  }
  const load = wanted === undefined ? Object.values(COMMANDS) : [COMMANDS[wanted]]
  for (const module of load) (await module?.())?.register(program, context)
  inherit(program)
  if (argv.length === 0) {
    program.outputHelp()
    program.action(() => undefined)
  }
  return program
}

/** Subcommands made by `addCommand` do not inherit settings by themselves. */
function inherit(parent: Command): void {
  for (const child of parent.commands) {
    child.copyInheritedSettings(parent)
    inherit(child)
  }
}

function usageError(error: CommanderError): VouchsafeError {
  const what = error.message.replace(/^error: /, '').replaceAll('\n', ' ')
  const detail = `${what}; see vouchsafe --help, or --help after a command`
  return new VouchsafeError({ code: 'ERR_USAGE_INVALID', at: 'cli' }, detail, { cause: error })
}

function report(error: unknown, argv: readonly string[], context: CliContext): void {
  const typed = error instanceof VouchsafeError
  const json = argv.includes('--json')
  if (typed && json) context.out(renderError(error, { json, color: false }))
  else if (typed) {
    context.err(`${renderError(error, { json, color: context.color })}${nextStep(error, argv)}`)
  }
  if (!typed || argv.includes('--debug')) {
    context.err(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  }
  context.exit(typed ? EXIT_CODES[error.kind] : EXIT_BUG)
}

/** A way out that the core, which wrote the error, does not know of. */
function nextStep({ code, at }: VouchsafeError, argv: readonly string[]): string {
  if (code !== 'ERR_ENDORSEMENT_UNAVAILABLE' || argv.includes('--online')) return ''
  if (!ASKED_ONLINE.test(at)) return ''
  if (argv[0] !== 'verify' && argv[0] !== 'refvalue') return ''
  return '  --online asks vendors for it and keeps it; --endorsements takes it from a file\n'
}

async function packageVersion(): Promise<string> {
  const file = join(import.meta.dirname, '../../package.json')
  const { version } = JSON.parse(await readFile(file, 'utf8')) as { readonly version: string }
  return version
}
