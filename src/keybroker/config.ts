/**
 * What may be configured about a key broker. Every default is the safe one; the one thing without a
 * default is who may administer it: no operators means nobody.
 *
 * @packageDocumentation
 */
import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { type Json } from '../core/encoding/canonical-json.ts'
import { VouchsafeError } from '../core/errors.ts'
import { KEY_PART } from '../core/keys/uri.ts'
import { type Authenticator, createAuthenticator } from '../server/auth.ts'

/** Bounds and periods. */
export interface KeyBrokerLimits {
  /** Milliseconds that a release may wait for the log; then it fails, and nothing was released. */
  readonly logTimeoutMs: number
  /** Seconds between the order to destroy a key and its end; in between it can be taken back. */
  readonly destructionWaitSeconds: number
  /** Seconds that an `Idempotency-Key` is remembered. */
  readonly idempotencySeconds: number
  readonly maxVersions: number
}

/** Used where nothing else is configured. */
export const DEFAULT_LIMITS: KeyBrokerLimits = {
  logTimeoutMs: 5_000,
  destructionWaitSeconds: 30 * 86_400,
  idempotencySeconds: 86_400,
  maxVersions: 1_000,
}

const Operators = Type.Object(
  {
    operators: Type.Array(
      Type.Object(
        {
          /** Stands in the broker's log, not in the transparency log. */
          name: Type.String({ pattern: '^[A-Za-z0-9_.@-]{1,64}$' }),
          /** `sha256:<hex>` of the token: `vouchsafe key token` makes both. */
          token_sha256: Type.String({ pattern: '^sha256:[0-9a-f]{64}$' }),
          /** What the operator may administer; `["*"]` is everything. */
          namespaces: Type.Array(Type.String({ pattern: `^([*]|${KEY_PART})$` }), {
            minItems: 1,
            maxItems: 256,
          }),
        },
        { additionalProperties: false },
      ),
      { maxItems: 1024 },
    ),
  },
  { additionalProperties: false },
)

/** The operators file. */
export type OperatorsFile = Static<typeof Operators>

/** Who may administer which keys. */
export interface Operators {
  readonly authenticator: Authenticator
  /** `undefined` means all; an unknown name has none. */
  namespacesOf(name: string): readonly string[] | undefined
}

/** Nobody: what a broker without an operators file has. */
export const NO_OPERATORS: Operators = {
  authenticator: () => undefined,
  namespacesOf: () => [],
}

/**
 * Reads an operators file. Whoever reads it from disk refuses one that others may read or change.
 *
 * @param value - Its JSON.
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` at `operators…`.
 */
export function parseOperators(value: Json): Operators {
  const [error] = Value.Errors(Operators, value)
  if (error !== undefined || !Value.Check(Operators, value)) {
    const at = `operators${(error?.instancePath ?? '').replaceAll('/', '.')}`
    throw new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at }, error?.message ?? 'not the schema')
  }
  const namespaces = new Map<string, readonly string[]>()
  for (const operator of value.operators) {
    if (namespaces.has(operator.name)) {
      const blame = { code: 'ERR_CONFIG_INVALID', at: 'operators' } as const
      throw new VouchsafeError(blame, `${operator.name} twice`)
    }
    namespaces.set(operator.name, operator.namespaces)
  }
  const tokens = value.operators.map((one) => ({ name: one.name, digest: one.token_sha256 }))
  return {
    authenticator: createAuthenticator(tokens),
    namespacesOf: (name) => {
      const allowed = namespaces.get(name) ?? []
      return allowed.includes('*') ? undefined : allowed
    },
  }
}
