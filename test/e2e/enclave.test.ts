/** The enclave against a real service process: verifier, key broker, log and gateway. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeHints } from '../../src/core/sealing/hints.ts'
import { type Keyset, keysetDigest } from '../../src/core/sealing/keyset.ts'
import { authenticateReceipt, parseReceipt } from '../../src/core/sealing/receipt.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { SILENT } from '../../src/enclave/journal.ts'
import {
  type Enclave,
  type EnclaveWorld,
  readEnclaveSettings,
  startEnclave,
} from '../../src/main/enclave.ts'
import { type Chain, startChain } from '../support/chain.ts'
import {
  ask,
  BIN,
  demoFiles,
  leftBehind,
  openAnswer,
  started,
  startProcess,
} from '../support/enclave-process.ts'
import { killServices, runCli } from '../support/serve.ts'

async function verifiedReceipt(chain: Chain, keyset: Keyset, response: Response) {
  const id = response.headers.get('x-receipt-id') ?? ''
  const authorization = `Bearer ${chain.token('client')}`
  const url = `${chain.service.url}/v1/receipts/${id}`
  let answer = await fetch(url, { headers: { authorization } })
  while (answer.status === 404) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    answer = await fetch(url, { headers: { authorization } })
  }
  const receipt = parseReceipt(await answer.json())
  const crypto = createCrypto()
  await authenticateReceipt(
    receipt,
    { keyset, keysetDigest: await keysetDigest(keyset, crypto) },
    crypto,
  )
  return receipt
}

describe('vouchsafe enclave with the demo model', () => {
  let chain: Chain
  beforeAll(async () => {
    chain = await startChain(await demoFiles())
  })
  afterAll(async () => {
    await killServices()
    chain.remove()
  })

  it('boots, opens the weights, answers sealed, signs, and leaves nothing behind', async () => {
    const enclave = await startProcess([...chain.flags, '--model', 'demo'])
    const { stdout } = enclave.output()
    for (const step of [
      'The hardware vouches for the keyset',
      'The verifier affirms this enclave',
      'The broker released a key',
      'Weights opened into memory',
      'Model ready',
      'The gateway knows this enclave',
    ]) {
      expect(stdout).toContain(step)
    }
    // Nothing that a simulated TEE says may look like the real thing.
    const lines = stdout.trim().split('\n')
    expect(lines.every((line) => line.startsWith('[simulated] '))).toBe(true)
    expect(leftBehind(chain)).toHaveLength(1)

    const input = ['a canary in the prompt', 'two']
    const embeddings = await ask(
      chain,
      { model: 'demo', input, encoding_format: 'base64' },
      '/v1/embeddings',
    )
    const { text } = await openAnswer(embeddings)
    const { data, usage } = JSON.parse(text) as {
      data: { embedding: string }[]
      usage: { prompt_tokens: number }
    }
    expect(data.map(({ embedding }) => Buffer.from(embedding, 'base64').length)).toEqual([
      2048, 2048,
    ])
    const receipt = await verifiedReceipt(chain, embeddings.keyset, embeddings.response)
    expect(receipt).toMatchObject({
      outcome: 'ok',
      usage: { input_tokens: usage.prompt_tokens, output_tokens: 0 },
    })

    const chat = await ask(chain, {
      model: 'demo',
      stream: true,
      messages: [{ role: 'user', content: 'What does the key broker do?' }],
    })
    const events = (await openAnswer(chat)).text.split('\n\n').filter((event) => event !== '')
    expect(events.length).toBeGreaterThan(5)
    expect(events.at(-1)).toContain('[DONE]')
    const streamed = await verifiedReceipt(chain, chat.keyset, chat.response)
    expect(streamed.usage).toMatchObject({ n: 1 })
    expect('output_tokens' in streamed.usage && streamed.usage.output_tokens).toBeGreaterThan(10)

    // A gateway that sends a request twice gets a refusal, and the client can read why.
    const again = await fetch(`${enclave.url}/ohttp`, {
      method: 'POST',
      headers: {
        'content-type': embeddings.sealed.mediaType,
        'vouchsafe-hints': encodeHints({ model: 'demo', api: 'embeddings', stream: false }),
      },
      body: embeddings.sealed.body,
    })
    const replayed = await openAnswer({ ...embeddings, response: again })
    expect(replayed.status).toBe(400)
    expect(JSON.parse(replayed.text)).toMatchObject({ type: 'urn:vouchsafe:problem:replayed' })

    enclave.child.kill('SIGTERM')
    const [code] = (await once(enclave.child, 'close')) as [number | null]
    expect(code).toBe(0)
    expect(leftBehind(chain)).toEqual([])
    // The gateway sends nobody to where nobody is.
    const headers = { authorization: `Bearer ${chain.token('client')}` }
    const models = await fetch(`${chain.service.url}/v1/models`, { headers })
    expect(await models.json()).toMatchObject({ data: [] })
    const { stdout: all, stderr } = enclave.output()
    expect(all + stderr + chain.service.output().stderr).not.toContain('canary in the prompt')
  })
})

describe('refuses to start', () => {
  const toy = { 'weights.bin': new TextEncoder().encode('the weights') }
  const MODEL = 'http://127.0.0.1:9'
  let chain: Chain
  let pinned: Chain
  beforeAll(async () => {
    chain = await startChain(toy)
    pinned = await startChain(toy, {
      releasePolicy: {
        version: '1.0.0',
        anyOf: [
          {
            authority: 'urn:vouchsafe:verifier',
            allOf: [
              {
                claim: String.raw`submods.cpu0.vouchsafe\.result.claims.report.MRTD`,
                equals: 'aa'.repeat(48),
              },
            ],
          },
        ],
      },
    })
  })
  afterAll(async () => {
    await killServices()
    chain.remove()
    pinned.remove()
  })

  const start = async (
    { settings }: Chain,
    changes: object = {},
    simulated: EnclaveWorld['simulated'] = {},
  ): Promise<Enclave> => {
    const text = JSON.stringify({ ...settings, model: MODEL, patienceSeconds: 0, ...changes })
    const read = readEnclaveSettings({ file: 'test.json', text })
    return startEnclave(read, { journal: SILENT, write: () => undefined, simulated })
  }

  it('not when everything is right', async () => {
    const enclave = await start(chain)
    expect((await fetch(`${enclave.url}/readyz`)).status).toBe(200)
    await enclave.close()
    expect(leftBehind(chain)).toEqual([])
  })

  it('a debug TD, by the check that failed', async () => {
    await expect(start(chain, {}, { debug: true })).rejects.toMatchObject({
      code: 'ERR_RESULT_NOT_AFFIRMING',
      at: 'enclave.appraisal',
      message: expect.stringContaining('debug') as string,
    })
  })

  it('other measurements than the key wants', async () => {
    await expect(start(pinned)).rejects.toMatchObject({ code: 'ERR_RELEASE_DENIED' })
    const good = await start(pinned, {}, { measurements: { mrtd: 'aa'.repeat(48) } })
    await good.close()
  })

  it('tampered and truncated weights, and nothing of them stays', async () => {
    const path = join(chain.weights, 'weights.bin.floe')
    const sealed = await readFile(path)
    const flipped = Buffer.from(sealed)
    flipped[sealed.length - 20] = (flipped[sealed.length - 20] ?? 0) ^ 1
    await writeFile(path, flipped)
    await expect(start(chain)).rejects.toMatchObject({ code: 'ERR_WEIGHTS_OPEN_FAILED' })
    await writeFile(path, sealed.subarray(0, -1))
    await expect(start(chain)).rejects.toMatchObject({ code: 'ERR_WEIGHTS_TRUNCATED' })
    await writeFile(path, sealed)
    expect(leftBehind(chain)).toEqual([])
  })

  it('a wrong provider token, a disk for weights, a model elsewhere, no hardware', async () => {
    const wrong = join(chain.directory, 'wrong')
    await writeFile(wrong, 'vs-provider-wrong', { mode: 0o600 })
    await expect(start(chain, { gatewayTokenFile: wrong })).rejects.toMatchObject({
      code: 'ERR_REQUEST_UNAUTHORIZED',
    })
    await expect(start(chain, { weightsStore: '/proc' })).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      at: 'weights.store',
    })
    await expect(start(chain, { model: 'http://192.0.2.1:80' })).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      at: 'model',
    })
    const hardware = { attester: 'configfs-tsm', tsmRoot: join(chain.directory, 'tsm') }
    await expect(start(chain, hardware)).rejects.toMatchObject({ code: 'ERR_DEPENDENCY_MISSING' })
    expect(leftBehind(chain)).toEqual([])
  })

  it('and ends at once when it is told to while it still waits', async () => {
    const settings = { ...chain.settings, model: MODEL, verifier: 'http://127.0.0.1:9' }
    const config = join(chain.directory, 'waiting.json')
    await writeFile(config, JSON.stringify(settings))
    const child = spawn(process.execPath, [BIN, 'enclave', '--config', config])
    started.push(child)
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const waits = said.includes('trying again')
      said += text
      // A second signal would end any process.
      if (!waits && said.includes('trying again')) child.kill('SIGTERM')
    })
    const before = performance.now()
    const [code] = (await once(child, 'close')) as [number | null]
    expect([code, said.includes('Stopped before it was ready')]).toEqual([0, true])
    expect(performance.now() - before).toBeLessThan(10_000)
    expect(leftBehind(chain)).toEqual([])
  })

  it('exit codes say what kind of failure it was', async () => {
    const flags = [...chain.flags, '--model', MODEL]
    const disk = await runCli(['enclave', ...flags, '--weights-store', '/proc'])
    expect(disk.code).toBe(50)
    expect((await runCli(['enclave', '--model', 'demo'])).code).toBe(50)
    const denied = [...pinned.flags, '--model', MODEL]
    expect((await runCli(['enclave', ...denied])).code).toBe(10)
    expect(existsSync(chain.weights)).toBe(true)
  })
})
