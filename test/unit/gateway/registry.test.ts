import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Keyset, keysetDigest } from '../../../src/core/sealing/keyset.ts'
import { decodeLeaf } from '../../../src/core/tlog/leaf.ts'
import { parseProof } from '../../../src/core/tlog/proof.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { startTestEnclave, type TestEnclave } from '../../support/enclave.ts'
import {
  createGatewayWorld,
  type EarChange,
  type GatewayWorld,
} from '../../support/gateway-world.ts'
import { checksWith, resultOf } from '../../support/release.ts'

const URL = 'http://127.0.0.1:8460'
const NOW = 1_790_000_000_000
let enclave: TestEnclave
let keyset: Keyset
let digest: string
let world: GatewayWorld
beforeAll(async () => {
  enclave = await startTestEnclave({ now: { value: NOW } })
  const standing = enclave.runtime.standing()
  if (standing === undefined) throw new Error('no standing')
  keyset = standing.keyset.keyset
  digest = standing.keyset.digest
})
afterAll(async () => enclave.close())
beforeEach(async () => {
  world = await createGatewayWorld({ now: NOW })
  return async () => world.close()
})
const nodeOf = () => [...(world.registry.live()[0]?.keyHashes ?? [])]
const register = async (change: { url?: string; keyset?: unknown; ear?: EarChange } = {}) =>
  world.registry.register({
    url: change.url ?? URL,
    keyset: 'keyset' in change ? change.keyset : keyset,
    ear: await world.ear(keyset, change.ear),
  })
const withSubject = (subject: string): Keyset => ({ ...keyset, subject })

describe('registration', () => {
  it('logs the keyset, keeps its blobs, and ends with the earlier of EAR and keyset', async () => {
    const { logIndex, expiresAt, id } = await register()
    expect(id).toMatch(/^node_[0-9a-f]{16}$/)
    expect(expiresAt).toBe(NOW / 1000 + 300)
    const { extra = new Uint8Array(0) } = parseProof(
      new TextEncoder().encode(await world.log.log.proof(logIndex)),
    )
    const leaf = decodeLeaf(extra)
    expect(leaf).toMatchObject({ type: 'keyset', keyset: digest, not_after: keyset.not_after })
    expect(await world.log.blobs.get(digest)).toBeDefined()
    const long = await register({ ear: { seconds: 10 ** 7 } })
    expect(long.expiresAt).toBe(keyset.not_after)
  })

  const contraindicated = resultOf(
    checksWith({ id: 'tdx.debug', outcome: 'fail', expected: 'false', actual: 'true' }),
  )
  it.each<[string, Parameters<typeof register>[0], string]>([
    [
      'an EAR that is not affirming',
      { ear: { results: { cpu0: contraindicated } } },
      'ERR_RESULT_NOT_AFFIRMING',
    ],
    [
      'one affirming result beside one that is not',
      { ear: { results: { cpu0: resultOf(), cpu1: contraindicated } } },
      'ERR_RESULT_NOT_AFFIRMING',
    ],
    [
      'an EAR without any check',
      { ear: { results: { cpu0: resultOf([]) } } },
      'ERR_RESULT_NOT_AFFIRMING',
    ],
    ['an EAR without any result', { ear: { results: {} } }, 'ERR_RESULT_MALFORMED'],
    [
      'an EAR about another keyset',
      { ear: { digest: `sha256:${'0'.repeat(64)}` } },
      'ERR_KEYSET_REFUSED',
    ],
    ['an EAR of another issuer', { ear: { issuer: 'https://other.test' } }, 'ERR_RESULT_UNTRUSTED'],
    ['an EAR that has expired', { ear: { seconds: -1 } }, 'ERR_RESULT_UNTRUSTED'],
    ['a keyset with more in it', { keyset: { extra: true } }, 'ERR_KEYSET_MALFORMED'],
    ['no keyset', { keyset: null }, 'ERR_KEYSET_MALFORMED'],
    ['a path', { url: `${URL}/admin` }, 'ERR_REQUEST_INVALID'],
    ['a query', { url: `${URL}/?x` }, 'ERR_REQUEST_INVALID'],
    ['a user name', { url: 'http://me@127.0.0.1:1' }, 'ERR_REQUEST_INVALID'],
    ['a password alone', { url: 'http://:me@127.0.0.1:1' }, 'ERR_REQUEST_INVALID'],
    ['another scheme', { url: 'file:///etc/passwd' }, 'ERR_REQUEST_INVALID'],
    ['no URL', { url: 'enclave' }, 'ERR_REQUEST_INVALID'],
  ])('refuses %s', async (_, change, code) => {
    await expect(register(change)).rejects.toMatchObject({ code })
    expect(world.registry.live()).toEqual([])
    expect((await world.restarted()).live()).toEqual([])
  })

  it('refuses a keyset that is not in force', async () => {
    world.now.value = keyset.not_after * 1000
    await expect(register()).rejects.toMatchObject({ code: 'ERR_KEYSET_REFUSED' })
    world.now.value = keyset.vouchsafe.not_before * 1000 - 1000
    await expect(register()).rejects.toMatchObject({ code: 'ERR_KEYSET_REFUSED' })
  })

  it('without the log there is none', async () => {
    await world.log.log.close()
    await expect(register()).rejects.toMatchObject({ code: 'ERR_LOG_UNAVAILABLE' })
    expect(world.registry.live()).toEqual([])
  })
})

