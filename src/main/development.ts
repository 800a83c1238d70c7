/** What `--dev` makes, so that a service works at once and nothing is open all the same. @packageDocumentation */
import { toBase64url } from '../core/bytes/base64url.ts'
import type { Random } from '../core/ports/crypto.ts'
import { openSecretFile } from '../drivers/signer/file.ts'
import type { DataPaths } from './data-directory.ts'

const TOKEN_BYTES = 32

/**
 * The token in a file (0600), made if the file is absent.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if others may read it.
 */
export function openToken(path: string, prefix: string, random: Random): string {
  const text = openSecretFile(path, () => `${prefix}${toBase64url(random(TOKEN_BYTES))}\n`)
  return text.trim()
}

/** Operator and provider tokens for development; production brings its own. */
export function openDevelopmentTokens(
  paths: DataPaths,
  random: Random,
): { readonly operator: string; readonly provider: string } {
  return {
    operator: openToken(paths.operatorTokens, 'vs-operator-', random),
    provider: openToken(paths.providerTokens, 'vs-provider-', random),
  }
}
