/**
 * EAT Attestation Results as signed JWTs: what the Verifier hands to a Relying Party. Issuer and keys
 * are the Relying Party's own configuration; whatever a token says about its own keys is not read.
 *
 * jose draws on the platform's cryptography, and for ECDSA on its randomness: the one impurity here.
 *
 * @packageDocumentation
 * @see draft-ietf-rats-ear, RFC 9711, RFC 8725
 */
import {
  type CryptoKey,
  compactVerify,
  createLocalJWKSet,
  errors,
  importJWK,
  type JWK,
  jwtVerify,
  SignJWT,
} from 'jose'
import { machineTier } from '../appraisal/composite.ts'
import { resultToJson } from '../appraisal/record.ts'
import type { AttestationResult, Tier } from '../appraisal/result.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import {
  DIGEST,
  date,
  index,
  malformed,
  object,
  readDigests,
  readLogIndexes,
  readPayload,
  readSubmodules,
  text,
} from './ear-claims.ts'
import { trustVectorOf } from './trust-vector.ts'

/** Everything an EAR says. */
export interface Ear {
  readonly issuer: string
  readonly id: string
  /** Whole seconds. */
  readonly issuedAt: Date
  readonly expiresAt: Date
  /** The challenge that was answered: 64 lower-case hex digits. */
  readonly nonce: string
  readonly verifier: { readonly developer: string; readonly build: string }
  /** By submodule: `cpu0`, `gpu0`. At least one. */
  readonly results: Readonly<Record<string, AttestationResult>>
  /** `sha256:<hex>` of the keyset that the evidence vouches for. */
  readonly keysetDigest: string
  /** `sha256:<hex>` of the exact statement text. */
  readonly statementDigest: string
  /** `sha256:<hex>` of each piece of evidence, in the order of the submodules. */
  readonly evidenceDigests: readonly string[]
  /** Of the appraisal's leaf; of several, the CPU's, which is the last of them. */
  readonly logIndex: number
  /** Of each submodule's appraisal; only where there are several. */
  readonly logIndexes?: Readonly<Record<string, number>>
}

export interface EarSigner {
  /** P-256 private key. */
  readonly key: CryptoKey | JWK
  /** As the verifier's JWKS names it. */
  readonly kid: string
}

export interface EarTrust {
  readonly issuer: string
  /** Public P-256 keys of that issuer. */
  readonly keys: readonly JWK[]
  readonly now: Date
}

/** A machine of seventeen parts, each with all its claims, stays below. */
export const MAX_EAR_LENGTH = 768 * 1024

const PROFILE = 'tag:github.com,2023:veraison/ear'
/** RFC 9711 §9.3. Explicit, so that no other JWT of the same issuer passes for one (RFC 8725 §3.11). */
const TYPE = 'eat+jwt'
const ALGORITHM = 'ES256'
/** Clocks of verifier and Relying Party may differ by this much; expiry gets no such grace. */
const CLOCK_SKEW_SECONDS = 60
const NONCE = /^[0-9a-f]{64}$/
const CLAIMS = [
  'iss',
  'jti',
  'iat',
  'exp',
  'eat_profile',
  'eat_nonce',
  'ear.verifier-id',
  'submods',
  'vouchsafe.keyset_digest',
  'vouchsafe.statement',
  'vouchsafe.evidence',
  'vouchsafe.log_index',
] as const

/** Signs an EAR: a compact JWS with ES256. */
export async function encodeEar(ear: Ear, { key, kid }: EarSigner): Promise<string> {
  const submods = Object.entries(ear.results).map(([name, result]) => [
    name,
    {
      'ear.status': result.tier,
      'ear.trustworthiness-vector': trustVectorOf(result),
      'ear.appraisal-policy-id': result.policyId,
      'vouchsafe.result': resultToJson(result),
    },
  ])
  return new SignJWT({
    eat_profile: PROFILE,
    eat_nonce: ear.nonce,
    'ear.verifier-id': ear.verifier,
    submods: Object.fromEntries(submods),
    'vouchsafe.keyset_digest': ear.keysetDigest,
    'vouchsafe.statement': ear.statementDigest,
    'vouchsafe.evidence': ear.evidenceDigests,
    'vouchsafe.log_index': ear.logIndex,
    ...(ear.logIndexes !== undefined && { 'vouchsafe.log_indexes': ear.logIndexes }),
  })
    .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid })
    .setIssuer(ear.issuer)
    .setJti(ear.id)
    .setIssuedAt(seconds(ear.issuedAt))
    .setExpirationTime(seconds(ear.expiresAt))
    .sign(key)
}

/**
 * Checks the signature, issuer and dates of an EAR, and reads it. Every result's tier has been
 * recomputed from its checks; whether it is good enough is for `requireAffirming` and a policy.
 *
 * @param token - Compact JWS of at most 768 KiB.
 * @throws {@link VouchsafeError} `ERR_RESULT_UNTRUSTED` for another algorithm, type, issuer or key, a
 *   bad signature, and a token expired or from the future; `ERR_RESULT_MALFORMED` for anything that
 *   is not a JWT, and for absent or malformed claims.
 */
