/** What the gateway carries, and what happens when either end breaks off. */
import { once } from 'node:events'
import { request as ask, type ClientRequest, type IncomingMessage } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Keyset } from '../../src/core/sealing/keyset.ts'
import { urlOf } from '../support/client-stage.ts'
import { createGatewayWorld, type GatewayWorld } from '../support/gateway-world.ts'
import { bytesOf } from '../support/lying-gateway.ts'
import {
  type ScriptedEnclave,
  SEALED,
  someKeyset,
  startScriptedEnclave,
} from '../support/scripted-enclave.ts'

const LIMIT = 1024 * 1024
let keyset: Keyset
let world: GatewayWorld
let enclave: ScriptedEnclave
const uncaught: unknown[] = []
const onUncaught = (error: unknown): void => {
  uncaught.push(error)
}
beforeAll(async () => {
  keyset = await someKeyset(Date.now())
  process.on('uncaughtException', onUncaught).on('unhandledRejection', onUncaught)
})
afterAll(() => {
  process.off('uncaughtException', onUncaught).off('unhandledRejection', onUncaught)
})
beforeEach(async () => {
  enclave = await startScriptedEnclave()
  world = await createGatewayWorld({ settings: { headTimeoutMs: 400, maxRequestBytes: LIMIT } })
  await world.app.listen({ host: '127.0.0.1', port: 0 })
  await world.register(enclave.url, keyset)
  return async () => {
    await world.close()
    await enclave.close()
    // Whatever broke off, the gateway is still there, and nothing fell through.
    expect([...uncaught.splice(0), ...world.faults]).toEqual([])
  }
})

function send(headers: Record<string, string> = {}): ClientRequest {
  const authorization = `Bearer ${world.apiKey}`
  const fixed = { authorization, 'content-type': 'message/ohttp-chunked-req' }
  const sent = ask(`${urlOf(world)}/ohttp`, { method: 'POST', headers: { ...fixed, ...headers } })
  sent.on('error', () => undefined)
  return sent
}
const answerTo = async (sent: ClientRequest) => {
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  return answer
}
const exchange = async (body: string | Buffer, headers?: Record<string, string>) => {
  const sent = send(headers)
  sent.end(body)
  const answer = await answerTo(sent)
  return { answer, body: await bytesOf(answer) }
}
const settledAs = async () => {
  await expect.poll(() => world.settled.length).toBe(1)
  const [settled] = world.settled
  return { state: settled?.state, end: settled?.exchange.response.end, reason: settled?.reason }
}

describe('the relay', () => {
  it('carries bytes as they are, both ways, and none of the client’s key', async () => {
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7) & 0xff))
    let received: Buffer | undefined
    enclave.ohttp = async (request, response) => {
      received = await bytesOf(request)
      response.writeHead(200, { ...SEALED, 'set-cookie': 'a=b', server: 'x' }).end(bytes)
    }
    const hints = 'model="toy", api=chat'
    const { answer, body } = await exchange(bytes, { 'vouchsafe-hints': hints, cookie: 'c=d' })
    expect(received?.equals(bytes)).toBe(true)
    expect(body.equals(bytes)).toBe(true)
    const [{ headers } = { headers: {} }] = enclave.requests
    expect(headers).toMatchObject({ 'vouchsafe-hints': hints, incremental: '?1' })
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['authorization']))
    expect(JSON.stringify(headers)).not.toMatch(/vs-|c=d/)
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    })
    expect(answer.headers['set-cookie']).toBeUndefined()
  })

  it('has the first byte of an answer out before the last one is in', async () => {
    const read = Promise.withResolvers<undefined>()
    enclave.ohttp = async (request, response) => {
      request.resume()
      response.writeHead(200, SEALED)
      response.write('first')
      await read.promise
      response.end('last')
    }
    const sent = send()
    sent.end('x')
    const answer = await answerTo(sent)
    const [first] = (await once(answer, 'data')) as [Buffer]
    expect(first.toString()).toBe('first')
    read.resolve(undefined)
    expect((await bytesOf(answer)).toString()).toBe('last')
  })

  it('has the first byte of a request out before the last one is in', async () => {
    const arrived = Promise.withResolvers<string>()
    enclave.ohttp = async (request, response) => {
      request.once('data', (part: Buffer) => {
        arrived.resolve(part.toString())
      })
      await once(request, 'end')
      response.writeHead(200, SEALED).end()
    }
    const sent = send()
    sent.write('first')
    expect(await arrived.promise).toBe('first')
    sent.end('last')
    expect((await answerTo(sent)).statusCode).toBe(200)
  })

  it('does not read on for a client that does not read', async () => {
    let written = 0
    enclave.ohttp = async (request, response) => {
      request.resume()
      response.writeHead(200, SEALED)
      const piece = Buffer.alloc(256 * 1024)
      while (!response.destroyed && written < 256 * 1024 * 1024) {
        written += piece.length
        if (!response.write(piece))
          await Promise.race([once(response, 'drain'), once(response, 'close')])
      }
    }
    const sent = send()
    sent.end('x')
    const answer = await answerTo(sent)
    answer.pause()
    let before = -1
    // It comes to a halt: what is on the way is in the buffers of sockets, and those have an end.
    await expect
      .poll(
        () => {
          const halted = written === before
          before = written
          return halted
        },
        { interval: 150, timeout: 10_000 },
      )
      .toBe(true)
    expect(written).toBeLessThan(128 * 1024 * 1024)
    sent.destroy()
    await settledAs()
  })

  it('passes an enclave’s own error byte for byte, and does not sign it', async () => {
    const problem = '{ "type":"https://iana.org/assignments/http-problem-types#ohttp-key" }\n'
    enclave.ohttp = (request, response) => {
      request.resume()
      response.writeHead(422, { 'content-type': 'application/problem+json' }).end(problem)
    }
    const { answer, body } = await exchange('x')
    expect([answer.statusCode, body.toString()]).toEqual([422, problem])
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.headers['vouchsafe-error-source']).toBeUndefined()
    expect(world.settled).toEqual([])
  })
})

