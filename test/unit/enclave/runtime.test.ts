import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { openingKeys } from '../../../src/enclave/key-ring.ts'
import type { BrokerPeer, GatewayPeer, VerifierPeer } from '../../../src/enclave/peers/peer.ts'
import {
  affirming,
  brokerOf,
  type EnclaveWorld,
  registry,
  startTestEnclave,
  type TestEnclave,
  WEIGHTS,
} from '../../support/enclave.ts'
import { steppedTime } from '../../support/stepped-time.ts'

const START = 1_790_000_000
const opened: TestEnclave[] = []
afterEach(async () => {
  for (const enclave of opened.splice(0)) await enclave.close()
})

async function start(changes: Partial<EnclaveWorld> = {}): Promise<TestEnclave> {
  const enclave = await startTestEnclave(changes)
  opened.push(enclave)
  return enclave
}

const fail = (code: 'ERR_UPSTREAM_UNAVAILABLE' | 'ERR_RELEASE_DENIED') => async () => {
  throw new VouchsafeError({ code, at: 'test' }, 'as the test wants')
}
const stores: string[] = []
/** A place in memory for one test, so that what is left in it is of that test. */
const makeStore = async (): Promise<string> => {
  const store = await mkdtemp('/dev/shm/test-')
  stores.push(store)
  return store
}
afterEach(async () => {
  for (const store of stores.splice(0)) await rm(store, { recursive: true })
})

describe('boot', () => {
  it('opens the weights into private memory, wipes the keys, and removes all of it at the end', async () => {
    const enclave = await startTestEnclave()
    const path = join(enclave.weights(), 'weights.bin')
    expect(path.startsWith('/dev/shm/')).toBe(true)
    expect(new Uint8Array(await readFile(path))).toEqual(WEIGHTS)
    await enclave.close()
    expect(existsSync(enclave.weights())).toBe(false)
    expect(enclave.runtime.standing()).toBeUndefined()
  })

  it('tells each step with what was checked, and never a secret', async () => {
    const enclave = await start()
    const told = enclave.journal.map((line) => line.split(' {')[0])
    expect(told).toEqual([
      'Manifest read',
      'Keys made for this boot, in memory only',
      'The hardware vouches for the keyset and the challenge',
      'The verifier affirms this enclave',
      'The broker released a key, after the log had it',
      expect.stringContaining('Weights opened into memory'),
      'Model ready',
    ])
    const dataKey = Buffer.alloc(32, 5)
    expect(enclave.journal.join()).not.toContain(dataKey.toString('hex'))
    expect(enclave.journal.join()).not.toContain(dataKey.toString('base64url'))
  })

  it('a verdict that is not affirming ends it, with the checks that failed', async () => {
    const verifier: VerifierPeer = {
      challenge: async () => 'ab'.repeat(32),
      appraise: async () => ({
        ...affirming(START + 300),
        tier: 'contraindicated',
        failed: ['tdx.debug: want false, got true'],
      }),
    }
    const store = await makeStore()
    await expect(startTestEnclave({ verifier, store })).rejects.toMatchObject({
      code: 'ERR_RESULT_NOT_AFFIRMING',
      at: 'enclave.appraisal',
    })
    expect(await readdir(store)).toEqual([])
  })

  it('a refused release ends it at once; a missing service is waited for, with patience', async () => {
    const denied = { release: fail('ERR_RELEASE_DENIED') }
    await expect(startTestEnclave({ broker: denied, patienceMs: 60_000 })).rejects.toMatchObject({
      code: 'ERR_RELEASE_DENIED',
    })
    let missing = 3
    const now = { value: START * 1000 }
    const good = brokerOf(() => now.value / 1000, 600)
    const broker: BrokerPeer = {
      release: async (...args) => {
        if (missing-- > 0) await fail('ERR_UPSTREAM_UNAVAILABLE')()
        return good.release(...args)
      },
    }
    const sleep = async (ms: number): Promise<void> => {
      now.value += ms
    }
    const enclave = await startTestEnclave({ broker, now, sleep, patienceMs: 60_000 })
    expect(missing).toBe(-1)
    await enclave.runtime.stop()
    const gone = { release: fail('ERR_UPSTREAM_UNAVAILABLE') }
    await expect(
      startTestEnclave({ broker: gone, now, sleep, patienceMs: 5_000 }),
    ).rejects.toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE' })
  })

  it('a wrong data key, or a key wrapped under another name, opens nothing and leaves nothing', async () => {
    const store = await makeStore()
    const good = brokerOf(() => START, 600)
    const renamed: BrokerPeer = {
      release: async (_, proof) => good.release('kbs:///acme/models/other?version=1', proof),
    }
    await expect(startTestEnclave({ broker: renamed, store })).rejects.toMatchObject({
      code: 'ERR_KEY_UNWRAP_FAILED',
    })
    const over: BrokerPeer = brokerOf(() => START, 0)
    await expect(startTestEnclave({ broker: over, store })).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_UNAVAILABLE',
      at: 'broker.answer.lease',
    })
    expect(await readdir(store)).toEqual([])
  })
})

