/** What the gateway does about receipts of what it carried. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Keyset } from '../../src/core/sealing/keyset.ts'
import { urlOf } from '../support/client-stage.ts'
import { createGatewayWorld, type GatewayWorld } from '../support/gateway-world.ts'
import {
  type ScriptedEnclave,
  SEALED,
  someKeyset,
  startScriptedEnclave,
} from '../support/scripted-enclave.ts'

let keyset: Keyset
let world: GatewayWorld
let enclave: ScriptedEnclave
beforeAll(async () => {
  keyset = await someKeyset(Date.now())
})
const start = async (receiptWaitMs: number) => {
  world = await createGatewayWorld({ settings: { receiptWaitMs } })
  await world.app.listen({ host: '127.0.0.1', port: 0 })
  await world.register(enclave.url, keyset)
}
beforeEach(async () => {
  enclave = await startScriptedEnclave()
  await start(300)
  return async () => {
    await world.close()
    await enclave.close()
    expect(world.faults).toEqual([])
  }
})

async function exchange(body: string): Promise<void> {
  const authorization = `Bearer ${world.apiKey}`
  const headers = { authorization, 'content-type': 'message/ohttp-chunked-req' }
  const answer = await fetch(`${urlOf(world)}/ohttp`, { method: 'POST', headers, body })
  await answer.arrayBuffer()
}
const settledAs = async () => {
  await expect.poll(() => world.settled.length).toBe(1)
  const [settled] = world.settled
  return { state: settled?.state, end: settled?.exchange.response.end, reason: settled?.reason }
}

describe('receipts', () => {
  it('a sealed answer that names none is a fault, not a gift', async () => {
    await exchange('x')
    expect(await settledAs()).toEqual({
      state: 'faulty',
      end: 'whole',
      reason: 'no receipt in time',
    })
    expect(world.stores.usage.totals('acme')).toMatchObject([{ state: 'faulty', requests: 1 }])
  })

  it('one that never comes is a fault', async () => {
    enclave.ohttp = (request, response) => {
      request.resume()
      response.writeHead(200, { ...SEALED, 'x-receipt-id': 'rcpt_1' }).end('sealed')
    }
    await exchange('x')
    expect(await settledAs()).toMatchObject({ state: 'faulty', reason: 'no receipt in time' })
  })

  it('one that comes late is waited for, and then kept for the client', async () => {
    enclave.ohttp = (request, response) => {
      request.resume()
      response.writeHead(200, { ...SEALED, 'x-receipt-id': 'rcpt_1' }).end('sealed')
    }
    let looks = 0
    enclave.other = (_, response) => {
      response.writeHead(++looks < 3 ? 404 : 200).end('{"not":"a receipt"}')
    }
    await exchange('x')
    expect(await settledAs()).toMatchObject({
      state: 'faulty',
      reason: expect.stringContaining('ERR_RECEIPT_MALFORMED') as string,
    })
    const before = looks
    expect(await world.service.receipt('rcpt_1')).toBe('{"not":"a receipt"}')
    expect(looks).toBe(before)
  })

  it('the end of the process does not wait for them for long', async () => {
    await world.close()
    await start(3_600_000)
    enclave.ohttp = (request, response) => {
      request.resume()
      response.writeHead(200, { ...SEALED, 'x-receipt-id': 'rcpt_1' }).end('sealed')
    }
    await exchange('x')
    const began = Date.now()
    await world.service.drain()
    expect(Date.now() - began).toBeLessThan(10_000)
    expect(await settledAs()).toMatchObject({ state: 'faulty' })
  })
})
