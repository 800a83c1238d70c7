/** Which other Verifiers count, from the files of `--passport-trust`. @packageDocumentation */
import type { Json } from '../core/encoding/canonical-json.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { type PassportTrust, parsePassportTrust } from '../core/endorsements/passport-trust.ts'
import type { CliContext } from './context.ts'
import { readInput } from './inputs.ts'

/** For help texts. */
export const PASSPORT_TRUST = 'issuers of passports to trust, with their keys: a JSON file'

/**
 * Reads one or more files, each an issuer or a list of them.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` for anything else, and for an issuer that is in
 *   two of them.
 */
export async function readPassportTrust(
  files: readonly string[],
  context: CliContext,
): Promise<readonly PassportTrust[]> {
  const all: Json[] = []
  for (const file of files) {
    const blame = { code: 'ERR_USAGE_INVALID', at: `cli.passport-trust.${file}` } as const
    const value = parseJson(new TextDecoder().decode(await readInput(file, context)), blame)
    all.push(...(Array.isArray(value) ? (value as readonly Json[]) : [value]))
  }
  return parsePassportTrust(all, { code: 'ERR_USAGE_INVALID', at: 'cli.passport-trust' })
}
