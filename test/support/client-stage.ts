/**
 * Client, gateway and enclave on their real parts in one process, with simulated evidence that is
 * genuine in form: what the client's own tests turn one thing in at a time.
 */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { ConnectOptions } from '../../src/client/index.ts'
import type { ModelRequest, ModelResponse } from '../../src/enclave/model/upstream.ts'
import { createPlatform } from '../../src/platform/node.ts'
import { createSimulatedAttester, type IntelPki, mintIntelPki } from '../../src/testing/index.ts'
import { MODEL, startTestEnclave, type TestEnclave } from './enclave.ts'
import { createGatewayWorld, type GatewayWorld } from './gateway-world.ts'

type Json = Record<string, unknown>
type Fetch = ConnectOptions['platform']['fetch']

export interface Stage {
  readonly model: string
  readonly now: Date
  readonly pki: IntelPki
  readonly gateway: GatewayWorld
  readonly enclave: TestEnclave
  readonly pin: Json
  /** For `connect`; the platform is Node's with {@link Stage.fetch}. */
  readonly options: ConnectOptions
  /** Node's, and it remembers what went out. */
  readonly fetch: Fetch
  /** Every request so far: URL, headers and body as one text each. */
  outside(): readonly string[]
  /** Changes keyset answers from now on. */
  keyset(change: (answer: Json) => unknown): void
  /** Takes the place of the network for one path. */
  replace(path: string, answer: Fetch | undefined): void
  /** `init` of a chat request. */
  call(content: string, more?: Json): RequestInit
  /** Another enclave, with keys of its own, takes the place of the one before. */
  restart(): Promise<void>
  close(): Promise<void>
}

const POLICY = join(import.meta.dirname, '../../policies/development.json')

/** @param model - What the model does; it echoes the last message by default. */
export async function startStage(
  model: (request: ModelRequest) => Promise<ModelResponse> = echo,
): Promise<Stage> {
  const now = new Date()
  const pki = mintIntelPki({ now })
  const attester = createSimulatedAttester(pki)
  const gateway = await createGatewayWorld({ now: now.getTime() })
  await gateway.app.listen({ host: '127.0.0.1', port: 0 })
  const enclaves: TestEnclave[] = []
  const start = async (): Promise<TestEnclave> => {
    const enclave = await startTestEnclave({ attester, model, now: { value: now.getTime() } })
    enclaves.push(enclave)
    await enclave.app.listen({ host: '127.0.0.1', port: 0 })
    const standing = enclave.runtime.standing()
    if (standing === undefined) throw new Error('no standing')
    await gateway.register(urlOf(enclave), standing.keyset.keyset)
    return enclave
  }
  const enclave = await start()
  const pin = {
    version: 1,
    policies: [JSON.parse(readFileSync(POLICY, 'utf8')) as Json],
    reference_values: [],
    log: { origin: gateway.logKeys.origin, keys: gateway.logKeys.vkeys, max_age: { require: 600 } },
    unsafe_simulated_roots: [pki.anchor],
  }
  const network = recordedNetwork()
  const platform = { ...createPlatform(), fetch: network.fetch, clock: () => now }
  const options = { gateway: urlOf(gateway), apiKey: gateway.apiKey, pin, platform }
  return {
    ...{ model: MODEL, now, pki, gateway, enclave, pin, options, ...network },
    call: (content, more = {}) => ({
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content }], ...more }),
    }),
    restart: async () => {
      for (const { id } of gateway.registry.live()) gateway.registry.remove(id)
      await start()
    },
    close: async () => {
      await gateway.close()
      for (const started of enclaves) await started.close()
    },
  }
}

export function urlOf({ app }: Pick<TestEnclave, 'app'>): string {
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

function recordedNetwork(): Pick<Stage, 'fetch' | 'outside' | 'keyset' | 'replace'> {
  const sent: string[] = []
  const replaced = new Map<string, Fetch>()
  let change: ((answer: Json) => unknown) | undefined
  return {
    fetch: async (url, init) => {
      const { pathname } = new URL(url)
      const { headers, body } = init ?? {}
      const bytes = body instanceof Uint8Array ? Buffer.from(body).toString('latin1') : ''
      sent.push(`${url} ${JSON.stringify([...new Headers(headers)])} ${bytes}`)
      const answer = await (replaced.get(pathname) ?? fetch)(url, init)
      if (pathname !== '/v1/keyset' || change === undefined || !answer.ok) return answer
      return Response.json(await change((await answer.json()) as Json))
    },
    outside: () => sent,
    keyset: (to) => {
      change = to
    },
    replace: (path, answer) => {
      if (answer === undefined) replaced.delete(path)
      else replaced.set(path, answer)
    },
  }
}

async function echo({ body }: ModelRequest): Promise<ModelResponse> {
  const { messages, stream } = JSON.parse(new TextDecoder().decode(body)) as {
    messages: { content: string }[]
    stream?: boolean
  }
  const content = messages.at(-1)?.content ?? ''
  const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
  const whole = { choices: [{ index: 0, message: { role: 'assistant', content } }], usage }
  const delta = { choices: [{ index: 0, delta: { content } }] }
  const events = [delta, delta, { choices: [], usage }]
  const type = stream === true ? 'text/event-stream' : 'application/json'
  const answer = async function* (): AsyncGenerator<Uint8Array> {
    const encode = (text: string) => new TextEncoder().encode(text)
    if (stream !== true) yield encode(JSON.stringify(whole))
    else {
      for (const event of events) yield encode(`data: ${JSON.stringify(event)}\n\n`)
      yield encode('data: [DONE]\n\n')
    }
  }
  return { status: 200, headers: { 'content-type': type }, body: answer() }
}
