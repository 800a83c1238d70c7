/** A gateway that lies before anything is sealed (spec/envelope.md §18.9). */
import OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { SecureSession } from '../../src/client/index.ts'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { createSealingCrypto } from '../../src/drivers/sealing/node.ts'
import { type Json, type LyingGateway, startLyingGateway } from '../support/lying-gateway.ts'
import { chat, openaiOver, startWorld, type World } from '../support/openai-world.ts'
import { without } from '../support/without.ts'

let world: World
let gateway: LyingGateway
beforeAll(async () => {
  world = await startWorld()
  gateway = await startLyingGateway(world.chain.service.url)
})
afterAll(async () => {
  await gateway.close()
  await world.close()
})
afterEach(() => {
  gateway.reset()
})

const CANARY = 'a prompt that must never leave in clear'
const sealedRequests = () => gateway.seen.filter(({ path }) => path === '/ohttp')

async function asked(session: SecureSession): Promise<unknown> {
  const asking = openaiOver(session).chat.completions.create(chat(CANARY))
  return asking.then(
    () => 'answered',
    (error: unknown) => error,
  )
}

/** @returns The error and the checks that failed. */
async function refused(session: SecureSession) {
  const error = await asked(session)
  expect(error).toBeInstanceOf(OpenAI.APIError)
  const [report] = session.verifications()
  const failed = report?.checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id)
  expect(sealedRequests()).toEqual([])
  for (const { body, headers, path } of gateway.seen) {
    expect(path + JSON.stringify(headers) + body.toString('latin1')).not.toContain(CANARY)
  }
  return { error: error as InstanceType<typeof OpenAI.APIError>, failed }
}

describe('nothing is sealed for a gateway that', () => {
  it('swaps the key to seal to', async () => {
    gateway.lies.keyset = swapKeys
    const { error, failed } = await refused(await world.session(gateway.url))
    expect(error).toMatchObject({ status: 403, code: 'ERR_KEYSET_REFUSED' })
    expect(failed).toEqual(expect.arrayContaining(['client.keyset.digest', 'client.log.inclusion']))
  })

  it('serves an answer from before: the nonce is not ours', async () => {
    const first = await world.session(gateway.url)
    let old: Json = {}
    gateway.lies.keyset = (answer) => (old = answer)
    await first.verify('demo')
    gateway.lies.keyset = () => old
    const { failed } = await refused(await world.session(gateway.url))
    expect(failed).toEqual(['simulated.freshness.nonce'])
  })

  it('leaves out the proof, or the evidence', async () => {
    for (const name of ['log', 'evidence', 'endorsements', 'statement']) {
      gateway.lies.keyset = (answer) => without(answer, name)
      const { error } = await refused(await world.session(gateway.url))
      expect([name, error.code]).toEqual([name, 'ERR_KEYSET_MALFORMED'])
      gateway.reset()
    }
  })

  it('shows a log that is not the one it showed before', async () => {
    const session = await world.session(gateway.url, { verify_every: 0 })
    await session.verify('demo')
    await growLog()
    gateway.reset()
    gateway.lies.log = (_, bytes) => Buffer.from(bytes.map((byte) => byte ^ 1))
    const { error, failed } = await refused(session)
    expect(error.code).toBe('ERR_KEYSET_REFUSED')
    expect(failed).toEqual(['client.log.consistency'])
  })

  it('hides the log: that is no alarm, and nothing is sealed', async () => {
    const session = await world.session(gateway.url, { verify_every: 0 })
    await session.verify('demo')
    await growLog()
    gateway.reset()
    gateway.lies.log = () => undefined
    const error = (await asked(session)) as InstanceType<typeof OpenAI.APIError>
    expect(error).toMatchObject({ status: 503, code: 'ERR_LOG_UNAVAILABLE' })
    expect(sealedRequests()).toEqual([])
  })
})

const POLICY = {
  version: '1.0.0',
  anyOf: [
    {
      authority: 'urn:vouchsafe:verifier',
      allOf: [{ claim: String.raw`submods.cpu0.ear\.status`, equals: 'affirming' }],
    },
  ],
}

let keys = 0
/** One leaf more, and a checkpoint over it. */
async function growLog(): Promise<void> {
  const checkpoint = async () =>
    (await (await fetch(`${world.chain.service.url}/log/checkpoint`)).text()).split('\n')[1]
  const before = await checkpoint()
  const made = await fetch(`${world.chain.service.url}/v1/keys/acme/models/other-${keys++}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${world.chain.token('operator')}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ policy: POLICY }),
  })
  expect(made.status).toBe(201)
  await expect.poll(checkpoint).not.toBe(before)
}

/** The enclave's keyset with keys whose private halves the gateway has. */
function swapKeys(answer: Json): Json {
  const keyset = structuredClone(answer['keyset']) as { e2ee_public_keys: { public_key: string }[] }
  for (const key of keyset.e2ee_public_keys) {
    const mine = toHex(createSealingCrypto().random(32))
    key.public_key = key.public_key.slice(0, 6) + mine + key.public_key.slice(6 + mine.length)
  }
  return { ...answer, keyset, ear: toBase64url(new Uint8Array(3)) }
}
