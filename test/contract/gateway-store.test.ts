/** What every store of a gateway does; a new driver is one more line in `DRIVERS`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { RegisteredEnclave, UsageRecord } from '../../src/core/ports/gateway-store.ts'
import { openGatewayStores } from '../../src/drivers/store/sqlite/gateway.ts'

const root = mkdtempSync(join(tmpdir(), 'gateway-store-'))
afterAll(() => {
  rmSync(root, { recursive: true })
})
let files = 0
const DRIVERS = [['sqlite', () => join(root, `${files++}.sqlite`), openGatewayStores]] as const

const enclave = (changes: Partial<RegisteredEnclave> = {}): RegisteredEnclave => ({
  id: 'node_1',
  url: 'http://10.0.0.1:8460',
  keysetDigest: `sha256:${'ab'.repeat(32)}`,
  keyset: '{"a":"ü"}',
  ear: 'e.a.r',
  logIndex: 7,
  expiresAt: 1_000,
  ...changes,
})
const usage = (changes: Partial<UsageRecord> = {}): UsageRecord => ({
  receiptId: 'rcpt_1',
  tenant: 'acme',
  model: 'm',
  requestDigest: 'sha256:1',
  at: 1,
  inputTokens: 3,
  outputTokens: 4,
  state: 'billed',
  reason: '',
  ...changes,
})

describe.each(DRIVERS)('GatewayStores %s', (_, place, open) => {
  it('finds API keys by hash, revoked ones too, and revokes once', () => {
    const stores = open(place())
    const { apiKeys } = stores
    const key = { id: 'k1', tenant: 'acme', hash: 'aa', createdAt: 5, revokedAt: undefined }
    apiKeys.add(key)
    expect(apiKeys.find('aa')).toEqual(key)
    expect(apiKeys.find('bb')).toBeUndefined()
    expect(apiKeys.revoke('k1', 9)).toBe(true)
    expect(apiKeys.revoke('k1', 10)).toBe(false)
    expect(apiKeys.revoke('k2', 10)).toBe(false)
    expect(apiKeys.list()).toEqual([{ ...key, revokedAt: 9 }])
    stores.close()
  })

  it('never holds two keys with one hash', () => {
    const stores = open(place())
    const { apiKeys } = stores
    const key = { id: 'k1', tenant: 'acme', hash: 'aa', createdAt: 5, revokedAt: undefined }
    apiKeys.add(key)
    expect(() => {
      apiKeys.add({ ...key, id: 'k2', tenant: 'other' })
    }).toThrow()
    expect(apiKeys.find('aa')?.tenant).toBe('acme')
    stores.close()
  })

  it('keeps one enclave per URL, and only those still in force', () => {
    const path = place()
    const first = open(path)
    first.enclaves.save(enclave({ id: 'node_z' }))
    // A restart at the same address: under whatever id, only the newer one may come back.
    first.enclaves.save(enclave({ id: 'node_a', logIndex: 9 }))
    first.enclaves.save(enclave({ id: 'node_b', url: 'http://10.0.0.2', logIndex: 8 }))
    first.enclaves.save(enclave({ id: 'node_c', url: 'http://10.0.0.3', expiresAt: 500 }))
    first.close()
    const second = open(path)
    const ids = (now: number) => second.enclaves.live(now).map(({ id }) => id)
    expect(ids(499)).toEqual(['node_c', 'node_b', 'node_a'])
    // Expiry is the first second at which it is over.
    expect(ids(500)).toEqual(['node_b', 'node_a'])
    expect(ids(499)).toEqual(['node_b', 'node_a'])
    expect(second.enclaves.live(499)[1]).toEqual(enclave({ id: 'node_a', logIndex: 9 }))
    second.enclaves.remove('node_b')
    second.enclaves.remove('node_of_nobody')
    expect(ids(499)).toEqual(['node_a'])
    second.close()
  })

  it('bills a request once, whoever asks for it again', () => {
    const stores = open(place())
    const { usage: store } = stores
    expect(store.record(usage())).toBe('billed')
    expect(store.record(usage({ receiptId: 'rcpt_2' }))).toBe('duplicate')
    expect(store.record(usage({ receiptId: 'rcpt_3', tenant: 'other' }))).toBe('duplicate')
    expect(store.record(usage({ receiptId: 'rcpt_4', requestDigest: 'sha256:2' }))).toBe('billed')
    stores.close()
  })

  it('a refused or faulty one does not take the place of the bill', () => {
    const stores = open(place())
    const { usage: store } = stores
    expect(store.record(usage({ state: 'free' }))).toBe('free')
    expect(store.record(usage({ receiptId: 'rcpt_2', state: 'faulty', reason: 'x' }))).toBe(
      'faulty',
    )
    expect(store.record(usage({ receiptId: 'rcpt_3' }))).toBe('billed')
    stores.close()
  })

  it('the same exchange twice changes nothing; another one with its receipt id is its own', () => {
    const stores = open(place())
    const { usage: store } = stores
    expect(store.record(usage())).toBe('billed')
    expect(store.record(usage({ state: 'faulty' }))).toBe('billed')
    const reused = usage({ requestDigest: 'sha256:2', state: 'faulty', reason: 'reused' })
    expect(store.record(reused)).toBe('faulty')
    expect(store.totals('acme').map(({ state, requests }) => [state, requests])).toEqual([
      ['billed', 1],
      ['faulty', 1],
    ])
    stores.close()
  })

  it('adds up by model and state, each tenant its own, over a restart', () => {
    const path = place()
    const first = open(path)
    first.usage.record(usage())
    first.usage.record(usage({ receiptId: 'rcpt_2', requestDigest: 'sha256:2', outputTokens: 10 }))
    first.usage.record(usage({ receiptId: 'rcpt_3', requestDigest: 'sha256:3', model: 'n' }))
    first.usage.record(usage({ receiptId: 'rcpt_4', requestDigest: 'sha256:4', tenant: 'other' }))
    first.close()
    const second = open(path)
    expect(second.usage.totals('acme')).toEqual([
      { model: 'm', state: 'billed', requests: 2, inputTokens: 6, outputTokens: 14 },
      { model: 'n', state: 'billed', requests: 1, inputTokens: 3, outputTokens: 4 },
    ])
    expect(second.usage.totals('nobody')).toEqual([])
    second.close()
  })

  it('takes names that look like SQL as the names they are', () => {
    const stores = open(place())
    const { usage: store } = stores
    const tenant = `x'; DROP TABLE usage; --`
    store.record(usage({ tenant }))
    expect(store.totals(tenant)).toHaveLength(1)
    stores.close()
  })
})
