/** A real service, a key in its broker, and a model sealed to that key: what an enclave needs to boot. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { wrapKey } from '../../src/core/keys/jwe.ts'
import type { Recipient } from '../../src/core/keys/recipient.ts'
import { encodeManifest } from '../../src/core/weights/manifest.ts'
import { sealModel } from './sealed-model.ts'
import { type RunningService, startServe } from './serve.ts'

const URI = 'kbs:///acme/models/demo'
const AFFIRMING = {
  version: '1.0.0',
  anyOf: [
    {
      authority: 'urn:vouchsafe:verifier',
      allOf: [{ claim: String.raw`submods.cpu0.ear\.status`, equals: 'affirming' }],
    },
  ],
}

export interface Chain {
  readonly service: RunningService
  readonly directory: string
  /** Of the service: tokens, simulated root, log. */
  readonly data: string
  readonly manifest: string
  readonly weights: string
  readonly token: (name: 'operator' | 'provider' | 'client') => string
  /** Flags for `vouchsafe enclave`, all but the model. */
  readonly flags: readonly string[]
  /** In memory; empty when no enclave runs. */
  readonly store: string
  /** The same as settings. */
  readonly settings: Readonly<Record<string, unknown>>
  readonly remove: () => void
}

/** @param releasePolicy - Of the key; without, whatever is affirming opens it. */
export async function startChain(
  files: Readonly<Record<string, Uint8Array>>,
  { model = 'demo', releasePolicy = AFFIRMING }: { model?: string; releasePolicy?: object } = {},
): Promise<Chain> {
  const directory = mkdtempSync(join(tmpdir(), 'chain-'))
  const data = join(directory, 'data')
  const service = await startServe(['--dev', '--data', data, '--port', '0'])
  const token = (name: string): string => readFileSync(join(data, 'tokens', name), 'utf8').trim()
  const dataKey = new Uint8Array(randomBytes(32))
  await importKey(service.url, { operator: token('operator'), dataKey, policy: releasePolicy })
  const weights = join(directory, 'sealed')
  const key = `${URI}?version=1`
  const segment = 1 << 20
  const sealed = await sealModel(files, { directory: weights, dataKey, model, key, segment })
  const store = mkdtempSync('/dev/shm/chain-')
  const manifest = join(directory, 'manifest.json')
  await writeFile(manifest, encodeManifest(sealed))
  const settings = {
    verifier: service.url,
    broker: service.url,
    gateway: service.url,
    gatewayTokenFile: join(data, 'tokens/provider'),
    manifest,
    weights,
    weightsStore: store,
    attester: 'simulated',
    simulatedRoot: join(data, 'simulated'),
    listen: { host: '127.0.0.1', port: 0 },
  }
  return {
    service,
    directory,
    data,
    manifest,
    weights,
    store,
    token,
    flags: flagsOf(settings),
    settings,
    remove: () => {
      rmSync(directory, { recursive: true })
      rmSync(store, { recursive: true })
    },
  }
}

function flagsOf(settings: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(settings).flatMap(([name, value]) => [
    `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    name === 'listen' ? '127.0.0.1:0' : String(value),
  ])
}

async function importKey(
  url: string,
  { operator, dataKey, policy }: { operator: string; dataKey: Uint8Array; policy: object },
): Promise<void> {
  const headers = { authorization: `Bearer ${operator}`, 'content-type': 'application/json' }
  const recipient = (await (await fetch(`${url}/v1/import-key`, { headers })).json()) as Recipient
  const material = await wrapKey(dataKey, { kid: URI, recipient })
  const created = await fetch(`${url}/v1/keys/acme/models/demo`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ policy, material }),
  })
  if (created.status !== 201) throw new Error(`no key: ${await created.text()}`)
}
