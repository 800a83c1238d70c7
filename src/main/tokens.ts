/** Who may administer, and who may register enclaves. @packageDocumentation */
import { parseJson } from '../core/encoding/json-source.ts'
import { readSecretFile } from '../drivers/signer/file.ts'
import { NO_OPERATORS, type Operators, parseOperators } from '../keybroker/config.ts'
import { type Authenticator, createAuthenticator } from '../server/auth.ts'
import type { ServiceSettings } from './config.ts'
import { loadTokens } from './documents.ts'

/** Who a service lets in. Where nothing is configured it is nobody. */
export interface Access {
  readonly operators: Operators
  /** Operators of everything: those who are limited to namespaces have no say in the gateway. */
  readonly fullOperators: Authenticator
  readonly providers: Authenticator
}

/**
 * Reads the token files of a configuration.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if others may read one, `ERR_CONFIG_INVALID`
 *   for anything but tokens in them.
 */
export function loadAccess({ operators: file, providerTokens }: ServiceSettings): Access {
  const operators = file === undefined ? NO_OPERATORS : readOperators(file)
  return {
    operators,
    fullOperators: (token) => {
      const principal = operators.authenticator(token)
      const limited =
        principal !== undefined && operators.namespacesOf(principal.name) !== undefined
      return limited ? undefined : principal
    },
    providers: createAuthenticator(
      providerTokens === undefined ? [] : loadTokens(providerTokens, 'provider'),
    ),
  }
}

function readOperators(file: string): Operators {
  return parseOperators(parseJson(readSecretFile(file), { code: 'ERR_CONFIG_INVALID', at: file }))
}
