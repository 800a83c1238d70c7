/** `vouchsafe proxy`: a loopback endpoint for any OpenAI client. @packageDocumentation */
import type { Command } from 'commander'
import { connect, EnclaveRefusedError, type SecureSession } from '../../client/index.ts'
import { parseJson } from '../../core/encoding/json-source.ts'
import { VouchsafeError } from '../../core/errors.ts'
import { createPlatform } from '../../platform/node.ts'
import { proxyRoutes } from '../../proxy/routes.ts'
import { createApp } from '../../server/app.ts'
import { listen } from '../../server/listen.ts'
import { drain } from '../../server/shutdown.ts'
import type { CliContext } from '../context.ts'
import { readWithin } from '../input-file.ts'
import { untilSignal } from '../signals.ts'

interface ProxyFlags {
  readonly gateway: string
  readonly apiKeyFile: string
  readonly pin: string
  readonly port: string
  readonly verify?: string
  readonly verbose?: boolean
}

const MAX_REQUEST_BYTES = 32 * 1024 * 1024
/** Of a pin or a key. */
const MAX_FILE_BYTES = 1024 * 1024
const DRAIN_MS = 10_000

/** Adds the command. */
export function register(program: Command, context: CliContext): void {
  program
    .command('proxy')
    .description('seal what any OpenAI client on this machine sends, to a verified enclave')
    .requiredOption('--gateway <url>', 'gateway to send ciphertext to')
    .requiredOption('--api-key-file <file>', "file with the gateway's API key")
    .requiredOption('--pin <file>', 'what you trust: policies, log keys (client-pin.json)')
    .option('--port <number>', 'port on 127.0.0.1; 0 picks a free one', '8421')
    .option('--verify <model>', 'verify the enclave of this model before listening')
    .option('--verbose', 'log every request as a JSON line on standard error')
    .action(async (flags: ProxyFlags) => proxy(flags, context))
}

async function proxy(flags: ProxyFlags, context: CliContext): Promise<void> {
  const port = readPort(flags.port)
  const session = await openSession(flags)
  if (flags.verify !== undefined) await verifyNow(session, flags.verify, context)
  const stream = {
    write: (line: string) => {
      context.err(line)
    },
  }
  const app = createApp({ log: flags.verbose === true ? { level: 'info', stream } : false })
  await app.register(proxyRoutes, { session, maxRequestBytes: MAX_REQUEST_BYTES })
  const url = await listen(app, { host: '127.0.0.1', port })
  context.out(
    [
      `vouchsafe proxy is listening on ${url}`,
      `  OpenAI base URL   ${url}/v1   (any API key: it stays on this machine)`,
      `  what was checked  ${url}/verification`,
      '',
    ].join('\n'),
  )
  await untilSignal()
  if (!(await drain(app, DRAIN_MS))) context.exit(1)
}

async function openSession({ gateway, apiKeyFile, pin }: ProxyFlags): Promise<SecureSession> {
  const apiKey = (await readText(apiKeyFile, 'api-key-file')).trim()
  const text = await readText(pin, 'pin')
  const value = parseJson(text, { code: 'ERR_CONFIG_INVALID', at: pin })
  return connect({ gateway, apiKey, pin: value, platform: createPlatform() })
}

/** Shown in full: a refusal says which check, what was wanted and what came. */
async function verifyNow(
  session: SecureSession,
  model: string,
  context: CliContext,
): Promise<void> {
  try {
    const { format, policyId, checks } = await session.verify(model)
    const passed = checks.filter(({ outcome }) => outcome === 'pass').length
    const label = format === 'simulated' ? ' (SIMULATED: proves nothing about hardware)' : ''
    context.out(`${model}: verified${label}, ${passed} checks passed under ${policyId}\n`)
  } catch (error) {
    const checks = error instanceof EnclaveRefusedError ? error.report.checks : []
    for (const { id, expected, actual } of checks.filter(({ outcome }) => outcome === 'fail')) {
      context.err(`fail  ${id}: want ${expected}, got ${actual}\n`)
    }
    throw error
  }
}

function readPort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port
  const blame = { code: 'ERR_USAGE_INVALID', at: 'cli.proxy.port' } as const
  throw new VouchsafeError(blame, `found ${text}, want a number from 0 to 65535`)
}

async function readText(file: string, flag: string): Promise<string> {
  const bytes = await readWithin(file, { flag: `proxy.${flag}`, most: MAX_FILE_BYTES })
  return new TextDecoder().decode(bytes)
}
