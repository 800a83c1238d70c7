/** What development makes by itself, so that a service works at once and nothing is open all the same. @packageDocumentation */

import { toBase64url } from '../core/bytes/base64url.ts'
import { canonicalJson } from '../core/encoding/canonical-json.ts'
import type { Random } from '../core/ports/crypto.ts'
import { openSecretFile, replaceSecretFile } from '../drivers/signer/file.ts'
import { tokenDigest } from '../server/auth.ts'
import type { ServiceSettings } from './config.ts'
import type { DataPaths } from './data-directory.ts'

const TOKEN_BYTES = 32

/**
 * The settings with everything that production must bring along and development makes: tokens and
 * the list of operators, each made once and kept.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if others may read what was made before.
 */
export function withDevelopmentSecrets(
  settings: ServiceSettings,
  paths: DataPaths,
  random: Random,
): ServiceSettings {
  if (settings.mode !== 'development') return settings
  const operator = openToken(paths.operatorToken, 'vs-operator-', random)
  openToken(paths.providerToken, 'vs-provider-', random)
  const operators = {
    operators: [{ name: 'development', token_sha256: tokenDigest(operator), namespaces: ['*'] }],
  }
  const list = `${canonicalJson(operators)}\n`
  const known = openSecretFile(paths.operators, () => list)
  // Either file may have been deleted; a token that nobody knows is of no use.
  if (!known.includes(tokenDigest(operator))) replaceSecretFile(paths.operators, list)
  return { operators: paths.operators, providerTokens: paths.providerToken, ...settings }
}

/**
 * The token in a file (0600), made if the file is absent.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if others may read it.
 */
export function openToken(path: string, prefix: string, random: Random): string {
  const make = () => `${prefix}${toBase64url(random(TOKEN_BYTES))}\n`
  return openSecretFile(path, make).trim()
}
