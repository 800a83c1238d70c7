/** The gateway in a process of its own, held against everything it must not know. */
import { randomBytes } from 'node:crypto'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type OpenAI from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { createPlatform } from '../../src/platform/node.ts'
import { type Chain, startChain } from '../support/chain.ts'
import { type ModelServer, mirrored, startModelServer } from '../support/model-server.ts'
import { chat, openaiOver, textOf, WEIGHTS } from '../support/openai-world.ts'
import { canReadMemory, textsInMemory } from '../support/process-memory.ts'
import { type Running, startEnclaveProcess, startProcess, stopAll } from '../support/processes.ts'
import { killServices } from '../support/serve.ts'

/** Held by the gateway for as long as it runs: what finds this finds what is there. */
const PLANTED = `blind-${randomBytes(16).toString('hex')}.example/log`
const canary = () => randomBytes(24).toString('hex')

let directory: string
let chain: Chain
let model: ModelServer
let gateway: Running
let enclave: Running
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'blind-'))
  model = await startModelServer()
  chain = await startChain({ 'weights.bin': new TextEncoder().encode(WEIGHTS) })
  gateway = await startGatewayAlone()
  const instead = new Map([
    ['--gateway', gateway.url],
    ['--gateway-token-file', join(directory, 'data/tokens/provider')],
  ])
  const flags = chain.flags.map((flag, i) => instead.get(chain.flags[i - 1] ?? '') ?? flag)
  enclave = await startEnclaveProcess([...flags, '--model', model.url])
})
afterAll(async () => {
  await stopAll()
  await killServices()
  await model.close()
  chain.remove()
  rmSync(directory, { recursive: true })
})

/** Gateway and log; verifier and key broker are elsewhere, and so are their keys. */
async function startGatewayAlone(): Promise<Running> {
  const jwks = await fetch(`${chain.service.url}/.well-known/jwks.json`)
  writeFileSync(join(directory, 'jwks.json'), await jwks.text())
  cpSync(join(chain.data, 'simulated'), join(directory, 'data/simulated'), { recursive: true })
  const config = {
    mode: 'development',
    roles: ['log', 'gateway'],
    listen: { port: 0 },
    dataDirectory: 'data',
    logLevel: 'debug',
    log: { origin: PLANTED },
    trustedVerifiers: [{ issuer: 'urn:vouchsafe:verifier', jwks: 'jwks.json' }],
  }
  const file = join(directory, 'vouchsafe.json')
  writeFileSync(file, JSON.stringify(config))
  return startProcess(['serve', '--config', file], /listening on (http:\/\/\S+)/)
}

async function client(): Promise<OpenAI> {
  const pin: unknown = JSON.parse(readFileSync(join(directory, 'data/client-pin.json'), 'utf8'))
  const apiKey = readFileSync(join(directory, 'data/tokens/client'), 'utf8').trim()
  const session = await connect({ gateway: gateway.url, apiKey, pin, platform: createPlatform() })
  return openaiOver(session)
}

/** Prompt and answer are different texts, and neither is in the other. */
async function exchanges(openai: OpenAI): Promise<readonly string[]> {
  const prompts = Array.from({ length: 6 }, canary)
  const answers: string[] = []
  for (const [i, prompt] of prompts.entries()) {
    const question = chat(`mirror ${prompt}`)
    if (i % 2 === 0) {
      const answer = await openai.chat.completions.create(question)
      answers.push(answer.choices[0]?.message.content ?? '')
    } else {
      const stream = await openai.chat.completions.create({ ...question, stream: true })
      answers.push(await textOf(stream))
    }
  }
  expect(answers).toEqual(prompts.map(mirrored))
  return [...prompts, ...answers]
}

function filesOf(root: string): readonly Buffer[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => readFileSync(join(parentPath, name)))
}

it('gateway-is-blind', async () => {
  const openai = await client()
  const secrets = [...(await exchanges(openai)), WEIGHTS]
  // One exchange is under way while we look: not even for a moment is anything open in there.
  const held = canary()
  const stream = await openai.chat.completions.create({
    ...chat('slow'),
    messages: [
      { role: 'system', content: held },
      { role: 'user', content: 'slow' },
    ],
    stream: true,
  })
  const reading = textOf(stream, (count) => {
    if (count === 40) stream.controller.abort()
  })
  await expect.poll(() => model.sent()).toBeGreaterThan(5)
  secrets.push(held)

  if (canReadMemory(gateway.pid)) {
    expect([...textsInMemory(gateway.pid, [...secrets, PLANTED])]).toEqual([PLANTED])
    await expect
      .poll(async () => textsInMemory(enclave.pid, await exchanges(openai)).size, {
        timeout: 15_000,
      })
      .toBeGreaterThan(0)
  } else {
    console.warn('gateway-is-blind: memory of other processes cannot be read here; not looked at')
  }
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text()
  expect(metrics).toContain('vouchsafe_gateway_settled_total')
  expect(gateway.output()).toContain('/ohttp')
  const files = filesOf(join(directory, 'data'))
  const places = [metrics, gateway.output(), ...files.map((bytes) => bytes.toString('latin1'))]
  // What must be found is found in these places, too.
  expect(places.some((place) => place.includes(PLANTED))).toBe(true)
  for (const place of places) {
    expect(secrets.filter((secret) => place.includes(secret))).toEqual([])
  }
  await reading
})
