/** The whole chain with a model server that the test scripts, and clients of it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import OpenAI from 'openai'
import { connect, type SecureSession } from '../../src/client/index.ts'
import { createPlatform } from '../../src/platform/node.ts'
import { type Chain, startChain } from './chain.ts'
import { type ModelServer, startModelServer } from './model-server.ts'
import { type Running, startEnclaveProcess, stopAll } from './processes.ts'
import { killServices } from './serve.ts'

export interface World {
  readonly chain: Chain
  readonly model: ModelServer
  enclave: Running
  readonly pin: Record<string, unknown>
  readonly pinFile: string
  readonly apiKey: string
  /** A session with the gateway, or with whoever says it is one. */
  session(gateway?: string, changes?: object): Promise<SecureSession>
  close(): Promise<void>
}

/** What the one file of the toy model says. */
export const WEIGHTS = 'the opened weights of the toy model'

export async function startWorld(): Promise<World> {
  const model = await startModelServer()
  const chain = await startChain({ 'weights.bin': new TextEncoder().encode(WEIGHTS) })
  const enclave = await startEnclaveProcess([...chain.flags, '--model', model.url])
  const pinFile = join(chain.data, 'client-pin.json')
  const pin = JSON.parse(readFileSync(pinFile, 'utf8')) as Record<string, unknown>
  const apiKey = chain.token('client')
  return {
    chain,
    model,
    enclave,
    pin,
    pinFile,
    apiKey,
    session: async (gateway = chain.service.url, changes = {}) =>
      connect({ gateway, apiKey, pin: { ...pin, ...changes }, platform: createPlatform() }),
    close: async () => {
      await stopAll()
      await killServices()
      await model.close()
      chain.remove()
    },
  }
}

/** The unmodified client over a session. */
export function openaiOver({ baseURL, fetch }: SecureSession, maxRetries = 0): OpenAI {
  return new OpenAI({ baseURL, apiKey: 'stays-here', fetch, maxRetries })
}

interface Delta {
  readonly choices: readonly { readonly delta: { readonly content?: string | null } }[]
}

/** What a stream said. @param onDelta - Called with how many there were so far. */
export async function textOf(
  stream: AsyncIterable<Delta>,
  onDelta: (count: number) => void = () => undefined,
): Promise<string> {
  let text = ''
  let count = 0
  for await (const { choices } of stream) {
    text += choices[0]?.delta.content ?? ''
    onDelta(++count)
  }
  return text
}

export function chat(content: string) {
  return { model: 'demo', messages: [{ role: 'user' as const, content }] }
}
