import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { afterEach, expect, it } from 'vitest'
import { VouchsafeError } from '../../../src/core/errors.ts'
import type { VerifierPeer } from '../../../src/enclave/peers/peer.ts'
import {
  affirming,
  brokerOf,
  type EnclaveWorld,
  registry,
  startTestEnclave,
  type TestEnclave,
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

it('is told to the gateway once, about the newest registration, before the keys are dropped', async () => {
  const time = steppedTime()
  const { gateway, withdrawn } = registry(START)
  const verifier: VerifierPeer = {
    challenge: async () => 'ab'.repeat(32),
    appraise: async () => affirming(Math.floor(time.now.value / 1000) + 300),
  }
  const broker = brokerOf(() => Math.floor(time.now.value / 1000), 600)
  const enclave = await start({ ...time, broker, gateway, verifier })
  await enclave.runtime.publish('http://127.0.0.1:1')
  await time.step()
  await time.settled()
  await enclave.runtime.withdraw()
  expect(withdrawn).toEqual(['node-2'])
  // Answers at work still need both.
  expect(enclave.runtime.standing()).toBeDefined()
  expect(existsSync(enclave.weights())).toBe(true)
  await enclave.runtime.stop()
  expect(withdrawn).toEqual(['node-2'])
  expect(existsSync(enclave.weights())).toBe(false)
})

it('does not hang on a gateway that cannot be told', async () => {
  const { gateway } = registry(START)
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'test' } as const
  const withdraw = async () => {
    throw new VouchsafeError(blame, 'as the test wants')
  }
  const deaf = { ...gateway, withdraw }
  const enclave = await start({ gateway: deaf })
  await enclave.runtime.publish('http://127.0.0.1:1')
  await enclave.runtime.stop()
  expect(enclave.journal.join()).toContain('could not be told')
  expect(existsSync(enclave.weights())).toBe(false)
})

it('of a boot that is given up leaves nothing behind', async () => {
  const store = await mkdtemp('/dev/shm/test-')
  const signal = AbortSignal.abort()
  await expect(startTestEnclave({ store, signal })).rejects.toBe(signal.reason)
  expect(await readdir(store)).toEqual([])
  await rm(store, { recursive: true })
})
