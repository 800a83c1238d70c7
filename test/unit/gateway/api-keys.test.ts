import { beforeEach, describe, expect, it } from 'vitest'
import { systemRandom } from '../../../src/drivers/random.ts'
import { openGatewayStores } from '../../../src/drivers/store/sqlite/gateway.ts'
import { type ApiKeys, createApiKeys } from '../../../src/gateway/api-keys.ts'

let keys: ApiKeys
beforeEach(() => {
  const { apiKeys: store } = openGatewayStores(':memory:')
  keys = createApiKeys({ store, clock: () => new Date(5_000), random: systemRandom })
})
const refused = { code: 'ERR_REQUEST_UNAUTHORIZED', at: 'authorization' }

describe('API keys', () => {
  it('let in whoever has one, and the secret is nowhere but with them', () => {
    const { key, secret } = keys.create('acme')
    expect(secret).toMatch(/^vs-[\w-]{43}$/)
    expect(keys.authenticate(`Bearer ${secret}`)).toEqual(key)
    expect(keys.authenticate(`bearer ${secret}`)).toEqual(key)
    expect(JSON.stringify([key, keys.list()])).not.toContain(secret)
    expect(key.createdAt).toBe(5)
  })

  it.each([
    ['nothing', () => undefined],
    ['an empty header', () => ''],
    ['no scheme', (secret: string) => secret],
    ['another scheme', (secret: string) => `Basic ${secret}`],
    ['two keys', (secret: string) => `Bearer ${secret} ${secret}`],
    ['a prefix', (secret: string) => `Bearer ${secret.slice(0, -1)}`],
    ['the hash that is stored', (_: string, hash: string) => `Bearer ${hash}`],
    ['the id', (_: string, __: string, id: string) => `Bearer ${id}`],
  ])('not with %s', (_, header) => {
    const { key, secret } = keys.create('acme')
    expect(() => keys.authenticate(header(secret, key.hash, key.id))).toThrow(
      expect.objectContaining(refused),
    )
  })

  it('not with a revoked one, and revoking is final', () => {
    const { key, secret } = keys.create('acme')
    keys.revoke(key.id)
    expect(() => keys.authenticate(`Bearer ${secret}`)).toThrow(expect.objectContaining(refused))
    expect(() => {
      keys.revoke(key.id)
    }).toThrow(expect.objectContaining({ code: 'ERR_RESOURCE_NOT_FOUND' }))
  })

  it('no two alike, also for one tenant', () => {
    const secrets = Array.from({ length: 50 }, () => keys.create('acme').secret)
    expect(new Set(secrets).size).toBe(50)
  })

  it.each(['', 'ACME', 'a b', '-a', 'a/b', 'a'.repeat(64), 'ü'])('no tenant %j', (tenant) => {
    expect(() => keys.create(tenant)).toThrow(
      expect.objectContaining({ code: 'ERR_REQUEST_INVALID', at: 'tenant' }),
    )
  })
})
