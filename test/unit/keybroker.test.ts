import { generateKeyPair } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { canonicalBytes } from '../../src/core/encoding/canonical-json.ts'
import { decodeDecisionInput } from '../../src/core/keys/decision-record.ts'
import { unwrapKey, wrapKey } from '../../src/core/keys/jwe.ts'
import { decideRelease } from '../../src/core/keys/release.ts'
import { keyUri } from '../../src/core/keys/uri.ts'
import type { KeyOrder } from '../../src/keybroker/edits.ts'
import { OPEN_POLICY, type TestEnclave } from '../support/ears.ts'
import { type TestBroker, testBroker } from '../support/keybroker.ts'
import { checksWith, resultOf } from '../support/release.ts'

const id = { namespace: 'acme', type: 'models', name: 'qwen' }
const uri = keyUri(id)
const coded = (code: string, at: string): unknown => expect.objectContaining({ code, at })

let broker: TestBroker
let enclave: TestEnclave
beforeEach(async () => {
  broker = await testBroker()
  enclave = await broker.enclave()
})
afterEach(() => {
  broker.close()
})

const order = (change: Partial<KeyOrder> = {}): KeyOrder => ({
  notBefore: null,
  notAfter: null,
  policy: OPEN_POLICY,
  policyImmutable: false,
  maxReleases: null,
  leaseSeconds: 600,
  labels: {},
  ...change,
})
const create = async (change: Partial<KeyOrder> = {}) =>
  broker.admin.create(id, order(change), undefined)
const request = async (version?: number) => ({
  key: id,
  version,
  ear: await enclave.ear(),
  keyset: enclave.keyset,
})

