/**
 * The whole chain on one machine: a service and an enclave as processes of their own, a real client,
 * four attacks, an audit. The demo reaches all of it as a user would, by command line and HTTP; it
 * shares no code with the roles.
 *
 * @packageDocumentation
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { VouchsafeError } from '../core/errors.ts'
import { loadSimulatedPki } from '../drivers/attester/simulated/store.ts'
import { systemClock } from '../drivers/clock.ts'
import { makeDirectory } from '../drivers/files/make-directory.ts'
import { createHttpClient } from '../drivers/http.ts'
import { askWithWrongEnclave, flipOneBit } from './attacks/evidence.ts'
import { swapKeyset } from './attacks/keyset.ts'
import { dropLeaf } from './attacks/log.ts'
import { auditAll } from './audit.ts'
import { useModel } from './client.ts'
import { bootEnclave } from './enclave.ts'
import { findWeights } from './packages.ts'
import { createProcesses } from './processes.ts'
import { sealModel, startService } from './setup.ts'
import { createStage, type Look, type StageRecord, seconds } from './stage.ts'
import { pathsIn, writeEnclaveConfig, writeServiceConfig } from './state.ts'
import type { World } from './world.ts'

export interface DemoOptions {
  /** Script of the command line. */
  readonly bin: string
  readonly look: Look
  /** Ends the demo early; everything is cleaned up. */
  readonly signal: AbortSignal
  /** Where to leave the state; a temporary directory, removed at the end, without. */
  readonly keep: string | undefined
}

/** How it went. */
export interface DemoSummary extends StageRecord {
  /** Every expectation held, and there were some. */
  readonly ok: boolean
  /** Always: no hardware takes part. */
  readonly simulated: true
  readonly seconds: number
  readonly kept: string | null
}

/**
 * Plays the demo.
 *
 * @throws {@link VouchsafeError} `ERR_DEPENDENCY_MISSING`, `ERR_USAGE_INVALID` for a `keep` that
 *   is not empty, and what keeps a process from starting. Nothing is left running, nor on disk
 *   without `keep`.
 */
export async function runDemo(options: DemoOptions): Promise<DemoSummary> {
  const { look, keep, signal } = options
  const started = performance.now()
  await findWeights()
  const root =
    keep === undefined ? await mkdtemp(join(tmpdir(), 'vouchsafe-demo-')) : await makeKeep(keep)
  const store = await makeStore()
  const stage = createStage(look, () => performance.now())
  const processes = createProcesses(options.bin, signal)
  const http = createHttpClient()
  try {
    const paths = pathsIn(root)
    const pki = await loadSimulatedPki(paths.simulated, systemClock())
    await play({ stage, processes, paths, http, pki, store, signal }, keep !== undefined)
  } finally {
    await processes.close()
    await http.close()
    await rm(store.path, { recursive: true, force: true })
    if (keep === undefined) await rm(root, { recursive: true, force: true })
  }
  const record = stage.record()
  const all = record.acts.flatMap(({ expectations }) => expectations)
  const ok = all.length > 0 && all.every(({ held }) => held)
  const passed = seconds(performance.now() - started)
  return { ok, simulated: true, seconds: passed, kept: keep === undefined ? null : root, ...record }
}

async function play(world: World, keep: boolean): Promise<void> {
  const { stage } = world
  const service = await startService(world)
  const sealed = await sealModel(world, service)
  const enclave = await bootEnclave(world, service, sealed.bytes)
  const parts = { service, sealed, enclave }
  await useModel(world, parts)
  stage.act('Four attacks, each refused for its own reason')
  await flipOneBit(world, service)
  await askWithWrongEnclave(world, service)
  await swapKeyset(world, service)
  await dropLeaf(world, parts)
  await auditAll(world, parts)
  if (keep) await settle(world, service.url)
}

/** The port was picked by the system and the store goes: what is kept has to work without them. */
async function settle({ paths, store }: World, url: string): Promise<void> {
  await writeServiceConfig(paths, Number(new URL(url).port))
  const { inMemory, path } = store
  await writeEnclaveConfig(paths, { service: url, store: dirname(path), inMemory })
}

async function makeKeep(directory: string): Promise<string> {
  const root = resolve(directory)
  await makeDirectory(root, 0o700)
  if ((await readdir(root)).length === 0) return root
  const blame = { code: 'ERR_USAGE_INVALID', at: 'cli.keep' } as const
  throw new VouchsafeError(blame, `${directory} is not empty; give a new directory`)
}

/** Weights belong in memory; where the system has no such place, the demo says so. */
async function makeStore(): Promise<World['store']> {
  const memory = '/dev/shm'
  const there = await stat(memory).then(
    (found) => found.isDirectory(),
    () => false,
  )
  const path = await mkdtemp(join(there ? memory : tmpdir(), 'vouchsafe-demo-'))
  return { path, inMemory: there }
}
