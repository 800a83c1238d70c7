/** How a service ends. @packageDocumentation */
import type { FastifyInstance } from 'fastify'

/**
 * Stops taking requests, waits for those at work, and after `graceMs` cuts what is left.
 *
 * @returns Whether everything ended by itself.
 */
export async function drain(app: FastifyInstance, graceMs: number): Promise<boolean> {
  let cut = false
  const timer = setTimeout(() => {
    cut = true
    app.server.closeAllConnections()
  }, graceMs)
  try {
    await app.close()
  } finally {
    clearTimeout(timer)
  }
  return !cut
}
