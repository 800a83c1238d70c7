/**
 * The demo's files: the policy, the reference values, the configurations and the pin. They are what
 * a person would write; `--keep` leaves them.
 *
 * @packageDocumentation
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../core/bytes/hex.ts'
import { parseTdxQuote } from '../core/evidence/tdx/report.ts'
import { createSimulatedAttester } from '../drivers/attester/simulated/attester.ts'
import type { IntelPki } from '../drivers/attester/simulated/pki.ts'
import { policyFile } from '../drivers/policies/directory.ts'

/** The model's name, and the policy's. */
export const MODEL = 'demo'
export const POLICY = 'demo-strict'
export const REFERENCE_VALUES = 'demo-enclave'
export const KEY = 'kbs:///demo/models/embeddings'

/** Where everything lies. */
export type Paths = ReturnType<typeof pathsIn>

export function pathsIn(root: string) {
  const data = join(root, 'service')
  return {
    root,
    data,
    config: join(root, 'vouchsafe.json'),
    policies: join(root, 'policies'),
    policy: join(root, 'policies', `${POLICY}.json`),
    referenceValues: join(root, 'reference-values'),
    referenceSet: join(root, 'reference-values', `${REFERENCE_VALUES}.json`),
    releasePolicy: join(root, 'release-policy.json'),
    sealed: join(root, 'sealed'),
    manifest: join(root, 'sealed', 'manifest.json'),
    enclave: join(root, 'enclave.json'),
    pin: join(root, 'client-pin.json'),
    seen: join(root, 'seen-checkpoint.json'),
    bundle: join(root, 'release.bundle.json'),
    // What the service makes in its data directory: docs/configuration.md.
    simulated: join(data, 'simulated'),
    servicePin: join(data, 'client-pin.json'),
    operatorToken: join(data, 'tokens', 'operator'),
    providerToken: join(data, 'tokens', 'provider'),
    clientKey: join(data, 'tokens', 'client'),
    logKey: join(data, 'keys', 'log.key'),
    log: join(data, 'log'),
  } as const
}

export type ReferenceSet = Awaited<ReturnType<typeof measureEnclave>>

/** One quote of the simulated TD says what it measures; for real ones, the image says it before. */
export async function measureEnclave(pki: IntelPki) {
  const { evidence } = await createSimulatedAttester(pki).attest(new Uint8Array(64))
  const { mrTd, rtmrs } = parseTdxQuote(evidence).report
  const registers = rtmrs.map((value, i) => [`rtmr${i}`, toHex(value)])
  const values = { mrtd: toHex(mrTd), ...Object.fromEntries(registers) } as Readonly<
    Record<'mrtd' | 'rtmr0' | 'rtmr1' | 'rtmr2' | 'rtmr3', string>
  >
  return {
    name: REFERENCE_VALUES,
    version: '1',
    format: 'simulated',
    entries: [{ label: 'simulated TD of this demo', values }],
  } as const
}

/** `tdx-strict` as it ships, about the simulated TEE and with reference values of this demo. */
async function strictPolicy(): Promise<object> {
  const shipped = JSON.parse(await readFile(await policyFile('tdx-strict'), 'utf8')) as object
  return {
    ...shipped,
    $schema: undefined,
    id: POLICY,
    format: 'simulated',
    description: 'tdx-strict for the simulated TEE of the demo. Proves nothing about hardware.',
    referenceValues: { require: REFERENCE_VALUES },
    'tcb.evaluationDataNumber': { waive: 'a simulated platform has no recoveries' },
  }
}

/** The key leaves the broker for what this policy calls affirming, and for nothing else. */
export const RELEASE_POLICY = {
  version: '1.0.0',
  anyOf: [
    {
      authority: 'urn:vouchsafe:verifier',
      allOf: [
        { claim: String.raw`submods.cpu0.ear\.status`, equals: 'affirming' },
        { claim: String.raw`submods.cpu0.ear\.appraisal-policy-id`, equals: POLICY },
      ],
    },
  ],
} as const

/** What the verifier and the broker go by. */
export async function writePolicies(paths: Paths, referenceSet: ReferenceSet): Promise<void> {
  await mkdir(paths.policies)
  await mkdir(paths.referenceValues)
  await writeJson(paths.policy, await strictPolicy())
  await writeJson(paths.referenceSet, referenceSet)
  await writeJson(paths.releasePolicy, RELEASE_POLICY)
}

/** @param port - 0 picks a free one. */
export async function writeServiceConfig(paths: Paths, port: number): Promise<void> {
  await writeJson(paths.config, {
    mode: 'development',
    listen: { host: '127.0.0.1', port },
    dataDirectory: paths.data,
    verifier: {
      policies: paths.policies,
      referenceValues: paths.referenceValues,
      defaultPolicies: { simulated: POLICY },
    },
  })
}

export async function writeEnclaveConfig(
  paths: Paths,
  where: { readonly service: string; readonly store: string; readonly inMemory: boolean },
): Promise<void> {
  const { service, store, inMemory } = where
  await writeJson(paths.enclave, {
    verifier: service,
    broker: service,
    gateway: service,
    gatewayTokenFile: paths.providerToken,
    manifest: paths.manifest,
    weights: paths.sealed,
    weightsStore: store,
    allowWeightsOnDisk: !inMemory,
    model: 'demo',
    attester: 'simulated',
    simulatedRoot: paths.simulated,
    listen: { host: '127.0.0.1', port: 0 },
  })
}

/**
 * What the client trusts: the same policy and reference values, the log's keys, this one model. The
 * log's keys and the simulated root come from the service's own directory, since we set it up; a
 * stranger gets them from somebody else than the service.
 */
export async function writePin(paths: Paths, manifest: string): Promise<void> {
  const own = await readJson(paths.servicePin)
  await writeJson(paths.pin, {
    version: 1,
    policies: [await readJson(paths.policy)],
    reference_values: [await readJson(paths.referenceSet)],
    log: own['log'],
    unsafe_simulated_roots: own['unsafe_simulated_roots'],
    manifests: { [MODEL]: manifest },
  })
}

export async function readJson(file: string): Promise<Readonly<Record<string, unknown>>> {
  return JSON.parse(await readFile(file, 'utf8')) as Readonly<Record<string, unknown>>
}

/** The content of a token file. */
export async function readToken(file: string): Promise<string> {
  return (await readFile(file, 'utf8')).trim()
}

async function writeJson(file: string, value: unknown): Promise<void> {
  await writeFile(file, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 })
}
