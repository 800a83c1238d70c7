import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../src/core/errors.ts'
import { encodeHints } from '../../src/core/sealing/hints.ts'
import { keysetDigest, parseKeyset } from '../../src/core/sealing/keyset.ts'
import {
  authenticateReceipt,
  checkReceipt,
  startSaltedDigest,
} from '../../src/core/sealing/receipt.ts'
import { reportData, statementText } from '../../src/core/sealing/statement.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createSealingCrypto } from '../../src/drivers/sealing/node.ts'
import { AGREEABLE, MODEL } from '../support/enclave.ts'
import {
  ask,
  CHAT,
  COMPLETION,
  delta,
  json,
  lastBody,
  receiptOf,
  standingOf,
  start,
  stream,
  USAGE,
} from '../support/enclave-app.ts'

const hasher = createCrypto()
const NONCE = '12'.repeat(32)

describe('GET /v1/keyset', () => {
  it('is one answer with keyset, statement, evidence over the nonce, and EAR', async () => {
    const enclave = await start()
    const response = await enclave.app.inject(`/v1/keyset?nonce=${NONCE}&model=${MODEL}`)
    expect(response.statusCode).toBe(200)
    const answer = response.json<Record<string, unknown>>()
    const keyset = parseKeyset(answer['keyset'])
    const digest = await keysetDigest(keyset, hasher)
    const statement = statementText({ keysetDigest: digest, nonce: NONCE })
    expect(answer).toMatchObject({
      keyset_digest: digest,
      statement,
      receipts_url: '/v1/receipts/',
    })
    const [evidence] = answer['evidence'] as { format: string; evidence: string }[]
    // The agreeable hardware's evidence is the report data itself.
    expect(Buffer.from(evidence?.evidence ?? '', 'base64url')).toEqual(
      Buffer.from(await reportData(statement, hasher)),
    )
    expect(keyset.vouchsafe.models).toEqual([
      { id: MODEL, manifest: enclave.runtime.manifestDigest },
    ])
    expect(keyset.vouchsafe.keys.map(({ state }) => state)).toEqual([
      'current',
      'current',
      'next',
      'next',
    ])
    expect(answer['ear']).toBe(standingOf(enclave).proof.ear)
  })

  it.each([
    ['', 400, 'ERR_REQUEST_INVALID'],
    ['?nonce=abc', 400, 'ERR_REQUEST_INVALID'],
    [`?nonce=${NONCE.toUpperCase().replaceAll('1', 'A')}`, 400, 'ERR_REQUEST_INVALID'],
    [`?nonce=${NONCE}&model=other`, 404, 'ERR_RESOURCE_NOT_FOUND'],
    [`?nonce=${NONCE}&nonce=${NONCE}`, 400, 'ERR_REQUEST_INVALID'],
  ])('%j is refused', async (query, status, code) => {
    const enclave = await start()
    const response = await enclave.app.inject(`/v1/keyset${query}`)
    expect(response.statusCode).toBe(status)
    expect(response.json()).toMatchObject({ code })
  })

  it('the same question at once costs the hardware one answer, and strangers cannot ask without end', async () => {
    let quotes = 0
    const enclave = await start(undefined, {
      attester: {
        attest: async (data) => {
          quotes += 1
          await new Promise((resolve) => setTimeout(resolve, 30))
          return AGREEABLE.attest(data)
        },
      },
      app: { attestationsPerMinute: 12 },
    })
    quotes = 0
    const get = async () => enclave.app.inject(`/v1/keyset?nonce=${NONCE}`)
    const same = await Promise.all(Array.from({ length: 10 }, get))
    expect(same.map(({ statusCode }) => statusCode)).toEqual(new Array(10).fill(200))
    expect(quotes).toBe(1)
    const late = [await get(), await get(), await get()]
    expect(late.map(({ statusCode }) => statusCode)).toEqual([200, 200, 429])
  })

  it('serves its key configurations as RFC 9540 has it', async () => {
    const enclave = await start()
    const response = await enclave.app.inject('/.well-known/ohttp-gateway')
    expect(response.headers['content-type']).toBe('application/ohttp-keys')
    expect(response.rawPayload.length).toBeGreaterThan(1216 + 32)
  })
})

