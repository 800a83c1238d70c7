/**
 * Bearer tokens (RFC 6750). The service keeps only their SHA-256: a token is random enough that a
 * slow hash would add nothing, and a leaked table of digests opens nothing.
 *
 * @packageDocumentation
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import { VouchsafeError } from '../core/errors.ts'
import { noteOutcome } from './outcome.ts'

/** Who a token belongs to. */
export interface Principal {
  readonly name: string
}

/** Says whose token this is; `undefined` for nobody's. */
export type Authenticator = (token: string) => Principal | undefined

/** One accepted token: `digest` is `sha256:<lower-case hex>` of its UTF-8. */
export interface KnownToken extends Principal {
  readonly digest: string
}

/** RFC 6750 §2.1, with a bound. */
const BEARER = /^Bearer ([A-Za-z0-9._~+/-]{1,4096}=*)$/i

/** The digest under which a token is stored. */
export function tokenDigest(token: string): string {
  return `sha256:${createHash('sha256').update(token, 'utf8').digest('hex')}`
}

/** Knows these tokens. No tokens means nobody: an empty list opens nothing. */
export function createAuthenticator(tokens: readonly KnownToken[]): Authenticator {
  const known = tokens.map(({ name, digest }) => ({ name, bytes: Buffer.from(digest, 'utf8') }))
  return (token) => {
    const presented = Buffer.from(tokenDigest(token), 'utf8')
    let found: Principal | undefined
    // Every entry is compared, so that time does not tell which one was close or how many there are.
    for (const { name, bytes } of known) {
      const same = bytes.length === presented.length && timingSafeEqual(bytes, presented)
      if (same) found ??= { name }
    }
    return found
  }
}

/**
 * The token of a request.
 *
 * @throws {@link VouchsafeError} `ERR_REQUEST_UNAUTHORIZED` if there is none.
 */
function bearerToken(request: FastifyRequest): string {
  const token = BEARER.exec(request.headers.authorization ?? '')?.[1]
  if (token === undefined) throw unauthorized()
  return token
}

/**
 * Who is calling.
 *
 * @throws {@link VouchsafeError} `ERR_REQUEST_UNAUTHORIZED`: the same for no token, a malformed one
 *   and an unknown one.
 */
export function authenticate(request: FastifyRequest, authenticator: Authenticator): Principal {
  const principal = authenticator(bearerToken(request))
  if (principal === undefined) throw unauthorized()
  noteOutcome(request, { by: principal.name })
  return principal
}

/**
 * An `onRequest` hook: runs before the body is read, so that strangers cannot make us parse
 * anything.
 */
export function requireBearer(authenticator: Authenticator): onRequestAsyncHookHandler {
  return async (request) => {
    authenticate(request, authenticator)
  }
}

function unauthorized(): VouchsafeError {
  const blame = { code: 'ERR_REQUEST_UNAUTHORIZED', at: 'request.authorization' } as const
  return new VouchsafeError(blame, 'a valid bearer token is needed')
}
