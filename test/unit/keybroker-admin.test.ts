import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { wrapKey } from '../../src/core/keys/jwe.ts'
import { keyUri } from '../../src/core/keys/uri.ts'
import { parseOperators } from '../../src/keybroker/config.ts'
import type { KeyOrder } from '../../src/keybroker/edits.ts'
import { OPEN_POLICY, type TestEnclave } from '../support/ears.ts'
import { type TestBroker, testBroker } from '../support/keybroker.ts'

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

describe('administration', () => {
  it('writes a leaf for every change, before it takes effect', async () => {
    await create()
    await broker.admin.rotate(id, { notBefore: null, notAfter: null, graceSeconds: 60 }, undefined)
    await broker.admin.setState(id, 1, 'disabled')
    await broker.admin.setState(id, 1, 'enabled')
    await broker.admin.setPolicy(id, OPEN_POLICY, true)
    await broker.admin.destroy(id, 1, false)
    expect(broker.log.types()).toEqual([
      'key create',
      'key rotate',
      'key disable',
      'key enable',
      'key policy',
      'key destroy',
    ])
    broker.log.behave = async () => Promise.reject(new TypeError('disk'))
    const before = await broker.admin.get(id)
    await expect(broker.admin.setState(id, 2, 'disabled')).rejects.toThrow(
      coded('ERR_LOG_UNAVAILABLE', 'log'),
    )
    await expect(broker.admin.create({ ...id, name: 'n' }, order(), undefined)).rejects.toThrow(
      coded('ERR_LOG_UNAVAILABLE', 'log'),
    )
    expect(await broker.admin.get(id)).toEqual(before)
    await expect(broker.admin.get({ ...id, name: 'n' })).rejects.toThrow(
      coded('ERR_KEY_NOT_FOUND', 'key'),
    )
  })

  it('keeps old versions releasable after a rotation, within their grace', async () => {
    await create()
    const graceSeconds = 60
    await broker.admin.rotate(id, { notBefore: null, notAfter: null, graceSeconds }, undefined)
    expect((await broker.release(await request())).key.version).toBe(2)
    expect((await broker.release(await request(1))).key.version).toBe(1)
    broker.clock.now = new Date(broker.clock.now.getTime() + 61_000)
    await expect(broker.release(await request(1))).rejects.toThrow(
      coded('ERR_KEY_NOT_RELEASABLE', 'key.not_after'),
    )
  })

  it('destroys after the waiting period, and can be taken back before', async () => {
    await create()
    await broker.admin.destroy(id, 1, false)
    await expect(broker.release(await request())).rejects.toThrow(
      coded('ERR_KEY_NOT_RELEASABLE', 'key.state'),
    )
    await broker.admin.setState(id, 1, 'enabled')
    await broker.release(await request())
    await broker.admin.destroy(id, 1, false)
    await broker.admin.sweep()
    expect((await broker.admin.get(id)).versions[0]?.state).toBe('pending-destruction')
    broker.clock.now = new Date(broker.clock.now.getTime() + 30 * 86_400_000)
    await broker.admin.sweep()
    expect((await broker.admin.get(id)).versions[0]?.state).toBe('destroyed')
    expect((await broker.parts.keys.find(id))?.versions[0]?.wrapped).toBeNull()
    await expect(broker.admin.setState(id, 1, 'enabled')).rejects.toThrow(
      coded('ERR_RESOURCE_CONFLICT', 'key.state'),
    )
  })

  it('destroys at once only when told so', async () => {
    await create()
    expect((await broker.admin.destroy(id, 1, true)).versions[0]?.state).toBe('destroyed')
  })

  it('never changes an immutable policy', async () => {
    await create({ policyImmutable: true })
    await expect(broker.admin.setPolicy(id, OPEN_POLICY, false)).rejects.toThrow(
      coded('ERR_RESOURCE_CONFLICT', 'key.policy_immutable'),
    )
  })

  it('creates once, however often and however many at once it is asked', async () => {
    const same = { id: 'op 1', asked: { n: 1 } }
    const created = await Promise.all([
      broker.admin.create(id, order(), same),
      broker.admin.create(id, order(), same),
    ])
    expect(created[1]).toEqual(created[0])
    const again = await broker.restart()
    expect(await again.admin.create(id, order(), same)).toEqual(created[0])
    expect(broker.log.types()).toEqual(['key create'])
    await expect(broker.admin.create(id, order(), { ...same, asked: { n: 2 } })).rejects.toThrow(
      coded('ERR_RESOURCE_CONFLICT', 'request.idempotency_key'),
    )
    await expect(create()).rejects.toThrow(coded('ERR_RESOURCE_CONFLICT', 'key'))
    broker.clock.now = new Date(broker.clock.now.getTime() + 86_400_000)
    await expect(broker.admin.create(id, order(), same)).rejects.toThrow(
      coded('ERR_RESOURCE_CONFLICT', 'key'),
    )
  })

  it('tells the slower of two operators in two processes', async () => {
    await create()
    const other = await broker.restart()
    broker.log.behave = async () => new Promise((resolve) => setTimeout(resolve, 5))
    const settled = await Promise.allSettled([
      broker.admin.setState(id, 1, 'disabled'),
      other.admin.setPolicy(id, OPEN_POLICY, true),
    ])
    expect(settled.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  })

  it('refuses impossible orders', async () => {
    await expect(create({ notBefore: 5, notAfter: 5 })).rejects.toThrow(
      coded('ERR_REQUEST_INVALID', 'body.not_after'),
    )
    await expect(create({ policy: {} })).rejects.toThrow(
      coded('ERR_POLICY_INVALID', 'policy.version'),
    )
    const elsewhere = { kid: 'kbs:///acme/models/other', recipient: broker.importKey }
    await expect(
      create({ material: await wrapKey(new Uint8Array(32), elsewhere) }),
    ).rejects.toThrow(coded('ERR_KEY_UNWRAP_FAILED', 'jwe'))
    const empty = await wrapKey(new Uint8Array(0), { kid: uri, recipient: broker.importKey })
    await expect(create({ material: empty })).rejects.toThrow(
      coded('ERR_REQUEST_INVALID', 'body.material'),
    )
    await create()
    await expect(broker.admin.setState(id, 9, 'disabled')).rejects.toThrow(
      coded('ERR_KEY_NOT_FOUND', 'key'),
    )
    expect(broker.log.types()).toEqual(['key create'])
  })

  it('lists in pages, by namespace', async () => {
    for (const namespace of ['a', 'b']) {
      for (const name of ['x', 'y', 'z']) {
        await broker.admin.create({ namespace, type: 't', name }, order(), undefined)
      }
    }
    const { admin } = broker
    const first = await admin.list({ namespaces: undefined, after: undefined, limit: 4 })
    const rest = await admin.list({ namespaces: undefined, after: first.at(-1)?.uri, limit: 4 })
    expect([...first, ...rest].map((key) => key.uri)).toHaveLength(6)
    const onlyB = await admin.list({ namespaces: ['b'], after: undefined, limit: 9 })
    expect(onlyB.map((key) => key.uri)).toEqual(['kbs:///b/t/x', 'kbs:///b/t/y', 'kbs:///b/t/z'])
    expect(await admin.list({ namespaces: [], after: undefined, limit: 9 })).toEqual([])
  })
})

describe('operators', () => {
  const operator = { name: 'alice', token_sha256: `sha256:${'00'.repeat(32)}`, namespaces: ['a'] }
  it('are read strictly', () => {
    expect(parseOperators({ operators: [operator] }).namespacesOf('alice')).toEqual(['a'])
    const all = parseOperators({ operators: [{ ...operator, namespaces: ['a', '*'] }] })
    expect(all.namespacesOf('alice')).toBeUndefined()
    expect(all.namespacesOf('bob')).toEqual([])
    for (const bad of [
      {},
      { operators: [operator, operator] },
      { operators: [{ ...operator, namespaces: [] }] },
      { operators: [{ ...operator, token: 'x' }] },
      { operators: [{ ...operator, token_sha256: 'x' }] },
      { operators: [{ ...operator, namespaces: ['a/b'] }] },
    ]) {
      expect(() => parseOperators(bad)).toThrow(
        expect.objectContaining({ code: 'ERR_CONFIG_INVALID' }),
      )
    }
  })
})
