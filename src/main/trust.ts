/** Whose attestation results this service believes. @packageDocumentation */
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { decodeEar, type Ear, type EarTrust } from '../core/attestation-result/ear.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { VouchsafeError } from '../core/errors.ts'
import { readTextWithin } from '../drivers/files/read.ts'
import type { ServiceSettings } from './config.ts'

/** An issuer with its keys, all from configuration. */
export type TrustedIssuer = Omit<EarTrust, 'now'>

/** Checks signature, issuer and dates of an EAR, and reads it. */
export type EarReader = (token: string, now: Date) => Promise<Ear>

/** RFC 7517, public P-256 signing keys only: a private one in this file is a mistake to be told. */
const Jwks = Type.Object({
  keys: Type.Array(
    Type.Object(
      {
        kty: Type.Literal('EC'),
        crv: Type.Literal('P-256'),
        x: Type.String(),
        y: Type.String(),
        kid: Type.String({ minLength: 1 }),
        alg: Type.Optional(Type.Literal('ES256')),
        use: Type.Optional(Type.Literal('sig')),
      },
      { additionalProperties: false },
    ),
    { minItems: 1, maxItems: 64 },
  ),
})

/** More than 64 keys take. */
const MAX_JWKS_BYTES = 64 * 1024

/** Where an EAR of somebody else is refused. */
const NOT_MINE: ReadonlySet<string> = new Set(['ear.iss', 'ear.signature'])

/**
 * The verifiers that the configuration names.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` if a key file cannot be read or holds anything
 *   but public P-256 keys.
 */
export async function loadTrustedIssuers(
  settings: ServiceSettings,
): Promise<readonly TrustedIssuer[]> {
  const issuers: TrustedIssuer[] = []
  for (const { issuer, jwks } of settings.trustedVerifiers) {
    if (issuers.some((known) => known.issuer === issuer)) throw refusal(`${issuer} twice`)
    issuers.push({ issuer, keys: await loadJwks(jwks) })
  }
  return issuers
}

/**
 * A reader that believes these issuers and nobody else. Each issuer is checked with its own keys,
 * so that one can never speak for another.
 */
export function createEarReader(issuers: readonly TrustedIssuer[]): EarReader {
  return async (token, now) => {
    const blame = { code: 'ERR_RESULT_UNTRUSTED', at: 'ear.iss' } as const
    let refused: unknown = new VouchsafeError(blame, 'no verifier is configured to be believed')
    for (const trust of issuers) {
      try {
        return await decodeEar(token, { ...trust, now })
      } catch (err) {
        // Whoever knew the key has the most telling refusal; the others only say "not mine".
        if (!(refused instanceof VouchsafeError) || !NOT_MINE.has(refused.at)) continue
        refused = err
      }
    }
    throw refused
  }
}

/**
 * The reader of a service in production: no result about a simulated TEE counts, whoever signed it.
 * A verifier that somebody trusts may be run for development, and our own key may have been used for
 * it a minute ago.
 */
export function productionReader(read: EarReader): EarReader {
  return async (token, now) => {
    const ear = await read(token, now)
    if (Object.values(ear.results).every(({ format }) => format !== 'simulated')) return ear
    const blame = { code: 'ERR_RESULT_UNTRUSTED', at: 'ear.submods' } as const
    throw new VouchsafeError(blame, 'about a simulated TEE, which production never believes')
  }
}

async function loadJwks(file: string): Promise<EarTrust['keys']> {
  const blame = { code: 'ERR_CONFIG_INVALID', at: 'trustedVerifiers.jwks' } as const
  const value = parseJson(await readTextWithin(file, { blame, most: MAX_JWKS_BYTES }), blame)
  if (!Value.Check(Jwks, value)) throw refusal(`${file} is not a JWK set of public P-256 keys`)
  return value.keys
}

function refusal(detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at: 'trustedVerifiers' }, detail)
}
