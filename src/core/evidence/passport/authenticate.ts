/**
 * Authenticates a passport by what is pinned for its issuer: issuer, audience, algorithm, key, signature
 * and dates, of the token and of whatever tokens come with it.
 *
 * @packageDocumentation
 * @see RFC 7519 §7.2, RFC 8725 §3
 */
import { type Check, checkOf } from '../../appraisal/check.ts'
import { utf8 } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { PassportTrust } from '../../endorsements/passport-trust.ts'
import type { VerifyingKey } from '../../ports/crypto.ts'
import type { Problem } from '../../x509/chain.ts'
import type { Authenticated, AuthenticationContext } from '../common/format.ts'
import { FORMAT_HEADS } from '../common/format-ids.ts'
import type { PassportEvidence } from './evidence.ts'
import { at, isObject, type JsonObject, printable, show } from './json.ts'
import type { Jws } from './jws.ts'
import { type Kind, NO_LEVEL, type PassportClaims } from './kind.ts'
import { allowedAlgorithm, findSigner, type Signer } from './signer.ts'
import { type TimeProblems, timeProblems } from './times.ts'

/** Ends of the ids of the checks that every kind has, in their order. */
const CHECKS = {
  issuer: 'token.issuer',
  audience: 'token.audience',
  algorithm: 'token.alg',
  type: 'token.typ',
  path: 'key.path',
  anchor: 'key.anchor',
  validity: 'key.validity',
  revocation: 'key.revocation',
  signature: 'signature.token',
  expiry: 'freshness.expiry',
  notBefore: 'freshness.not_before',
  maxAge: 'freshness.max_age',
  lifetime: 'token.lifetime',
} as const
const DEVICES = 'binding.devices'

type Area = keyof typeof CHECKS
type Problems = Readonly<Record<Area, Problem | undefined>>

const AREAS = Object.keys(CHECKS) as readonly Area[]
const GOOD: Readonly<Record<Area, string>> = {
  issuer: 'a pinned issuer',
  audience: 'pinned audiences alone, or none where none is pinned',
  algorithm: 'an algorithm that its issuer may use',
  type: 'a type of token of this kind',
  path: 'a pinned key, or certificates each signed',
  anchor: 'a pinned key, or a chain to a pinned certificate',
  validity: 'a pinned key, or certificates that are valid',
  revocation: 'a pin that still stands, or certificates that are not revoked',
  signature: 'a signature by that key',
  expiry: 'not expired',
  notBefore: 'not from the future',
  maxAge: 'young enough',
  lifetime: 'of a short life',
}

/** Ids of the checks of {@link authenticatePassport}, in their order. */
export function authenticationCheckIds({ id, bundled }: Kind): readonly string[] {
  const { prefix } = FORMAT_HEADS[id]
  const ends = [...Object.values(CHECKS), ...(bundled ? [DEVICES] : [])]
  return ends.map((end) => `${prefix}.${end}`)
}

/**
 * Everything that must hold before a claim may be believed, at `now`. A token comes with all that it
 * needs but the pins, which are the caller's.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` and `ERR_ENDORSEMENT_UNAVAILABLE` as
 *   `findSigner`.
 */
export async function authenticatePassport(
  kind: Kind,
  evidence: PassportEvidence,
  context: AuthenticationContext,
): Promise<Authenticated<PassportClaims>> {
  const { prefix } = FORMAT_HEADS[kind.id]
  const tokens = [evidence.token, ...evidence.devices.map(({ token }) => token)]
  const found: Judged[] = []
  for (const jws of tokens) {
    const judged = await judge(jws, { kind, likely: found.at(-1)?.key }, context)
    found.push(judged)
    // One is enough, and each of them may have cost as many verifications as there are pinned keys.
    if (judged.problems.signature !== undefined) break
  }
  const checks: Check[] = AREAS.map((area) => {
    // The first token that fails it speaks for all: one bad part makes a bad bundle.
    const problem = found.find(({ problems }) => problems[area] !== undefined)?.problems[area]
    return checkOf(`${prefix}.${CHECKS[area]}`, problem, GOOD[area])
  })
  if (kind.bundled) {
    const problem = await deviceProblem(evidence, context)
    checks.push(
      checkOf(`${prefix}.${DEVICES}`, problem, 'detached tokens are those of the digests'),
    )
  }
  if (!checks.every(({ outcome }) => outcome === 'pass')) return { authentic: false, checks }
  return { authentic: true, checks, claims: claimsOf(kind, evidence, found[0]?.signer ?? '') }
}

interface Judged {
  readonly problems: Problems
  /** For people. */
  readonly signer: string
  /** The pinned key that signed. */
  readonly key?: VerifyingKey
}

async function judge(
  jws: Jws,
  { kind, likely }: { readonly kind: Kind; readonly likely: VerifyingKey | undefined },
  context: AuthenticationContext,
): Promise<Judged> {
  const { payload } = jws
  const issuer = Object.hasOwn(payload, 'iss') ? payload['iss'] : null
  const pinned = context.anchors.passports.filter((trust) => trust.kind === kind.id)
  const trust = pinned.find((candidate) => candidate.issuer === issuer)
  if (trust === undefined) return unpinned(kind, pinned, issuer)
  const { name, key, ...signer }: Signer = await findSigner(jws, { trust, likely }, context)
  const { now } = context
  const times: TimeProblems = timeProblems(payload, {
    trust,
    now,
    expiryOptional: kind.expiryOptional,
  })
  return {
    signer: name,
    ...(key && { key }),
    problems: {
      issuer: undefined,
      audience: audienceProblem(payload, trust),
      algorithm: algorithmProblem(jws, trust),
      type: typeProblem(jws, kind),
      ...signer,
      ...times,
    },
  }
}

