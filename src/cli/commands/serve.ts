/** `vouchsafe serve`: verifier, key broker, log and gateway in one process. @packageDocumentation */
import { type Command, InvalidArgumentError } from 'commander'
import { VouchsafeError } from '../../core/errors.ts'
import { checkService } from '../../main/check.ts'
import { developmentConfig, loadConfig, type ServiceSettings } from '../../main/config.ts'
import { dataPaths } from '../../main/data-directory.ts'
import { type Service, startService } from '../../main.ts'
import type { CliContext } from '../context.ts'
import { clean, jsonText } from '../output.ts'
import { untilSignal } from '../signals.ts'

interface ServeFlags {
  readonly config?: string
  readonly dev?: boolean
  readonly data?: string
  readonly port?: number
  readonly check?: boolean
  readonly printConfig?: boolean
}

/** Adds the command. */
export function register(program: Command, context: CliContext): void {
  program
    .command('serve')
    .description('run verifier, key broker, log and gateway together, or those a file names')
    .option('--config <file>', 'configuration, see docs/configuration.md')
    .option('--dev', 'development: loopback, simulated TEEs accepted, tokens made at once')
    .option('--data <directory>', 'where a --dev service keeps its data', '.vouchsafe-dev')
    .option('--port <number>', 'port of a --dev service; 0 picks a free one', parsePort)
    .option('--check', 'check the configuration and what it names, then stop')
    .option('--print-config', 'print the configuration with every default filled in, then stop')
    .action(async (flags: ServeFlags) => serve(flags, context))
}

async function serve(flags: ServeFlags, context: CliContext): Promise<void> {
  const settings = await readSettings(flags)
  if (flags.printConfig === true) {
    context.out(jsonText(settings))
    return
  }
  if (flags.check === true) {
    const notes = await checkService(settings)
    for (const note of notes) context.out(`note: ${clean(note)}\n`)
    context.out('configuration is good\n')
    return
  }
  const service = await startService(settings, {
    write: (line) => {
      context.err(line)
    },
  })
  context.out(banner(settings, service))
  await untilSignal()
  // A second signal finds no listener of ours and ends the process at once.
  if (!(await service.close())) context.exit(1)
}

async function readSettings({ config, dev, data, port }: ServeFlags): Promise<ServiceSettings> {
  const blame = { code: 'ERR_USAGE_INVALID', at: 'cli.serve' } as const
  if (dev === true && config !== undefined) {
    throw new VouchsafeError(blame, 'give --dev or --config, not both')
  }
  if (dev === true) return developmentConfig({ dataDirectory: data ?? '.vouchsafe-dev', port })
  if (config !== undefined) return loadConfig(config)
  const detail = 'give --config FILE, or --dev for a service that works at once'
  throw new VouchsafeError(blame, detail)
}

/** What a person needs to go on; on standard output, beside the log on standard error. */
function banner(settings: ServiceSettings, { url, roles, logKeys }: Service): string {
  const paths = dataPaths(settings.dataDirectory)
  const development = settings.mode === 'development'
  const lines = [
    `vouchsafe is listening on ${url}`,
    `  roles       ${roles.join(', ')}`,
    `  data        ${settings.dataDirectory}`,
    `  log key     ${logKeys[0] ?? ''}`,
    ...(development ? developmentLines(url, paths) : []),
  ]
  return `${lines.join('\n')}\n`
}

function developmentLines(url: string, paths: ReturnType<typeof dataPaths>): readonly string[] {
  return [
    '',
    'DEVELOPMENT: simulated TEEs are accepted. Nothing here proves anything about hardware.',
    `  operator token  ${paths.operatorToken}`,
    `  provider token  ${paths.providerToken}`,
    `  client API key  ${paths.clientKey}`,
    `  client pin      ${paths.clientPin}`,
    '',
    'Once an enclave is registered, give any OpenAI client an endpoint that seals:',
    `  vouchsafe proxy --gateway ${url} \\`,
    `    --api-key-file ${paths.clientKey} --pin ${paths.clientPin}`,
    '',
  ]
}

function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port
  throw new InvalidArgumentError('want a number from 0 to 65535.')
}
