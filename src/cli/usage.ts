/** Mistakes in what was typed. @packageDocumentation */
import { VouchsafeError } from '../core/errors.ts'

/** A flag or argument that cannot be used. */
export function usage(at: string, detail: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_USAGE_INVALID', at: `cli.${at}` }, detail, { cause })
}
