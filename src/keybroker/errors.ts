/** Errors that several files of the broker throw. @packageDocumentation */
import { VouchsafeError } from '../core/errors.ts'

/** No such key, or no such version of it. */
export function notFound(): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_KEY_NOT_FOUND', at: 'key' }, 'no such key or version')
}

/** It cannot be as things are. */
export function conflict(at: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_RESOURCE_CONFLICT', at }, detail)
}
