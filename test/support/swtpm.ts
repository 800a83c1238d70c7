/** A TPM 2.0 in software (swtpm), on a loopback port, and tpm2-tools to work it with. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface SoftwareTpm {
  /** For files of the tools; removed at the end. */
  readonly directory: string
  /** What makes tpm2-tools find this TPM. */
  readonly environment: Readonly<Record<string, string>>
  /** Runs one of tpm2-tools in the directory, then unloads what it left in the TPM. */
  tool(name: string, ...args: readonly string[]): void
  /** The same, but leaves sessions and keys where they are. */
  keep(name: string, ...args: readonly string[]): void
  stop(): Promise<void>
}

const START_MS = 20_000

/** Whether both packages are there; says so loudly, once, if not. */
export function hasSwtpm(): boolean {
  const there = ['swtpm', 'swtpm_setup', 'tpm2_quote'].every(
    (name) => !spawnSync(name, ['--version']).error,
  )
  if (!there) {
    console.warn('SKIPPED: no swtpm and tpm2-tools, so nothing is tested against a TPM 2.0 here')
  }
  return there
}

/**
 * Starts a new TPM with state of its own. Stop it whatever happens.
 *
 * @param options - `manufactured`: with EKs and their certificates in it, by a CA made for the purpose
 *   whose certificates are `ca/*.pem` in the directory.
 */
export async function startSwtpm({ manufactured = false } = {}): Promise<SoftwareTpm> {
  const directory = mkdtempSync(join(tmpdir(), 'vouchsafe-swtpm-'))
  const state = join(directory, 'state')
  mkdirSync(state)
  if (manufactured) manufacture(directory, state)
  // The tools look for the control channel one port above.
  const port = await freePair()
  const child = spawn(
    'swtpm',
    [
      ...['socket', '--tpm2', '--tpmstate', `dir=${state}`],
      ...['--server', `type=tcp,port=${port},bindaddr=127.0.0.1,disconnect`],
      ...['--ctrl', `type=tcp,port=${port + 1},bindaddr=127.0.0.1`],
      ...['--flags', 'not-need-init,startup-clear'],
    ],
    { stdio: 'ignore' },
  )
  const stop = async (): Promise<void> => {
    await end(child)
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await untilListening(child, port)
  } catch (error) {
    await stop()
    throw error
  }
  const environment = { TPM2TOOLS_TCTI: `swtpm:host=127.0.0.1,port=${port}` }
  const run = (name: string, args: readonly string[]): void => {
    const env = { ...process.env, ...environment }
    execFileSync(name, args, { cwd: directory, env, stdio: 'pipe', timeout: START_MS })
  }
  return {
    directory,
    environment,
    tool: (name, ...args) => {
      run(name, args)
      // There is no resource manager here, and room for three keys.
      run('tpm2_flushcontext', ['-t'])
    },
    keep: (name, ...args) => {
      run(name, args)
    },
    stop,
  }
}

/** What a maker of TPMs does, by swtpm's own tools. */
function manufacture(directory: string, state: string): void {
  const at = (name: string): string => join(directory, name)
  mkdirSync(at('ca'))
  const ca = [
    ...[`statedir = ${at('ca')}`, `signingkey = ${at('ca/signkey.pem')}`],
    ...[`issuercert = ${at('ca/issuer.pem')}`, `certserial = ${at('ca/serial')}`],
  ]
  writeFileSync(at('localca.conf'), `${ca.join('\n')}\n`)
  writeFileSync(at('localca.options'), '--platform-manufacturer Test --platform-model Test\n')
  const setup = [
    'create_certs_tool=/usr/bin/swtpm_localca',
    `create_certs_tool_config=${at('localca.conf')}`,
    `create_certs_tool_options=${at('localca.options')}`,
  ]
  writeFileSync(at('setup.conf'), `${setup.join('\n')}\n`)
  const args = ['--tpm2', '--tpm-state', state, '--create-ek-cert', '--config', at('setup.conf')]
  execFileSync('swtpm_setup', args, { stdio: 'pipe', timeout: 4 * START_MS })
}

/** Two free ports in a row, by asking the system for one and trying the next. */
async function freePair(): Promise<number> {
  for (let i = 0; i < 50; i++) {
    const port = await tryListen(0)
    if (port !== undefined && (await tryListen(port + 1)) !== undefined) return port
  }
  throw new Error('no two free ports in a row')
}

async function tryListen(port: number): Promise<number | undefined> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : undefined
  } catch {
    return undefined
  } finally {
    server.close()
  }
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  for (const start = Date.now(); Date.now() - start < START_MS; ) {
    if (child.exitCode !== null) throw new Error(`swtpm ended with ${child.exitCode}`)
    // The control channel: a connection to the TPM's own would be its one client.
    const socket = connect(port + 1, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return
    } catch {
      await sleep(50)
    } finally {
      socket.destroy()
    }
  }
  throw new Error('swtpm did not start in time')
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}