export async function decodeEar(token: string, trust: EarTrust): Promise<Ear> {
  if (token.length > MAX_EAR_LENGTH) throw malformed('token', `over ${MAX_EAR_LENGTH} characters`)
  const payload = await verifySignature(token, trust)
  const issuedAt = date(payload['iat'], 'iat')
  if (issuedAt.getTime() > trust.now.getTime() + CLOCK_SKEW_SECONDS * 1000) {
    throw new VouchsafeError(untrusted('iat'), 'issued in the future')
  }
  if (payload['eat_profile'] !== PROFILE) throw malformed('eat_profile', `want ${PROFILE}`)
  const verifier = object(payload['ear.verifier-id'], 'verifier-id')
  const results = readSubmodules(payload['submods'])
  const names = Object.keys(results)
  const evidenceDigests = readDigests(payload['vouchsafe.evidence'])
  if (evidenceDigests.length !== names.length) {
    throw malformed('vouchsafe.evidence', 'want one digest for each submodule')
  }
  const logIndex = index(payload['vouchsafe.log_index'])
  const logIndexes = readLogIndexes(payload['vouchsafe.log_indexes'], names, logIndex)
  return {
    issuer: trust.issuer,
    id: text(payload['jti'], 'jti'),
    issuedAt,
    expiresAt: date(payload['exp'], 'exp'),
    nonce: text(payload['eat_nonce'], 'eat_nonce', NONCE),
    verifier: {
      developer: text(verifier['developer'], 'verifier-id.developer'),
      build: text(verifier['build'], 'verifier-id.build'),
    },
    results,
    keysetDigest: text(payload['vouchsafe.keyset_digest'], 'vouchsafe.keyset_digest', DIGEST),
    statementDigest: text(payload['vouchsafe.statement'], 'vouchsafe.statement', DIGEST),
    evidenceDigests,
    logIndex,
    ...(logIndexes !== undefined && { logIndexes }),
  }
}

/**
 * A check of whether one of these keys signed an EAR, whoever issued it and whenever: for auditors,
 * who look at EARs that have long expired. It says nothing about what is in one.
 *
 * @param keys - Of the Verifier, from the auditor's own configuration: today's and all earlier ones.
 * @throws {@link VouchsafeError} with the code of `blame` if one is no P-256 key.
 */
export async function earSignatureCheck(
  keys: readonly JWK[],
  blame: Blame,
): Promise<(ear: string) => Promise<boolean>> {
  const imported = await Promise.all(keys.map(async (key) => importVerifyingKey(key, blame)))
  return async (ear) => {
    for (const key of imported) if (await isSignedBy(ear, key)) return true
    return false
  }
}

async function importVerifyingKey(key: JWK, blame: Blame): Promise<CryptoKey> {
  try {
    const imported = await importJWK(key, ALGORITHM)
    if (!(imported instanceof Uint8Array) && imported.type === 'public') return imported
  } catch (cause) {
    // A JOSE error or the platform's: either way it is the key.
    throw new VouchsafeError(blame, 'a key that is none', { cause })
  }
  throw new VouchsafeError(blame, 'not a public key')
}

async function isSignedBy(ear: string, key: CryptoKey): Promise<boolean> {
  try {
    const { protectedHeader } = await compactVerify(ear, key, { algorithms: [ALGORITHM] })
    return protectedHeader.typ === TYPE
  } catch (cause) {
    // Not by this key, or not a JWS at all.
    if (cause instanceof errors.JOSEError) return false
    throw cause
  }
}

/** The tier of the machine that an EAR is about: its worst submodule's, or worse if they do not fit. */
export function earTier({ results }: Pick<Ear, 'results'>): Tier {
  return machineTier(results)
}

async function verifySignature(
  token: string,
  { issuer, keys, now }: EarTrust,
): Promise<Readonly<Record<string, unknown>>> {
  // An invalid date would compare as neither before nor after anything.
  if (Number.isNaN(now.getTime())) throw new RangeError('now is not a date')
  try {
    await jwtVerify(token, createLocalJWKSet({ keys: [...keys] }), {
      algorithms: [ALGORITHM],
      typ: TYPE,
      issuer,
      currentDate: now,
      clockTolerance: 0,
      requiredClaims: [...CLAIMS],
    })
  } catch (cause) {
    throw refusal(cause)
  }
  // Read again, strictly: of a claim that is there twice, jose took the last, and others may not.
  return readPayload(token)
}

function refusal(cause: unknown): unknown {
  if (cause instanceof errors.JWTExpired) {
    return new VouchsafeError(untrusted('exp'), 'expired', { cause })
  }
  if (cause instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason, message } = cause
    if (reason === 'missing' || reason === 'invalid') return malformed(claim, message, cause)
    return new VouchsafeError(untrusted(claim), message, { cause })
  }
  if (cause instanceof errors.JWSInvalid || cause instanceof errors.JWTInvalid) {
    return malformed('token', cause.message, cause)
  }
  if (!(cause instanceof errors.JOSEError)) return cause
  return new VouchsafeError(untrusted('signature'), cause.message, { cause })
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1000)
}

function untrusted(at: string): Blame {
  return { code: 'ERR_RESULT_UNTRUSTED', at: `ear.${at}` }
}
