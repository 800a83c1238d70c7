/** An enclave's HTTP side that does what the test says: for relays, which look into nothing. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Keyset } from '../../src/core/sealing/keyset.ts'
import { startTestEnclave } from './enclave.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

export interface ScriptedEnclave {
  readonly url: string
  /** Sealed requests so far. */
  readonly requests: readonly IncomingMessage[]
  /** What happens to a sealed request. */
  ohttp: Handler
  /** What happens to everything else: receipts, keysets. 404 at first. */
  other: Handler
  close(): Promise<void>
}

export const SEALED = { 'content-type': 'message/ohttp-chunked-res' }

export async function startScriptedEnclave(): Promise<ScriptedEnclave> {
  const requests: IncomingMessage[] = []
  const script: { ohttp: Handler; other: Handler } = {
    ohttp: (_, response) => {
      response.writeHead(200, SEALED).end('sealed')
    },
    other: (_, response) => {
      response.writeHead(404).end()
    },
  }
  const server = createServer((request, response) => {
    if (request.url === '/ohttp') requests.push(request)
    const handler = request.url === '/ohttp' ? script.ohttp : script.other
    void Promise.resolve(handler(request, response)).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return Object.assign(script, {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  })
}

/** The keyset of an enclave that has gone. */
export async function someKeyset(now: number): Promise<Keyset> {
  const enclave = await startTestEnclave({ now: { value: now } })
  const standing = enclave.runtime.standing()
  await enclave.close()
  if (standing === undefined) throw new Error('no standing')
  return standing.keyset.keyset
}
