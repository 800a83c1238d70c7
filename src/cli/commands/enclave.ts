/** `vouchsafe enclave`: the runtime inside the TEE. @packageDocumentation */
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { parseJson } from '../../core/encoding/json-source.ts'
import { EXIT_CODES, type VouchsafeError } from '../../core/errors.ts'
import type { EnclaveSettings } from '../../enclave/config.ts'
import { createLineJournal } from '../../enclave/journal.ts'
import {
  ENCLAVE_PATHS,
  type Enclave,
  readEnclaveSettings,
  startEnclave,
} from '../../main/enclave.ts'
import type { CliContext } from '../context.ts'
import { readWithin } from '../input-file.ts'
import { renderError } from '../output.ts'
import { untilSignal } from '../signals.ts'

const MAX_CONFIG_BYTES = 1024 * 1024

interface EnclaveFlags {
  readonly config?: string
  readonly verifier?: string
  readonly broker?: string
  readonly gateway?: string
  readonly gatewayTokenFile?: string
  readonly policy?: string
  readonly manifest?: string
  readonly weights?: string
  readonly weightsStore?: string
  readonly allowWeightsOnDisk?: boolean
  readonly model?: string
  readonly documents?: string
  readonly attester?: string
  readonly tpmKey?: string
  readonly tpmCertificates?: string
  readonly simulatedRoot?: string
  readonly listen?: Readonly<{ host: string; port: number }>
  readonly url?: string
}

/** Adds the command. */
export function register(program: Command, context: CliContext): void {
  program
    .command('enclave')
    .description('prove this enclave, obtain its keys, open the weights and serve the model')
    .option('--config <file>', 'settings as JSON; flags come before them')
    .option('--verifier <url>', 'verifier')
    .option('--broker <url>', 'key broker')
    .option('--gateway <url>', 'gateway to register at')
    .option('--gateway-token-file <file>', 'provider token for the gateway')
    .option('--policy <name>', "appraisal policy; the verifier's default without")
    .option('--manifest <file>', 'manifest of the sealed model')
    .option('--weights <directory>', 'its sealed files')
    .option('--weights-store <directory>', 'where to open them; must be in memory (/dev/shm)')
    .option('--allow-weights-on-disk', 'RISK: opened weights may lie on a disk')
    .option('--model <model>', 'demo, or http://127.0.0.1:PORT of an OpenAI-compatible server')
    .option('--documents <directory>', 'what the demo model answers from')
    .option('--attester <kind>', 'configfs-tsm (TDX, SEV-SNP), tpm, or simulated')
    .option('--tpm-key <key>', 'attestation key of the TPM: context file or handle')
    .option('--tpm-certificates <file>', 'its certificate and issuers, PEM')
    .option('--simulated-root <directory>', 'development root of the simulated TEE')
    .option('--listen <address>', 'HOST:PORT; 127.0.0.1:8460 by default', parseListen)
    .option('--url <url>', 'where the gateway reaches this enclave')
    .action(async (flags: EnclaveFlags) => runEnclave(flags, context))
}

async function runEnclave(flags: EnclaveFlags, context: CliContext): Promise<void> {
  const settings = await readSettings(flags)
  const label = settings.attester === 'simulated' ? 'simulated' : ''
  const line = (text: string): void => {
    context.out(`${text}\n`)
  }
  const journal = createLineJournal(line, label)
  const stop = new AbortController()
  const stopped = untilSignal().then(() => {
    stop.abort()
  })
  const { signal } = stop
  const write = (text: string): void => {
    context.err(text)
  }
  const enclave = await startEnclave(settings, { journal, write, signal }).catch((err: unknown) => {
    if (!signal.aborted) throw err
    return undefined
  })
  if (enclave === undefined) {
    journal.step('Stopped before it was ready; nothing is left behind')
    return
  }
  journal.step(`Enclave ready at ${enclave.url}`, { model: enclave.model })
  const lapse = await Promise.race([stopped, enclave.lapsed])
  await end(enclave, lapse ?? undefined, context)
}

/** A lease that ended is a failure of its kind, so that a supervisor knows what to do. */
async function end(
  enclave: Enclave,
  lapse: VouchsafeError | undefined,
  context: CliContext,
): Promise<void> {
  await enclave.close()
  if (lapse === undefined) return
  context.err(renderError(lapse, { json: false, color: context.color }))
  context.exit(EXIT_CODES[lapse.kind])
}

async function readSettings(flags: EnclaveFlags): Promise<EnclaveSettings> {
  const { config, ...given } = flags
  const text = config === undefined ? '{}' : await readText(config)
  const file = config ?? 'command line'
  const blame = { code: 'ERR_CONFIG_INVALID', at: file } as const
  const fromFile = parseJson(text, blame)
  // Untouched, the file's own lines and columns are what an error should name.
  if (Object.keys(given).length === 0) return readEnclaveSettings({ file, text })
  const paths = ENCLAVE_PATHS.flatMap((name) => {
    const path = given[name]
    return path === undefined ? [] : [[name, resolve(path)] as const]
  })
  const merged = { ...(fromFile as object), ...given, ...Object.fromEntries(paths) }
  return readEnclaveSettings({ file, text: JSON.stringify(merged, null, 2) })
}

async function readText(file: string): Promise<string> {
  return new TextDecoder().decode(
    await readWithin(file, { flag: 'config', most: MAX_CONFIG_BYTES }),
  )
}

function parseListen(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) }
  throw new InvalidArgumentError('want HOST:PORT, such as 127.0.0.1:8460 or [::1]:8460.')
}