/** Without an issuer there is nothing to compare with, so nothing passes. */
function unpinned(kind: Kind, pinned: readonly PassportTrust[], issuer: Json | undefined): Judged {
  const problem: Problem = {
    expected:
      pinned.length === 0
        ? `an issuer of ${kind.id} tokens, pinned by verifier.passports or --passport-trust`
        : `iss ${pinned.map((trust) => trust.issuer ?? 'absent').join(' or ')}`,
    actual: issuer === null ? 'no iss' : show(issuer),
  }
  const unknown: Problem = {
    expected: 'what is pinned for its issuer',
    actual: 'not a pinned issuer',
  }
  const problems = Object.fromEntries(AREAS.map((area) => [area, unknown])) as Problems
  return { problems: { ...problems, issuer: problem }, signer: 'nobody that is pinned' }
}

/** All of them: what was made for another audience as well, that one can show to us. */
function audienceProblem(payload: JsonObject, { audiences }: PassportTrust): Problem | undefined {
  const given = payload['aud']
  if (audiences === null) {
    const absent = !Object.hasOwn(payload, 'aud')
    return absent ? undefined : { expected: 'no aud', actual: show(given) }
  }
  const list: readonly unknown[] = Array.isArray(given) ? given : [given]
  const ok =
    list.length > 0 && list.every((item) => typeof item === 'string' && audiences.includes(item))
  return ok ? undefined : { expected: `aud ${audiences.join(' or ')}`, actual: show(given) }
}

function algorithmProblem(jws: Jws, trust: PassportTrust): Problem | undefined {
  if (allowedAlgorithm(jws, trust) !== undefined) return undefined
  return { expected: trust.algorithms.join(' or '), actual: show(jws.alg) }
}

/** Another type of token by the same issuer is another statement (RFC 8725 §3.11). */
function typeProblem({ typ }: Jws, { types }: Kind): Problem | undefined {
  const plain = (typ ?? '').toLowerCase().replace(/^application\//, '')
  if (types.includes(plain)) return undefined
  return { expected: types.map((type) => type || 'none').join(' or '), actual: show(typ) }
}

/** Each submodule's digest is that of the detached token of its name, and there are no others. */
async function deviceProblem(
  { token, devices }: PassportEvidence,
  { crypto }: AuthenticationContext,
): Promise<Problem | undefined> {
  const submods = at(token.payload, 'submods')
  const named = isObject(submods) ? Object.keys(submods) : []
  const given = devices.map(({ name }) => name)
  const expected = `tokens of ${show([...named].sort().join(', '))}`
  const same = named.length === given.length && named.every((name) => given.includes(name))
  if (!same || named.length === 0) return { expected, actual: show([...given].sort().join(', ')) }
  for (const { name, token: device } of devices) {
    const digest = toHex(await crypto.digest('SHA-256', utf8(device.text)))
    const wanted = digestIn(at(submods, name))
    if (wanted === digest) {
      const problem = strangerProblem(token.payload, device.payload)
      if (problem === undefined) continue
      return problem
    }
    return { expected: `${name} ${wanted ?? 'with a SHA-256 digest'}`, actual: digest }
  }
  return undefined
}

/** `["DIGEST", ["SHA-256", hex]]`; NVIDIA's own tools also leave the hyphen out. */
function digestIn(value: Json | undefined): string | undefined {
  const [type, pair, ...rest] = Array.isArray(value) ? (value as readonly Json[]) : []
  const [name, digest, ...more] = Array.isArray(pair) ? (pair as readonly Json[]) : []
  const ok = type === 'DIGEST' && (name === 'SHA-256' || name === 'SHA256')
  if (!ok || rest.length + more.length > 0 || typeof digest !== 'string') return undefined
  return digest.toLowerCase()
}

/** A device answers the same challenge, to the same Verifier. */
function strangerProblem(overall: JsonObject, device: JsonObject): Problem | undefined {
  for (const name of ['iss', 'eat_nonce']) {
    if (at(overall, name) !== at(device, name)) {
      return { expected: `${name} ${show(at(overall, name))}`, actual: show(at(device, name)) }
    }
  }
  return undefined
}

function claimsOf(
  kind: Kind,
  { token, devices }: PassportEvidence,
  signer: string,
): PassportClaims {
  const { payload, alg, kid, typ } = token
  const parts = devices.map(({ name, token: device }) => ({ name, payload: device.payload }))
  return {
    tcb: NO_LEVEL,
    ...kind.meaning(payload),
    payload,
    devices: parts,
    printable: {
      header: { alg, kid: kid ?? null, typ: typ ?? null },
      signer,
      token: printable(payload),
      ...(kind.bundled && {
        devices: Object.fromEntries(parts.map((part) => [part.name, printable(part.payload)])),
      }),
    },
  }
}
