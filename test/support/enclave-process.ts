/** `vouchsafe enclave` as a real process beside a real service, and a client of both. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect } from 'vitest'
import { encodeHints } from '../../src/core/sealing/hints.ts'
import { parseKeyset } from '../../src/core/sealing/keyset.ts'
import type { Chain } from './chain.ts'
import { DEMO_FILES, DEMO_WEIGHTS } from './demo-model.ts'
import { seal } from './sealed-client.ts'

export const BIN = join(import.meta.dirname, '../../src/cli/bin.ts')
/** Killed after the test. */
export const started: ChildProcess[] = []
afterEach(async () => {
  for (const child of started.splice(0)) {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  }
})
export const leftBehind = ({ store }: Chain): readonly string[] => readdirSync(store)

/** What `vouchsafe seal` is given for the demo. */
export async function demoFiles(): Promise<Readonly<Record<string, Uint8Array>>> {
  const files = DEMO_FILES.map(
    async (name) => [name, new Uint8Array(await readFile(join(DEMO_WEIGHTS, name)))] as const,
  )
  return Object.fromEntries(await Promise.all(files))
}

/** `vouchsafe enclave` until it is ready. */
export async function startProcess(flags: readonly string[]) {
  const child = spawn(process.execPath, [BIN, 'enclave', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  started.push(child)
  let [stdout, stderr] = ['', '']
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      const found = /Enclave ready at (http:\/\/\S+)/.exec(stdout)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once('exit', () => {
      reject(new Error(`did not start: ${stdout}${stderr}`))
    })
  })
  return { child, url, output: () => ({ stdout, stderr }) }
}

/** What a client does, through the gateway, with the helpers of the core. */
export async function ask(chain: Chain, body: object, path = '/v1/chat/completions') {
  const { url } = chain.service
  const authorization = `Bearer ${chain.token('client')}`
  const nonce = 'ab'.repeat(32)
  const answer = await fetch(`${url}/v1/keyset?nonce=${nonce}&model=demo`, {
    headers: { authorization },
  })
  expect(answer.status).toBe(200)
  const served = (await answer.json()) as { keyset: unknown }
  const keyset = parseKeyset(served.keyset)
  const api = path === '/v1/embeddings' ? 'embeddings' : 'chat'
  const hints = encodeHints({ model: 'demo', api, stream: 'stream' in body })
  const sealed = await seal({ keyset, now: new Date(), body, path, hints, model: 'demo' })
  const response = await fetch(`${url}/ohttp`, {
    method: 'POST',
    headers: {
      authorization,
      'content-type': sealed.mediaType,
      'vouchsafe-hints': hints,
    },
    body: sealed.body,
  })
  return { keyset, sealed, response }
}

/** The answer as its asker reads it. */
export async function openAnswer({ sealed, response }: Awaited<ReturnType<typeof ask>>) {
  expect(response.status).toBe(200)
  const mediaType = response.headers.get('content-type') ?? ''
  const opened = await sealed.open({ mediaType, body: response.body as AsyncIterable<Uint8Array> })
  const parts: Uint8Array[] = []
  for await (const part of opened.body) parts.push(part)
  return { status: opened.status, text: Buffer.concat(parts).toString('utf8') }
}