describe('a sealed request', () => {
  it.each(['unary', 'chunked'] as const)('%s: is answered sealed, with a receipt', async (form) => {
    const enclave = await start()
    const answer = await ask(enclave, { form })
    expect(answer.outer.status).toBe(200)
    expect(answer.outer.headers['cache-control']).toBe('no-store, no-transform')
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.text)).toEqual(COMPLETION)
    expect(answer.outer.raw.includes('hello')).toBe(false)
    const receipt = await receiptOf(enclave, answer)
    expect(receipt).toMatchObject({
      outcome: 'ok',
      usage: { input_tokens: 7, output_tokens: 3, n: 1 },
      envelope: { format: form === 'unary' ? 'ohttp' : 'ohttp-chunked', kem: 0x647a, weak: false },
      model: { id: MODEL, manifest: enclave.runtime.manifestDigest, release_id: 'lease-1' },
      response: { complete: true },
    })
  })

  it('X25519 works too', async () => {
    const enclave = await start()
    expect((await ask(enclave, { kems: [0x0020] })).status).toBe(200)
  })

  it('its receipt holds against what a client saw, and against the keyset', async () => {
    const enclave = await start()
    const hints = encodeHints({ model: MODEL, api: 'chat' })
    const answer = await ask(enclave, { hints })
    const receipt = await receiptOf(enclave, answer)
    const { keyset, digest } = standingOf(enclave).keyset
    await authenticateReceipt(receipt, { keyset, keysetDigest: digest }, hasher)
    const sha256 = (bytes: Uint8Array | string) =>
      `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    checkReceipt(receipt, {
      keysetDigest: digest,
      model: MODEL,
      request: answer.sealed.ciphertext,
      response: {
        digest: sha256(answer.outer.raw),
        bytes: answer.outer.raw.length,
        chunks: receipt.response.chunks,
        complete: true,
      },
      hints: sha256(hints),
    })
    const salted = await startSaltedDigest(answer.sealed, createSealingCrypto())
    salted.update(new TextEncoder().encode(answer.text))
    expect(receipt.salted?.response).toBe(Buffer.from(salted.digest()).toString('hex'))
  })

  it('streams one sealed piece per event, padded, without the usage nobody asked for', async () => {
    const events = ['a', 'bb', 'a much longer piece of text'].map(delta)
    const last = JSON.stringify({ choices: [], usage: USAGE })
    const enclave = await start(async () => stream([...events, last, '[DONE]']))
    const answer = await ask(enclave, { body: { ...CHAT, stream: true } })
    expect(lastBody()).toMatchObject({ stream_options: { include_usage: true } })
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    const seen = answer.text.split('\n\n').filter((event) => event !== '')
    expect(seen.map((event) => event.split('\n')[0])).toEqual([
      ...events.map((event) => `data: ${event}`),
      'data: [DONE]',
    ])
    expect(new Set(seen.map(({ length }) => length)).size).toBe(1)
    const receipt = await receiptOf(enclave, answer)
    // Head, four events, end.
    expect(receipt.response.chunks).toBe(6)
    expect(receipt.usage).toMatchObject({ input_tokens: 7, output_tokens: 3 })
  })

  it('an error of the model is the answer, and the receipt says error', async () => {
    const refusal = { error: { message: 'too long', type: 'invalid_request_error' } }
    const enclave = await start(async () => json(refusal, 400))
    const answer = await ask(enclave)
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.text)).toEqual(refusal)
    expect((await receiptOf(enclave, answer)).outcome).toBe('error')
  })

  it('a model that cannot be asked is a sealed 503 without its words', async () => {
    const enclave = await start(async () => {
      const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'model.loopback' } as const
      throw new VouchsafeError(blame, 'CANARY')
    })
    const answer = await ask(enclave)
    expect(answer.status).toBe(503)
    expect(answer.text).not.toContain('CANARY')
    expect(enclave.journal.join()).not.toContain('CANARY')
    expect((await receiptOf(enclave, answer)).outcome).toBe('error')
  })

  it('a stream that the model breaks off ends with an error event', async () => {
    const enclave = await start(async () => ({
      status: 200,
      headers: { 'content-type': 'text/event-stream' },
      body: (async function* () {
        yield new TextEncoder().encode(`data: ${delta('a')}\n\n`)
        throw new Error('CANARY')
      })(),
    }))
    const answer = await ask(enclave, { body: { ...CHAT, stream: true } })
    expect(answer.text).toContain('"error":{')
    expect(answer.text + enclave.journal.join()).not.toContain('CANARY')
    const receipt = await receiptOf(enclave, answer)
    expect(receipt).toMatchObject({ outcome: 'error', usage: { output_tokens: 1 } })
  })

  it("never passes the client's cache salt on, and gives each boot its own", async () => {
    const first = await start()
    await ask(first, { body: { ...CHAT, cache_salt: 'mine' } })
    const salt = lastBody()['cache_salt']
    expect(salt).toMatch(/^[\w-]{43}$/)
    await ask(first, { body: { ...CHAT, cache_salt: 'mine' } })
    expect(lastBody()['cache_salt']).toBe(salt)
    const second = await start()
    await ask(second, { body: { ...CHAT, cache_salt: 'mine' } })
    expect(lastBody()['cache_salt']).not.toBe(salt)
  })
})

describe('GET /v1/receipts/{id}', () => {
  it('unknown and forgotten receipts are not there', async () => {
    const enclave = await start(undefined, { app: { receipts: 2 } })
    expect((await enclave.app.inject('/v1/receipts/rcpt_none')).statusCode).toBe(404)
    const answers = [await ask(enclave), await ask(enclave), await ask(enclave)]
    const ids = answers.map(({ outer }) => String(outer.headers['x-receipt-id']))
    const statuses = []
    for (const id of ids) statuses.push((await enclave.app.inject(`/v1/receipts/${id}`)).statusCode)
    expect(statuses).toEqual([404, 200, 200])
  })
})
