/** A wire tap: every byte between a client and the gateway, kept. @packageDocumentation */
import { connect, createServer, type Socket } from 'node:net'

export interface Tap {
  /** What the client is given in place of the gateway. */
  readonly url: string
  /** All that went by, both ways. */
  recorded(): Buffer
  close(): Promise<void>
}

/** Listens on loopback and passes everything on to `target`. */
export async function openTap(target: string): Promise<Tap> {
  const { hostname, port } = new URL(target)
  const parts: Buffer[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('data', (bytes) => parts.push(bytes))
      from.on('error', () => to.destroy())
      from.once('close', () => sockets.delete(from))
      from.pipe(to)
    }
  })
  return {
    url: await listen(server),
    recorded: () => Buffer.concat(parts),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** On a free port of loopback. @returns The origin. */
export async function listen(server: ReturnType<typeof createServer>): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return `http://127.0.0.1:${port}`
}
