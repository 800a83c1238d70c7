import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { exportJWK, generateKeyPair } from 'jose'
import { afterAll, expect, it } from 'vitest'
import { auditLog } from '../../src/core/audit/verify-log.ts'
import { decodeDecisionInput } from '../../src/core/keys/decision-record.ts'
import { unwrapKey } from '../../src/core/keys/jwe.ts'
import { decideRelease } from '../../src/core/keys/release.ts'
import { decodeLeaf, type Leaf } from '../../src/core/tlog/leaf.ts'
import { parseVkey } from '../../src/core/tlog/note-key.ts'
import { createBlobStore, openDirectory } from '../../src/drivers/blob/directory.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { tokenDigest } from '../../src/server/auth.ts'
import { OPEN_POLICY, testEnclave } from '../support/ears.ts'

const CRASHES = 6
const CLIENTS = 6
/** Each key may be released so often; there are more attempts than that. */
const MAX_RELEASES = 4
const PROCESS = join(import.meta.dirname, '../support/keybroker-process.ts')
const TOKEN = 'crash-test-operator-token'
const root = mkdtempSync(join(tmpdir(), 'vouchsafe-broker-crash-'))
const verifier = await generateKeyPair('ES256', { extractable: true })
const jwk = { ...(await exportJWK(verifier.publicKey)), kid: 'test', alg: 'ES256' }
writeFileSync(join(root, 'verifier.json'), JSON.stringify(jwk))
const enclave = await testEnclave(verifier.privateKey, () => new Date())

const running = new Set<ChildProcess>()
afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(root, { recursive: true })
})

interface Broker {
  readonly child: ChildProcess
  readonly url: string
  readonly vkey: string
}

async function start(): Promise<Broker> {
  const child = spawn(process.execPath, [PROCESS, root, tokenDigest(TOKEN)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(child)
  let said = ''
  return new Promise((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
      const [, vkey, port] = /^vkey (\S+)\nport (\d+)\n/m.exec(said) ?? []
      if (vkey !== undefined) resolve({ child, url: `http://127.0.0.1:${port}`, vkey })
    })
    child.once('exit', () => {
      reject(new Error(`the broker ended: ${said}`))
    })
  })
}

async function stop({ child }: Broker, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  child.kill(signal)
  await once(child, 'exit')
  running.delete(child)
}

interface Released {
  readonly jwe: unknown
  readonly key: { readonly uri: string }
  readonly lease: { readonly id: string }
  readonly log: { readonly index: number }
}

const created = new Set<string>()
const released: Released[] = []

/** A connection that breaks is what a crash looks like; any answer must be a proper one. */
async function post(url: string, path: string, body: object): Promise<Response | undefined> {
  try {
    const response = await fetch(`${url}/v1/keys/acme/data/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify(body),
    })
    await response.clone().arrayBuffer()
    return response
  } catch {
    return undefined
  }
}

/** Creates keys and asks for each more often than it may be released, until the broker is dead. */
async function client({ url }: Broker, name: string): Promise<void> {
  for (let i = 0; ; i++) {
    const key = `${name}-${i}`
    const order = { policy: OPEN_POLICY, max_releases: MAX_RELEASES }
    const creation = await post(url, key, order)
    if (creation === undefined) return
    expect(creation.status).toBe(201)
    created.add(key)
    const ear = await enclave.ear()
    const asked = { ear, keyset: enclave.keyset }
    const answers = await Promise.all(
      Array.from({ length: MAX_RELEASES + 2 }, async () => post(url, `${key}/release`, asked)),
    )
    for (const answer of answers) {
      if (answer === undefined) return
      expect([200, 403]).toContain(answer.status)
      if (answer.status === 200) released.push((await answer.json()) as Released)
    }
  }
}

/** Until some answers have come, on a slow machine too, and then a moment at random. */
async function someWork(): Promise<void> {
  const enough = released.length + 1 + Math.floor(Math.random() * 20)
  const patience = Date.now() + 8_000
  while (released.length < enough && Date.now() < patience) await delay(5)
  await delay(Math.random() * 60)
}

it('log-before-release: kill -9 at random moments, every key that went out has its leaf, and no key is lost', async () => {
  for (let crash = 0; crash < CRASHES; crash++) {
    const broker = await start()
    const clients = Array.from({ length: CLIENTS }, async (_, i) =>
      client(broker, `k${crash}-${i}`),
    )
    await someWork()
    await stop(broker, 'SIGKILL')
    await Promise.all(clients)
  }
  expect(created.size).toBeGreaterThan(CRASHES)
  expect(released.length).toBeGreaterThan(CRASHES)

  const broker = await start()
  for (const name of created) {
    const response = await fetch(`${broker.url}/v1/keys/acme/data/${name}`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    })
    expect(response.status, name).toBe(200)
  }
  // What was released before opens, and a key of before can still be released.
  const [first] = released
  const opened = await unwrapKey(first?.jwe, {
    kid: `${first?.key.uri ?? ''}?version=1`,
    privateKey: enclave.privateKey,
  })
  expect(opened).toHaveLength(32)
  await stop(broker, 'SIGTERM')

  await checkLog(await readLog(broker.vkey))
}, 90_000)

/** Reads and verifies the whole log from its files alone. */
async function readLog(key: string): Promise<readonly Leaf[]> {
  const crypto = createCrypto()
  const vkey = await parseVkey(key, crypto)
  const leaves: Leaf[] = []
  await auditLog({
    source: {
      read: async (path) => {
        const file = join(root, 'log', path)
        return existsSync(file) ? new Uint8Array(readFileSync(file)) : undefined
      },
    },
    log: { origin: vkey.name, keys: [vkey] },
    crypto,
    seen: undefined,
    onEntry: (_, entry) => {
      leaves.push(decodeLeaf(entry))
    },
  })
  return leaves
}

async function checkLog(leaves: readonly Leaf[]): Promise<void> {
  const blobs = createBlobStore(await openDirectory(join(root, 'blobs')))
  for (const { key, lease, log } of released) {
    expect(leaves[log.index]).toMatchObject({ type: 'release', key: key.uri, lease: lease.id })
  }
  const creations = leaves.filter((leaf) => leaf.type === 'key').map(({ key }) => key)
  for (const name of created) expect(creations).toContain(`kbs:///acme/data/${name}`)
  // The maximum held, crashes or not.
  const counts = new Map<string, number>()
  for (const { key } of released) counts.set(key.uri, (counts.get(key.uri) ?? 0) + 1)
  for (const [uri, count] of counts) expect(count, uri).toBeLessThanOrEqual(MAX_RELEASES)
  // No leaf points to a blob that the crash took, and every decision can be made again.
  for (const leaf of leaves) {
    if (leaf.type !== 'release' && leaf.type !== 'refusal') continue
    const record = await blobs.get(leaf.decision)
    const decision = decideRelease(decodeDecisionInput(record ?? new Uint8Array(0)))
    expect(decision.release, leaf.type).toBe(leaf.type === 'release')
  }
}
