/** What a development service hands to its clients to trust it by. @packageDocumentation */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { VouchsafeError } from '../core/errors.ts'
import { replaceFile } from '../drivers/files/replace.ts'
import { SHIPPED_POLICIES } from './documents.ts'

/**
 * Writes a pin that trusts this service's log and simulated root. Only development does so: in
 * production a client that takes its pin from the service it checks has checked nothing. A client
 * that starts at the same moment reads the old one or the new one.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if it cannot be written.
 */
export async function writeDevelopmentPin(
  file: string,
  log: { readonly origin: string; readonly keys: readonly string[] },
  simulatedRoots: readonly string[],
): Promise<void> {
  const policy: unknown = JSON.parse(
    await readFile(join(SHIPPED_POLICIES, 'development.json'), 'utf8'),
  )
  const pin = {
    version: 1,
    policies: [policy],
    reference_values: [],
    log: { ...log, max_age: { require: 3600 } },
    unsafe_simulated_roots: simulatedRoots,
  }
  try {
    await replaceFile(file, `${JSON.stringify(pin, null, 2)}\n`)
  } catch (cause) {
    const blame = { code: 'ERR_STATE_INVALID', at: 'dataDirectory.pin' } as const
    throw new VouchsafeError(blame, `cannot write ${file}; remove what is in its way`, { cause })
  }
}