describe('release', () => {
  it('gives the enclave its key, with a lease, after the log has it', async () => {
    const material = new Uint8Array(32).fill(9)
    const jwe = await wrapKey(material, { kid: uri, recipient: broker.importKey })
    await create({ material: jwe })
    const released = await broker.release(await request())
    expect(released).toMatchObject({ key: { uri, version: 1 }, log: { index: 1 } })
    expect(released.lease.expiresAt).toBe(broker.clock.now.getTime() / 1000 + 600)
    const { privateKey } = enclave
    const kid = `${uri}?version=1`
    expect(await unwrapKey(released.jwe, { kid, privateKey })).toEqual(material)
    expect(broker.log.leaves[1]).toMatchObject({ type: 'release', lease: released.lease.id })
  })

  it('replay-is-identical: the blobs of the leaf give the same decision', async () => {
    await create()
    await broker.release(await request())
    const bad = resultOf(
      checksWith({ id: 'tdx.debug', outcome: 'fail', expected: 'off', actual: 'on' }),
    )
    const refused = { ...(await request()), ear: await enclave.ear({ cpu0: bad }) }
    await expect(broker.release(refused)).rejects.toThrow(
      coded('ERR_RESULT_NOT_AFFIRMING', 'ear.submods.cpu0'),
    )
    expect(broker.log.types()).toEqual(['key create', 'release', 'refusal'])
    for (const leaf of broker.log.leaves) {
      if (leaf.type !== 'release' && leaf.type !== 'refusal') continue
      const record = broker.blobs.blobs.get(leaf.decision) ?? new Uint8Array(0)
      const decision = decideRelease(decodeDecisionInput(record))
      expect(decision).toMatchObject(
        leaf.type === 'release' ? { release: true } : { code: leaf.code, at: leaf.at },
      )
      if (leaf.type === 'release') {
        expect(broker.blobs.blobs.has(leaf.ear)).toBe(true)
        expect(broker.blobs.blobs.has(leaf.policy)).toBe(true)
        const keyset = broker.blobs.blobs.get(decodeDecisionInput(record).keysetDigest)
        expect(keyset).toEqual(canonicalBytes(enclave.keyset))
      }
    }
  })

  it('refuses, with a leaf, what the rules refuse', async () => {
    await create({
      policy: { version: '1.0.0', anyOf: [{ claim: 'iss', equals: 'https://other' }] },
    })
    await expect(broker.release(await request())).rejects.toThrow(
      coded('ERR_RELEASE_DENIED', 'policy.anyOf.0'),
    )
    const other = { ...(await request()), keyset: (await broker.enclave()).keyset }
    await expect(broker.release(other)).rejects.toThrow(coded('ERR_RELEASE_DENIED', 'keyset'))
    expect(broker.log.types()).toEqual(['key create', 'refusal', 'refusal'])
  })

  it('decides nothing, and logs nothing, for what nobody vouches for', async () => {
    await create()
    const stranger = (await generateKeyPair('ES256')).privateKey
    const good = await request()
    const before = new Date(broker.clock.now.getTime() - 400_000)
    const attempts: [string, string, object][] = [
      [
        'ERR_RESULT_UNTRUSTED',
        'ear.signature',
        { ear: await enclave.ear(undefined, { key: stranger }) },
      ],
      [
        'ERR_RESULT_UNTRUSTED',
        'ear.iss',
        { ear: await enclave.ear(undefined, { issuer: 'https://x' }) },
      ],
      [
        'ERR_RESULT_UNTRUSTED',
        'ear.exp',
        { ear: await enclave.ear(undefined, { issuedAt: before }) },
      ],
      ['ERR_RESULT_MALFORMED', 'ear.token', { ear: 'nothing' }],
      ['ERR_KEYSET_MALFORMED', 'keyset.vouchsafe.release_key', { keyset: {} }],
      ['ERR_KEY_NOT_FOUND', 'key', { version: 2 }],
      ['ERR_KEY_NOT_FOUND', 'key', { key: { ...id, name: 'other' } }],
    ]
    for (const [code, at, change] of attempts) {
      await expect(broker.release({ ...good, ...change })).rejects.toThrow(coded(code, at))
    }
    expect(broker.log.types()).toEqual(['key create'])
  })

  it('fails closed when the log is late, broken or full, and gives the count back', async () => {
    await create({ maxReleases: 1 })
    const unavailable: unknown = coded('ERR_LOG_UNAVAILABLE', 'log')
    broker.log.behave = async () => new Promise(() => undefined)
    await expect(broker.release(await request())).rejects.toThrow(unavailable)
    broker.log.behave = async () => Promise.reject(new TypeError('disk'))
    await expect(broker.release(await request())).rejects.toThrow(unavailable)
    broker.log.behave = async () => undefined
    await broker.release(await request())
    await expect(broker.release(await request())).rejects.toThrow(
      coded('ERR_KEY_NOT_RELEASABLE', 'key.max_releases'),
    )
  })

  it('does not refuse either while the log cannot take the refusal', async () => {
    await create({ policy: { version: '1.0.0', anyOf: [{ claim: 'gone', equals: 1 }] } })
    broker.log.behave = async () => Promise.reject(new TypeError('disk'))
    await expect(broker.release(await request())).rejects.toThrow(
      coded('ERR_LOG_UNAVAILABLE', 'log'),
    )
  })

  it('releases no more than the maximum, however many ask at once', async () => {
    await create({ maxReleases: 3 })
    const other = await broker.restart()
    broker.log.behave = async () => new Promise((resolve) => setTimeout(resolve, 5))
    const good = await request()
    const attempts = Array.from({ length: 20 }, async (_, i) =>
      (i % 2 === 0 ? broker : other).release(good),
    )
    const settled = await Promise.allSettled(attempts)
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    for (const one of settled) {
      if (one.status === 'rejected') {
        expect(one.reason).toEqual(coded('ERR_KEY_NOT_RELEASABLE', 'key.max_releases'))
      }
    }
    expect((await broker.admin.get(id)).versions[0]?.releases).toBe(3)
    expect(broker.log.types().filter((type) => type === 'release')).toHaveLength(3)
  })

  it('counts a reservation that nobody finished until it runs out', async () => {
    await create({ maxReleases: 1 })
    const now = broker.clock.now.getTime() / 1000
    const lease = { id: 'x', key: id, version: 1, recipient: 'r', ear: 'e' }
    const times = { issuedAt: now, expiresAt: now + 9 }
    const limit = { maxReleases: 1, reservedUntil: now + 60 }
    expect(await broker.parts.leases.reserve({ ...lease, ...times }, limit)).toBe(true)
    await expect(broker.release(await request())).rejects.toThrow(
      coded('ERR_KEY_NOT_RELEASABLE', 'key.max_releases'),
    )
    broker.clock.now = new Date((now + 60) * 1000)
    await broker.release(await request())
    expect(await broker.parts.leases.issue('x', 5, now + 60)).toBe(false)
  })

  it('stops a release whose key is disabled while the log writes', async () => {
    await create()
    broker.log.behave = async (leaf) => {
      if (leaf.type === 'release') await broker.admin.setState(id, 1, 'disabled')
    }
    await expect(broker.release(await request())).rejects.toThrow(
      coded('ERR_KEY_NOT_RELEASABLE', 'key.state'),
    )
    expect((await broker.admin.get(id)).versions[0]?.releases).toBe(0)
  })

  it('refuses a recipient off the curve, and counts nothing', async () => {
    await create()
    const keyset = structuredClone(enclave.keyset) as unknown as {
      vouchsafe: { release_key: { public_key: string } }
    }
    const { release_key: key } = keyset.vouchsafe
    key.public_key = `${key.public_key.slice(0, -2)}${key.public_key.endsWith('00') ? '01' : '00'}`
    const { recipientOf } = await import('../../src/core/keys/recipient.ts')
    const { digest } = await recipientOf(keyset, broker.parts.hasher)
    const ear = await enclave.ear(undefined, { keysetDigest: digest })
    await expect(broker.release({ ...(await request()), keyset, ear })).rejects.toThrow(
      coded('ERR_KEYSET_MALFORMED', 'recipient'),
    )
    expect((await broker.admin.get(id)).versions[0]?.releases).toBe(0)
  })
})
