/** The unmodified `openai` client over `vouchsafe proxy`, every part a process of its own. */
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LyingGateway, startLyingGateway } from '../support/lying-gateway.ts'
import { EMBEDDING } from '../support/model-server.ts'
import { chat, startWorld, textOf, type World } from '../support/openai-world.ts'
import { type Running, startProcess } from '../support/processes.ts'
import { runCli } from '../support/serve.ts'

const READY = /listening on (http:\/\/\S+)/
let world: World
let gateway: LyingGateway
let proxy: Running
const flags = (pin = world.pinFile, key = join(world.chain.data, 'tokens/client')) => [
  ...['proxy', '--gateway', gateway.url, '--api-key-file', key, '--pin', pin, '--port', '0'],
]
beforeAll(async () => {
  world = await startWorld()
  gateway = await startLyingGateway(world.chain.service.url)
  proxy = await startProcess([...flags(), '--verify', 'demo', '--verbose'], READY)
})
afterAll(async () => {
  await gateway.close()
  await world.close()
})

const SECRET = 'sk-stays-on-this-machine'
const client = () => new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: SECRET, maxRetries: 0 })
const verification = async (headers: Record<string, string> = {}) =>
  fetch(`${proxy.url}/verification`, { headers })

describe('openai through vouchsafe proxy', () => {
  it('says what it verified before it listens', () => {
    expect(proxy.output()).toMatch(/demo: verified \(SIMULATED: .*\), \d+ checks passed/)
  })

  it('chat, whole and streamed, and embeddings', async () => {
    gateway.reset()
    const answer = await client().chat.completions.create(chat('a canary'))
    expect(answer.choices[0]?.message.content).toBe('echo a canary')
    const stream = await client().chat.completions.create({ ...chat('b c'), stream: true })
    expect(await textOf(stream)).toBe('echo b c')
    const { data } = await client().embeddings.create({ model: 'demo', input: 'x' })
    expect(data[0]?.embedding).toEqual(EMBEDDING)
    const outside = gateway.seen.map(
      ({ headers, body }) => JSON.stringify(headers) + body.toString('latin1'),
    )
    expect(outside.length).toBeGreaterThan(2)
    for (const seen of outside) expect(seen).not.toMatch(/canary|stays-on|stainless|OpenAI\/JS/i)
    expect(proxy.output()).not.toContain('canary')
  })

  it('models, and errors as their own classes', async () => {
    expect((await client().models.list()).data.map(({ id }) => id)).toEqual(['demo'])
    const unknown = client().chat.completions.create({ ...chat('x'), model: 'nope' })
    await expect(unknown).rejects.toBeInstanceOf(OpenAI.NotFoundError)
    const bad = client().chat.completions.create(chat('bad'))
    await expect(bad).rejects.toBeInstanceOf(OpenAI.BadRequestError)
    await expect(bad).rejects.toMatchObject({ param: 'temperature' })
    const images = client().images.generate({ prompt: 'x', model: 'demo' })
    await expect(images).rejects.toMatchObject({ status: 404 })
    await expect(client().files.list()).rejects.toMatchObject({ status: 400 })
  })

  it('an abort stops the model', async () => {
    const before = world.model.abandoned()
    const stream = await client().chat.completions.create({ ...chat('slow'), stream: true })
    const text = await textOf(stream, (count) => {
      if (count === 3) stream.controller.abort()
    })
    expect(text).toBe('tick tick tick ')
    await expect.poll(() => world.model.abandoned(), { timeout: 5_000 }).toBe(before + 1)
  })

  it('a stream that the gateway cuts is an error, never a short answer', async () => {
    gateway.reset()
    gateway.lies.answer = async (response, genuine) => {
      response.writeHead(200, genuine.headers)
      let passed = 0
      for await (const part of genuine as AsyncIterable<Buffer>) {
        response.write(part)
        if (++passed === 8) break
      }
      response.end()
    }
    const stream = await client().chat.completions.create({ ...chat('slow'), stream: true })
    await expect(textOf(stream)).rejects.toThrow()
    gateway.reset()
  })

  it('a gateway that is away is 503 that may be tried again', async () => {
    gateway.reset()
    gateway.lies.answer = (response) => {
      response.destroy()
    }
    const asking = client().chat.completions.create(chat('x'))
    await expect(asking).rejects.toMatchObject({ status: 503, code: 'ERR_UPSTREAM_UNAVAILABLE' })
    gateway.reset()
  })
})

