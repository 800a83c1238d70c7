/** The unmodified `openai` client over `secure.fetch`, against real processes. */
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { createPlatform } from '../../src/platform/node.ts'
import { EMBEDDING } from '../support/model-server.ts'
import { chat, openaiOver, startWorld, textOf, type World } from '../support/openai-world.ts'
import { startEnclaveProcess } from '../support/processes.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const client = async () => openaiOver(await world.session())

describe('openai through secure.fetch', () => {
  it('chat in one piece, with a verified receipt', async () => {
    const session = await world.session()
    const answer = await openaiOver(session).chat.completions.create(chat('whole'))
    expect(answer.choices[0]?.message.content).toBe('echo whole')
    const [report] = session.verifications()
    expect(report).toMatchObject({ model: 'demo', verified: true, simulated: true })
    const [receipt] = await session.receipts()
    expect(receipt).toMatchObject({ verified: true, receipt: { usage: { output_tokens: 3 } } })
  })

  it('chat streamed, as it is made', async () => {
    const openai = await client()
    const stream = await openai.chat.completions.create({ ...chat('a b c'), stream: true })
    expect(await textOf(stream)).toBe('echo a b c')
  })

  it('embeddings, by default in base64', async () => {
    const { data } = await (await client()).embeddings.create({ model: 'demo', input: ['x', 'y'] })
    expect(data.map(({ embedding }) => embedding)).toEqual([EMBEDDING, EMBEDDING])
    expect(world.model.asked.at(-1)?.body).toMatchObject({ encoding_format: 'base64' })
  })

  it('the list of models, and one of them', async () => {
    const openai = await client()
    const models = await openai.models.list()
    expect(models.data.map(({ id }) => id)).toEqual(['demo'])
    expect(await openai.models.retrieve('demo')).toMatchObject({ id: 'demo', object: 'model' })
    await expect(openai.models.retrieve('nope')).rejects.toBeInstanceOf(OpenAI.NotFoundError)
  })

  it('an unknown model is NotFoundError', async () => {
    const asking = (await client()).chat.completions.create({ ...chat('x'), model: 'nope' })
    await expect(asking).rejects.toBeInstanceOf(OpenAI.NotFoundError)
    await expect(asking).rejects.toMatchObject({ status: 404, code: 'ERR_RESOURCE_NOT_FOUND' })
  })

  it('what the enclave refuses is BadRequestError, sealed', async () => {
    const asking = (await client()).chat.completions.create(chat('bad'))
    await expect(asking).rejects.toBeInstanceOf(OpenAI.BadRequestError)
    await expect(asking).rejects.toMatchObject({ param: 'temperature' })
    const stored = (await client()).chat.completions.create({ ...chat('x'), store: true })
    await expect(stored).rejects.toMatchObject({ status: 400, code: 'state-not-supported' })
  })

  it('a wrong API key is AuthenticationError, whatever key the client itself has', async () => {
    const { chain, pin } = world
    const platform = createPlatform()
    const session = await connect({ gateway: chain.service.url, apiKey: 'vs-no', pin, platform })
    const asking = openaiOver(session).chat.completions.create(chat('x'))
    await expect(asking).rejects.toBeInstanceOf(OpenAI.AuthenticationError)
    await expect(openaiOver(session).models.list()).rejects.toMatchObject({ status: 401 })
  })

  it('an abort in the middle ends the stream without an error, and the model stops', async () => {
    const { model } = world
    const before = model.abandoned()
    const stream = await (await client()).chat.completions.create({ ...chat('slow'), stream: true })
    const text = await textOf(stream, (count) => {
      if (count === 3) stream.controller.abort()
    })
    expect(text).toBe('tick tick tick ')
    await expect.poll(() => model.abandoned(), { timeout: 5_000 }).toBe(before + 1)
  })

  it('an abort before the answer is the abort that was asked for', async () => {
    const gone = new AbortController()
    const asking = (await client()).chat.completions.create(
      { ...chat('slow') },
      { signal: gone.signal },
    )
    gone.abort()
    await expect(asking).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
  })

  it('a reader that stops early stops the model, too', async () => {
    const { model } = world
    const before = model.abandoned()
    const session = await world.session()
    const response = await session.fetch(`${session.baseURL}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...chat('slow'), stream: true }),
    })
    const reader = response.body?.getReader()
    await reader?.read()
    await reader?.cancel()
    await expect.poll(() => model.abandoned(), { timeout: 5_000 }).toBe(before + 1)
  })

  it('nothing of the client is inside or outside that says what it is', async () => {
    await (await client()).chat.completions.create(chat('anonymous'))
    const { headers } = world.model.asked.at(-1) ?? {}
    const names = Object.keys(headers ?? {})
    expect(names.filter((name) => /stainless|user-agent|authorization|openai/.test(name))).toEqual(
      [],
    )
  })

  it('an enclave that restarts with new keys is verified afresh, unseen by the caller', async () => {
    const session = await world.session()
    const openai = openaiOver(session, 2)
    await openai.chat.completions.create(chat('before'))
    await session.receipts()
    const [before] = session.verifications()
    const { port } = new URL(world.enclave.url)
    await world.enclave.stop()
    const flags = world.chain.flags.map((flag) =>
      flag === '127.0.0.1:0' ? `127.0.0.1:${port}` : flag,
    )
    world.enclave = await startEnclaveProcess([...flags, '--model', world.model.url])
    const answer = await openai.chat.completions.create(chat('after'))
    expect(answer.choices[0]?.message.content).toBe('echo after')
    const [after] = session.verifications()
    expect(after?.keysetDigest).not.toBe(before?.keysetDigest)
    expect(after?.checks).toContainEqual(
      expect.objectContaining({ id: 'client.log.consistency', outcome: 'pass' }),
    )
    const receipts = await session.receipts()
    expect(receipts.map(({ verified }) => verified)).toEqual([true, true])
  })
})

describe('the bill', () => {
  it('is what the receipts say', async () => {
    const operator = { authorization: `Bearer ${world.chain.token('operator')}` }
    const gateway = world.chain.service.url
    const made = await fetch(`${gateway}/v1/api-keys`, {
      method: 'POST',
      headers: { ...operator, 'content-type': 'application/json' },
      body: JSON.stringify({ tenant: 'billed' }),
    })
    const { secret } = (await made.json()) as { secret: string }
    const platform = createPlatform()
    const session = await connect({ gateway, apiKey: secret, pin: world.pin, platform })
    const openai = openaiOver(session)
    await openai.chat.completions.create(chat('one'))
    await openai.embeddings.create({ model: 'demo', input: 'two' })
    await expect(openai.chat.completions.create(chat('bad'))).rejects.toMatchObject({ status: 400 })
    await textOf(await openai.chat.completions.create({ ...chat('x'), stream: true }))
    const receipts = (await session.receipts()).map((outcome) => {
      if (!outcome.verified) throw outcome.error
      return outcome.receipt
    })
    expect(receipts.map(({ outcome }) => outcome)).toEqual(['ok', 'ok', 'error', 'ok'])
    const sum = (member: 'input_tokens' | 'output_tokens') =>
      receipts
        .filter(({ outcome }) => outcome === 'ok')
        .reduce(
          (total, { usage }) => total + (member in usage ? Number(usage[member as never]) : 0),
          0,
        )
    const totals = async () => {
      const answer = await fetch(`${gateway}/v1/usage/billed`, { headers: operator })
      return ((await answer.json()) as { totals: object[] }).totals
    }
    await expect.poll(totals).toEqual([
      {
        model: 'demo',
        state: 'billed',
        requests: 3,
        input_tokens: sum('input_tokens'),
        output_tokens: sum('output_tokens'),
      },
      { model: 'demo', state: 'free', requests: 1, input_tokens: 0, output_tokens: 0 },
    ])
    expect(sum('output_tokens')).toBe(6)
  })
})
