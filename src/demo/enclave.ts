/** Act 3: the enclave proves itself, gets the key, opens the weights and registers. @packageDocumentation */
import { basename } from 'node:path'
import type { Running } from './processes.ts'
import type { Service } from './setup.ts'
import type { Stage } from './stage.ts'
import { POLICY, writeEnclaveConfig } from './state.ts'
import type { World } from './world.ts'

/** A running enclave. */
export interface Enclave {
  readonly running: Running
  /** Indexes of its leaves in the log. */
  readonly log: { readonly appraisal: number; readonly release: number; readonly keyset: number }
}

/** What it says in its journal, in order, and the facts we look at. */
const STEPS = {
  proved: /The hardware vouches for the keyset.*evidence_bytes=(\d+)/,
  affirmed:
    /The verifier affirms this enclave {2}policy=(\S+) {2}checks_passed=(\d+) {2}log_index=(\d+)/,
  released: /The broker released a key.* {2}key=(\S+).*lease_expires=(\S+) {2}log_index=(\d+)/,
  opened:
    /Weights opened into memory; every file has the digest.*files=(\d+) {2}bytes=(\d+) {2}path=(\S+)/,
  registered: /The gateway knows this enclave.*log_index=(\d+)/,
} as const

/** Act 3. @param bytes - Of the weights, in clear. */
export async function bootEnclave(world: World, service: Service, bytes: number): Promise<Enclave> {
  const { stage, processes, paths, store } = world
  stage.act('Boot the enclave: attest, get the key, open the weights, register')
  await writeEnclaveConfig(paths, {
    service: service.url,
    store: store.path,
    inMemory: store.inMemory,
  })
  stage.command(`enclave --config ${basename(paths.enclave)}`)
  const work = processes.start(['enclave', '--config', paths.enclave], /Enclave ready at (\S+)/)
  const running = await stage.during('booting (SIMULATED TEE)', work)
  const lines = running
    .output()
    .split('\n')
    .filter((line) => line !== '')
  stage.expect({
    what: 'every line of the enclave is labelled',
    held: lines.length > 0 && lines.every((line) => line.startsWith('[simulated] ')),
    found: '[simulated]',
  })
  const facts = (step: keyof typeof STEPS): readonly string[] =>
    STEPS[step].exec(running.output())?.slice(1) ?? []
  const { appraisal, release } = reportProof(stage, facts)
  reportModel(world, bytes, facts)
  const [keyset = ''] = facts('registered')
  stage.expect({
    what: 'the gateway knows it, and its keyset is in the log',
    held: Number(keyset) > release,
    found: `log leaf ${keyset}, ${running.ready[1] ?? ''}`,
  })
  return { running, log: { appraisal, release, keyset: Number(keyset) } }
}

type Facts = (step: keyof typeof STEPS) => readonly string[]

function reportProof(
  stage: Stage,
  facts: Facts,
): { readonly appraisal: number; readonly release: number } {
  const [size = ''] = facts('proved')
  stage.expect({
    what: 'evidence over its fresh keys and the challenge, in the genuine TDX format',
    held: Number(size) > 1000,
    found: `${size} bytes, SIMULATED`,
  })
  const [policy = '', passed = '', appraisal = ''] = facts('affirmed')
  stage.expect({
    what: 'the verifier affirms it',
    held: policy === POLICY && Number(passed) > 30,
    found: `${passed} checks passed under ${policy}; log leaf ${appraisal}`,
  })
  const [key = '', lease = '', release = ''] = facts('released')
  stage.expect({
    what: 'the broker released the key, after the log had it',
    held: key !== '' && Number(release) > Number(appraisal) && Date.parse(lease) > 0,
    found: `leased until ${lease.slice(11, 19)} UTC; log leaf ${release}`,
  })
  return { appraisal: Number(appraisal), release: Number(release) }
}

function reportModel({ stage, store }: World, bytes: number, facts: Facts): void {
  const [files = '', opened = '', path = ''] = facts('opened')
  stage.expect({
    what: `weights opened ${store.inMemory ? 'into memory' : 'ON DISK (no /dev/shm here)'}, each with its digest`,
    held: Number(opened) === bytes && path.startsWith(store.path),
    found: `${files} files, ${(Number(opened) / 1e6).toFixed(1)} MB`,
  })
}