describe('/verification', () => {
  it('is JSON for programs: every check, every receipt', async () => {
    await client().chat.completions.create(chat('for a receipt'))
    const answer = (await (await verification()).json()) as {
      verifications: { model: string; verified: boolean; checks: { id: string }[] }[]
      receipts: { verified: boolean; receipt?: { signature: string } }[]
    }
    expect(answer.verifications).toMatchObject([{ model: 'demo', verified: true }])
    const ids = answer.verifications[0]?.checks.map(({ id }) => id)
    expect(ids).toContain('simulated.binding.report_data')
    expect(ids).toContain('client.log.inclusion')
    expect(answer.receipts.at(-1)).toMatchObject({ verified: true })
  })

  it('is a page for people, without scripts', async () => {
    const answer = await verification({ accept: 'text/html' })
    expect(answer.headers.get('content-type')).toContain('text/html')
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
    const page = await answer.text()
    expect(page).toContain('Simulated TEE')
    expect(page).toContain('client.log.inclusion')
    expect(page).not.toContain('<script')
  })

  it.each([
    ['a web page', { origin: 'https://evil.example' }],
    ['a page that is on loopback itself', { origin: 'http://localhost:3000' }],
    ['a sandboxed page', { origin: 'null' }],
    ['a name that was rebound to loopback', { host: 'evil.example' }],
    ['a name that begins like ours', { host: 'localhost.evil.example' }],
  ])('%s is refused, here and on every path', async (_, headers) => {
    for (const [method, path] of [
      ['GET', '/verification'],
      ['GET', '/v1/models'],
      ['POST', '/v1/chat/completions'],
    ] as const) {
      const answer = await raw(method, path, headers)
      expect([path, answer.status]).toEqual([path, 403])
      expect(answer.body).toMatchObject({ code: 'ERR_REQUEST_FORBIDDEN' })
    }
  })
})

describe('vouchsafe proxy does not start', () => {
  it('when the enclave is not what was pinned, and names the check', async () => {
    const pin = join(world.chain.directory, 'other-pin.json')
    const other = { ...world.pin, manifests: { demo: `sha256:${'0'.repeat(64)}` } }
    writeFileSync(pin, JSON.stringify(other))
    const { code, stderr } = await runCli([...flags(pin), '--verify', 'demo'])
    expect(code).toBe(10)
    expect(stderr).toContain('client.model.manifest')
  })

  it('with a pin that says nothing clear, or none', async () => {
    const pin = join(world.chain.directory, 'bad-pin.json')
    writeFileSync(pin, readFileSync(world.pinFile, 'utf8').replace('"version"', '"vresion"'))
    expect(await runCli(flags(pin))).toMatchObject({ code: 50 })
    expect(await runCli(flags(join(world.chain.directory, 'none')))).toMatchObject({ code: 50 })
    expect(await runCli([...flags(), '--port', '99999'])).toMatchObject({ code: 50 })
  })
})

async function raw(method: string, path: string, headers: Record<string, string>) {
  return new Promise<{ status: number | undefined; body: unknown }>((resolve, reject) => {
    const sent = request(proxy.url + path, { method, headers }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => (text += part))
      answer.on('end', () => {
        resolve({ status: answer.statusCode, body: JSON.parse(text) })
      })
    })
    sent.on('error', reject)
    sent.end()
  })
}