describe('routing', () => {
  it('ends when the registration does', async () => {
    await register()
    expect(world.registry.pick({ model: 'toy' }).url).toBe(URL)
    world.now.value += 300_000
    expect(() => world.registry.pick({ model: 'toy' })).toThrow(
      expect.objectContaining({ code: 'ERR_UPSTREAM_UNAVAILABLE' }),
    )
  })

  it('tells apart: no enclave, no such model, no such key', async () => {
    const codeOf = (want: Parameters<GatewayWorld['registry']['pick']>[0]) => {
      try {
        return world.registry.pick(want).url
      } catch (error) {
        return (error as { code?: string }).code
      }
    }
    expect(codeOf({})).toBe('ERR_UPSTREAM_UNAVAILABLE')
    await register()
    expect(codeOf({ model: 'nope' })).toBe('ERR_RESOURCE_NOT_FOUND')
    expect(codeOf({ model: 'toy', nodes: ['ab'.repeat(16)] })).toBe('ERR_ENVELOPE_KEY_UNKNOWN')
    expect(codeOf({ model: 'toy', nodes: ['ab'.repeat(16), ...nodeOf()] })).toBe(URL)
  })

  it('spreads over enclaves, and a key hash keeps to those that have the key', async () => {
    await register()
    await register({ url: 'http://127.0.0.1:8461' })
    const urls = Array.from({ length: 4 }, () => world.registry.pick({ model: 'toy' }).url)
    expect(new Set(urls).size).toBe(2)
  })

  it('a new registration takes the place of the old one at its address, also after a restart', async () => {
    await register()
    const next = withSubject('restarted')
    const ear = await world.ear(next)
    const { id } = await world.registry.register({ url: `${URL}/`, keyset: next, ear })
    for (const registry of [world.registry, await world.restarted()]) {
      expect(registry.live().map((live) => live.id)).toEqual([id])
      expect(registry.pick({ model: 'toy' }).parsed.subject).toBe('restarted')
    }
  })

  it('what was removed is gone, also after a restart', async () => {
    const { id } = await register()
    expect(world.registry.remove(id)).toBe(true)
    expect(world.registry.remove(id)).toBe(false)
    for (const registry of [world.registry, await world.restarted()]) {
      expect(registry.live()).toEqual([])
    }
  })

  it('the log has a place for the keyset of now and the one before, and for no other', async () => {
    const first = await register()
    const next = withSubject('renewed')
    const second = await world.registry.register({
      url: URL,
      keyset: next,
      ear: await world.ear(next),
    })
    const logIndex: typeof world.registry.logIndex = (...of) => world.registry.logIndex(...of)
    expect(logIndex(URL, digest)).toBe(first.logIndex)
    expect(logIndex(URL, await keysetDigest(next, createCrypto()))).toBe(second.logIndex)
    for (const [url, of] of [
      [URL, `sha256:${'0'.repeat(64)}`],
      ['http://127.0.0.1:1', digest],
    ] as const) {
      expect(() => logIndex(url, of)).toThrow(
        expect.objectContaining({ code: 'ERR_UPSTREAM_UNAVAILABLE' }),
      )
    }
  })
})
