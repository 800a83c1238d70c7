/**
 * API keys of the gateway's clients. Only a hash is stored: whoever reads the database gains nothing
 * that opens the door.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { toBase64url } from '../core/bytes/base64url.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Clock, Random } from '../core/ports/crypto.ts'
import type { ApiKey, ApiKeyStore } from '../core/ports/gateway-store.ts'

export interface ApiKeys {
  /** Makes a key. The secret is returned here and never again. */
  create(tenant: string): { readonly key: ApiKey; readonly secret: string }
  /**
   * Who sends this `Authorization` header?
   *
   * @throws {@link VouchsafeError} `ERR_REQUEST_UNAUTHORIZED` for none, an unknown or a revoked key.
   */
  authenticate(authorization: string | undefined): ApiKey
  list(): readonly ApiKey[]
  /** @throws {@link VouchsafeError} `ERR_RESOURCE_NOT_FOUND`. */
  revoke(id: string): void
}

const PREFIX = 'vs-'
const TENANT = /^[a-z0-9][a-z0-9-]{0,62}$/

/** API keys over a store. */
export function createApiKeys({
  store,
  clock,
  random,
}: {
  readonly store: ApiKeyStore
  readonly clock: Clock
  readonly random: Random
}): ApiKeys {
  const now = (): number => Math.floor(clock().getTime() / 1000)
  return {
    create: (tenant) => {
      if (!TENANT.test(tenant)) {
        const blame = { code: 'ERR_REQUEST_INVALID', at: 'tenant' } as const
        throw new VouchsafeError(blame, `want ${TENANT.source}`)
      }
      const secret = `${PREFIX}${toBase64url(random(32))}`
      const id = `key_${toBase64url(random(9))}`
      const key = { id, tenant, hash: hashOf(secret), createdAt: now(), revokedAt: undefined }
      store.add(key)
      return { key, secret }
    },

    authenticate: (authorization) => authenticate(authorization, store),

    list: () => store.list(),

    revoke: (id) => {
      if (!store.revoke(id, now())) {
        throw new VouchsafeError({ code: 'ERR_RESOURCE_NOT_FOUND', at: 'apiKey' }, id)
      }
    },
  }
}

function authenticate(authorization: string | undefined, store: ApiKeyStore): ApiKey {
  const secret = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1]
  // Looked up by hash, so the time it takes says nothing about the secret.
  const key = secret === undefined ? undefined : store.find(hashOf(secret))
  if (key === undefined || key.revokedAt !== undefined) {
    const blame = { code: 'ERR_REQUEST_UNAUTHORIZED', at: 'authorization' } as const
    const why = key === undefined ? 'no such API key' : 'this API key was revoked'
    throw new VouchsafeError(blame, `${why}: send "Authorization: Bearer <key>"`)
  }
  return key
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