describe('it breaks off well when', () => {
  it('the request is too large', async () => {
    enclave.ohttp = (request) => {
      request.resume()
    }
    const { answer, body } = await exchange(Buffer.alloc(LIMIT + 1))
    expect(answer.statusCode).toBe(413)
    expect(JSON.parse(body.toString())).toMatchObject({ code: 'ERR_REQUEST_TOO_LARGE' })
    expect(answer.headers['vouchsafe-error-source']).toBe('gateway')
    await expect.poll(() => enclave.requests.every(({ destroyed }) => destroyed)).toBe(true)
  })

  it('the enclave is away', async () => {
    await enclave.close()
    const { answer, body } = await exchange('x')
    expect(answer.statusCode).toBe(503)
    expect(JSON.parse(body.toString())).toMatchObject({
      code: 'ERR_UPSTREAM_UNAVAILABLE',
      error: { code: 'ERR_UPSTREAM_UNAVAILABLE' },
    })
    expect(answer.headers['vouchsafe-error-source']).toBe('gateway')
    enclave = await startScriptedEnclave()
  })

  it('the enclave does not begin to answer', async () => {
    enclave.ohttp = (request) => {
      request.resume()
    }
    const { answer } = await exchange('x')
    expect(answer.statusCode).toBe(503)
    await expect.poll(() => enclave.requests.every(({ destroyed }) => destroyed)).toBe(true)
  })

  it('the enclave hangs up before, or in the middle of, its answer', async () => {
    enclave.ohttp = (_, response) => {
      response.destroy()
    }
    expect((await exchange('x')).answer.statusCode).toBe(503)
    enclave.ohttp = (request, response) => {
      request.resume()
      response.writeHead(200, { ...SEALED, 'x-receipt-id': 'rcpt_1' })
      response.write('part of it', () => response.destroy())
    }
    const sent = send()
    sent.end('x')
    const answer = await answerTo(sent)
    await expect(bytesOf(answer)).rejects.toThrow()
    // Nobody waits for a receipt of one who left: there is nothing to hold it against.
    expect(await settledAs()).toEqual({
      state: 'faulty',
      end: 'cut',
      reason: 'the enclave broke its answer off',
    })
  })

  it('the client leaves in the middle of its answer: the enclave is told', async () => {
    const closed = Promise.withResolvers<undefined>()
    enclave.ohttp = (request, response) => {
      request.resume()
      response.writeHead(200, { ...SEALED, 'x-receipt-id': 'rcpt_1' })
      response.write('part of it')
      response.once('close', () => {
        closed.resolve(undefined)
      })
    }
    const sent = send()
    sent.end('x')
    await once(await answerTo(sent), 'data')
    sent.destroy()
    await closed.promise
    expect(await settledAs()).toMatchObject({
      state: 'faulty',
      end: 'left',
      reason: 'no receipt in time',
    })
  })

  it('the client leaves in the middle of its request', async () => {
    const arrived = Promise.withResolvers<IncomingMessage>()
    enclave.ohttp = (request) => {
      request.on('error', () => undefined)
      request.once('data', () => {
        arrived.resolve(request)
      })
    }
    const sent = send()
    sent.write('first')
    const request = await arrived.promise
    sent.destroy()
    await expect.poll(() => request.destroyed).toBe(true)
  })

  it('the enclave answers before it has all of the request, and the client goes on sending', async () => {
    enclave.ohttp = (_, response) => {
      response.writeHead(400, { 'content-type': 'application/problem+json' }).end('{}')
    }
    const sent = send()
    sent.write(Buffer.alloc(64 * 1024))
    const answer = await answerTo(sent)
    expect([answer.statusCode, (await bytesOf(answer)).toString()]).toEqual([400, '{}'])
    for (let i = 0; i < 4; i++) sent.write(Buffer.alloc(64 * 1024))
    sent.end()
    expect((await exchange('again')).answer.statusCode).toBe(400)
  })

  it('the enclave answers early, and its answer is settled while the request still runs', async () => {
    enclave.ohttp = (_, response) => {
      response.writeHead(200, { ...SEALED, 'x-receipt-id': 'rcpt_1' }).end('early')
    }
    const sent = send()
    sent.write('first')
    const answer = await answerTo(sent)
    expect((await bytesOf(answer)).toString()).toBe('early')
    sent.write('more')
    sent.end('last')
    expect(await settledAs()).toMatchObject({ state: 'faulty' })
  })
})
