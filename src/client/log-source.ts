/** The public read side of a log, over the platform's fetch. @packageDocumentation */
import type { LogSource } from '../core/audit/source.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Platform } from '../core/ports/platform.ts'
import { getBytes } from './http.ts'

/**
 * A log by the URL above its `checkpoint`. It is asked without any key of ours: everybody sees the
 * same log or it is none.
 */
export function logOverFetch(base: string, fetch: Platform['fetch']): LogSource {
  const blame = { code: 'ERR_LOG_UNAVAILABLE', at: 'client.log' } as const
  return {
    read: async (path) => {
      const { status, body } = await getBytes(`${base}/${path}`, {}, fetch)
      if (status === 200) return body
      // A partial tile may have become full. Anything else that is not there is no proof of a lie:
      // the log may be elsewhere, and then the pin has to say where.
      if (status === 404 && path.includes('.p/')) return undefined
      const hint = 'if the log is not at the gateway, name it in the pin: log.url'
      throw new VouchsafeError(blame, `${base}/${path} answered ${status}; ${hint}`)
    },
  }
}