describe('renewal', () => {
  it('comes well before the EAR or the lease ends, over a fresh challenge, with the same keyset', async () => {
    const time = steppedTime()
    const registered: string[] = []
    const gateway: GatewayPeer = {
      register: async ({ ear }) => {
        registered.push(ear)
        return { id: 'node', expiresAt: START + 10_000, logIndex: 3 }
      },
      withdraw: async () => undefined,
    }
    let challenges = 0
    const verifier: VerifierPeer = {
      challenge: async () => {
        challenges += 1
        return 'ab'.repeat(32)
      },
      appraise: async () => affirming(Math.floor(time.now.value / 1000) + 300),
    }
    const broker = brokerOf(() => Math.floor(time.now.value / 1000), 600)
    const enclave = await start({ ...time, broker, gateway, verifier })
    await enclave.runtime.publish('http://127.0.0.1:1')
    const first = enclave.runtime.standing()
    const waited = await time.step()
    expect(waited).toBeGreaterThan(300_000 * 0.5)
    expect(waited).toBeLessThan(300_000 * 0.7)
    await time.settled()
    const second = enclave.runtime.standing()
    expect(second?.keyset.digest).toBe(first?.keyset.digest)
    expect(second?.proof.ear).not.toBe(first?.proof.ear)
    expect(second?.leaseId).toBe('lease-2')
    expect(challenges).toBe(2)
    expect(registered).toEqual([first?.proof.ear, second?.proof.ear])
  })

  it('turns the keys when they are due: old ones are opened until their end, then no more', async () => {
    const time = steppedTime()
    const seconds = () => Math.floor(time.now.value / 1000)
    const verifier: VerifierPeer = {
      challenge: async () => 'ab'.repeat(32),
      appraise: async () => affirming(seconds() + 50_000),
    }
    const broker = brokerOf(seconds, 50_000)
    const enclave = await start({
      ...time,
      broker,
      verifier,
      times: { rotate: 1000, overlap: 100 },
    })
    await enclave.runtime.publish('http://127.0.0.1:1')
    const first = enclave.runtime.standing()
    const ids = (): number[] => {
      const ring = enclave.runtime.standing()?.ring
      return ring === undefined ? [] : openingKeys(ring, seconds()).map(({ keyId }) => keyId)
    }
    const [old] = first?.ring.current.keys ?? []
    while (enclave.runtime.standing()?.keyset.digest === first?.keyset.digest) {
      await time.step()
      await time.settled()
    }
    const second = enclave.runtime.standing()
    expect(second?.ring.current.keys).toEqual(first?.ring.next.keys)
    expect(second?.keyset.keyset.vouchsafe.keys.map(({ state }) => state)).toEqual([
      'current',
      'current',
      'next',
      'next',
      'previous',
      'previous',
    ])
    // A receipt for a request to the old key still names the keyset that the client has.
    expect(second?.digests.get(old?.keyId ?? -1)).toBe(first?.keyset.digest)
    expect(ids()).toContain(old?.keyId)
    time.now.value += 101_000
    expect(ids()).not.toContain(old?.keyId)
  })

  it('a crowded replay memory brings the turn forward', async () => {
    const time = steppedTime()
    const broker = brokerOf(() => Math.floor(time.now.value / 1000), 600)
    const enclave = await start({ ...time, broker })
    await enclave.runtime.publish('http://127.0.0.1:1')
    const before = enclave.runtime.standing()?.keyset.digest
    enclave.runtime.turnEarly()
    await time.step()
    await time.settled()
    expect(enclave.runtime.standing()?.keyset.digest).not.toBe(before)
  })

  it('a failure is told and tried again; what is in force stays in force', async () => {
    const time = steppedTime()
    let failures = 2
    const seconds = () => Math.floor(time.now.value / 1000)
    const verifier: VerifierPeer = {
      challenge: async () => {
        if (seconds() > START && failures-- > 0) await fail('ERR_UPSTREAM_UNAVAILABLE')()
        return 'ab'.repeat(32)
      },
      appraise: async () => affirming(seconds() + 300),
    }
    const enclave = await start({ ...time, verifier, broker: brokerOf(seconds, 600) })
    await enclave.runtime.publish('http://127.0.0.1:1')
    const first = enclave.runtime.standing()
    await time.step()
    await time.settled()
    expect(enclave.runtime.standing()).toBe(first)
    expect(enclave.journal.join()).toContain('renewal failed')
    expect(await time.step()).toBeLessThan(2_000)
    await time.settled()
    await time.step()
    await time.settled()
    expect(enclave.runtime.standing()?.leaseId).toBe('lease-2')
  })

  it('when the lease ends without one, keys and weights are gone, with the reason', async () => {
    const time = steppedTime()
    const seconds = () => Math.floor(time.now.value / 1000)
    const good = brokerOf(seconds, 600)
    const broker: BrokerPeer = {
      release: async (...args) =>
        seconds() > START ? fail('ERR_RELEASE_DENIED')() : good.release(...args),
    }
    const { gateway, withdrawn } = registry(START)
    const enclave = await start({ ...time, broker, gateway })
    await enclave.runtime.publish('http://127.0.0.1:1')
    for (let i = 0; i < 200 && enclave.runtime.standing() !== undefined; i++) {
      await Promise.race([time.step(), enclave.runtime.lapsed])
      await Promise.race([time.settled(), enclave.runtime.lapsed])
    }
    await expect(enclave.runtime.lapsed).resolves.toMatchObject({
      code: 'ERR_RELEASE_DENIED',
      at: 'enclave.lease',
    })
    expect(seconds()).toBeGreaterThanOrEqual(START + 600)
    expect(seconds()).toBeLessThan(START + 620)
    expect(existsSync(enclave.weights())).toBe(false)
    expect(withdrawn).toEqual(['node-1'])
    const keyset = await enclave.app.inject(`/v1/keyset?nonce=${'12'.repeat(32)}`)
    expect([keyset.statusCode, keyset.json<{ code: string }>().code]).toEqual([
      503,
      'ERR_UPSTREAM_UNAVAILABLE',
    ])
    expect((await enclave.app.inject('/readyz')).statusCode).toBe(503)
    const sealed = await enclave.app.inject({
      method: 'POST',
      url: '/ohttp',
      headers: { 'content-type': 'message/ohttp-req' },
      payload: Buffer.alloc(100),
    })
    expect(sealed.statusCode).toBe(503)
  })
})
