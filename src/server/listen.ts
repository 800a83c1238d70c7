/** Where a service is reached, or why it cannot be. @packageDocumentation */
import type { FastifyInstance } from 'fastify'
import { VouchsafeError } from '../core/errors.ts'

/** An address to bind; port 0 picks a free one. */
interface Address {
  readonly host: string
  readonly port: number
}

/** What the system says when an address is not to be had, and what to do about it. */
const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something listens there already; stop it, or choose another port',
  EACCES: 'not allowed to bind it; choose a port from 1024 on',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
}

/**
 * Listens.
 *
 * @returns The origin at which it answers, `http://HOST:PORT`.
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` at `listen` if the address is not to be had.
 */
export async function listen(app: FastifyInstance, { host, port }: Address): Promise<string> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    const reason = REASONS[(cause as NodeJS.ErrnoException).code ?? '']
    if (reason === undefined) throw cause
    const blame = { code: 'ERR_CONFIG_INVALID', at: 'listen' } as const
    throw new VouchsafeError(blame, `${originOf(host, port)}: ${reason}`, { cause })
  }
  const address = app.server.address()
  return originOf(host, typeof address === 'object' && address !== null ? address.port : 0)
}

function originOf(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
