/**
 * EAT Attestation Results: of Veraison, of Trustee, and of another vouchsafe.
 *
 * @packageDocumentation
 * @see draft-ietf-rats-ear, draft-ietf-rats-ar4si §2.3
 */
import { field, listOf, oneOf } from '../../appraisal/policy-field.ts'
import { type Appraisal, earOf, isEar } from './ear-claims.ts'
import {
  at,
  hexBytes,
  integerAt,
  isObject,
  type JsonObject,
  nonceBytes,
  show,
  textAt,
  textsAt,
} from './json.ts'
import {
  allInList,
  always,
  ask,
  type Kind,
  type Meaning,
  oneOfList,
  type PassportClaims,
  words,
} from './kind.ts'

/** The elements of AR4SI §2.3. */
const ELEMENTS = [
  'instance-identity',
  'configuration',
  'executables',
  'file-system',
  'hardware',
  'runtime-opaque',
  'storage-opaque',
  'sourced-data',
] as const
/** AR4SI §2.3.1: 2 to 31 affirm; 0 says nothing; everything else is a warning, or worse. */
const AFFIRMING = { least: 2, most: 31 } as const
/** How every word of EAT for debug that is off begins (RFC 9711 §4.2.9). */
const DEBUG_OFF = 'disabled'

/** Signed as JWT or as CWT. Of the earlier drafts, Veraison's carry neither issuer nor expiry unless it is told to. */
export const ear: Kind = {
  id: 'ear',
  types: ['jwt', 'eat+jwt', 'ear+jwt', '', 'cwt', 'eat+cwt', 'ear+cwt'],
  expiryOptional: true,
  bundled: false,
  recognizes: ({ token: { payload }, devices }) => devices.length === 0 && isEar(payload),
  meaning,
  questions: {
    debug: always(
      'ear.policy.debug',
      {
        doc: 'Nothing is being debugged. An EAR has no claim for it: its Verifier answers with the status of each submodule; a dbgstat that is not disabled, or a check of debug that did not pass, fails besides.',
        value: false,
        good: 'affirmed by its Verifier',
      },
      (claims) => [...statusFaults(claims), ...debugFaults(claims)],
    ),
    status: always(
      'ear.token.status',
      {
        doc: 'Every submodule is affirming, and no element of its vector says otherwise.',
        value: 'affirming',
        good: 'affirming',
      },
      statusFaults,
    ),
    vector: ask({
      id: 'ear.token.vector',
      field: field(
        'Elements of the trustworthiness vector that must be affirming in every submodule: 2 to 31.',
        listOf(oneOf(...ELEMENTS)),
      ),
      actual: ({ payload }) =>
        show(
          earOf(payload)
            .submodules.map(({ name, vector }) => `${name} ${show(vector)}`)
            .join('; '),
        ),
      judge: ({ payload }, wanted) => ({
        expected: `${wanted.join(', ')} at 2 to 31`,
        ok: earOf(payload).submodules.every(({ vector }) =>
          wanted.every((name) => isAffirmingValue(integerAt(vector, name))),
        ),
      }),
    }),
    submodules: ask({
      id: 'ear.token.submodules',
      field: field('Names of the submodules: exactly these.', words),
      actual: ({ payload }) =>
        show(
          earOf(payload)
            .submodules.map(({ name }) => name)
            .join(', '),
        ),
      judge: ({ payload }, wanted) => {
        const names = earOf(payload).submodules.map(({ name }) => name)
        const ok = names.length === wanted.length && wanted.every((name) => names.includes(name))
        return { expected: wanted.join(', '), ok }
      },
    }),
    policies: allInList(
      'ear.token.policy_ids',
      'Appraisal policies of every submodule: ear_appraisal_policy_ids, or ear.appraisal-policy-id.',
      ({ payload }) => earOf(payload).submodules.flatMap(({ policyIds }) => policyIds),
    ),
    profiles: oneOfList('ear.token.profile', 'Profile: eat_profile.', ({ payload }) =>
      textAt(payload, 'eat_profile'),
    ),
    developers: oneOfList(
      'ear.verifier.developer',
      'Who made the Verifier: developer of ear_verifier_id, or of ear.verifier-id.',
      ({ payload }) => earOf(payload).developer,
    ),
    builds: oneOfList(
      'ear.verifier.build',
      'Which build of the Verifier: build of ear_verifier_id, or of ear.verifier-id.',
      ({ payload }) => earOf(payload).build,
    ),
  },
}

function statusFaults({ payload }: PassportClaims): readonly string[] {
  const { status, submodules, strangers } = earOf(payload)
  if (submodules.length === 0) return ['no submodules']
  // Optional, and no better than the worst of what it is over.
  const overall = status === undefined || status === 'affirming' ? [] : [`token ${show(status)}`]
  const mixed = strangers.map((name) => `${name} is of another draft`)
  const each = submodules.flatMap((one) => {
    const good = one.status === 'affirming'
    return [...(good ? [] : [`${one.name} ${show(one.status)}`]), ...vectorFaults(one)]
  })
  return [...mixed, ...overall, ...each]
}

/**
 * A status better than its own vector is a contradiction, and the worse half of it counts. One that is
 * there and claims nothing has the tier `none` (AR4SI §2.3.1), and where there is none the status stands.
 */
function vectorFaults({ name, vector }: Appraisal): readonly string[] {
  if (vector === undefined) return []
  if (!isObject(vector)) return [`${name} vector ${show(vector)}`]
  const said = Object.entries(vector).filter(([, value]) => value !== 0)
  if (said.length === 0) return [`${name} vector that claims nothing`]
  return said
    .filter(([, value]) => !isAffirmingValue(value))
    .map(([element, value]) => `${name} ${element} ${show(value)}`)
}

function isAffirmingValue(value: unknown): boolean {
  // Whole numbers only: no element has any other.
  return (
    Number.isInteger(value) && AFFIRMING.least <= Number(value) && Number(value) <= AFFIRMING.most
  )
}

function debugFaults({ payload }: PassportClaims): readonly string[] {
  const whole = { name: 'token', payload }
  return [whole, ...earOf(payload).submodules].flatMap((one) => {
    const state = one.payload['dbgstat']
    const off = state === undefined || (typeof state === 'string' && state.startsWith(DEBUG_OFF))
    return [...(off ? [] : [`${one.name} dbgstat ${show(state)}`]), ...checkFaults(one)]
  })
}

/** The checks of another vouchsafe, which say outright what was asked. */
function checkFaults({ name, payload }: Pick<Appraisal, 'name' | 'payload'>): readonly string[] {
  const checks = at(payload, 'vouchsafe.result', 'checks')
  if (!Array.isArray(checks)) return []
  return (checks as readonly JsonObject[])
    .filter((check) => textAt(check, 'id')?.endsWith('.debug') === true)
    .filter((check) => textAt(check, 'outcome') !== 'pass')
    .map((check) => `${name} ${show(check['id'])}`)
}

/**
 * What the attester bound: the report data that Trustee annotates, if all submodules that have any have
 * the same; the digest of the statement, from another vouchsafe; else the nonce, which is then all there is.
 */
function meaning(payload: JsonObject): Meaning {
  const nonce = nonceBytes(soleNonce(payload))
  const annotated = annotatedReportData(payload)
  const statement = textAt(payload, 'vouchsafe.statement')?.replace(/^sha256:/, '')
  const bound = hexBytes(annotated ?? statement)
  const claimed = annotated !== undefined || statement !== undefined
  return {
    reportData: claimed ? bound : nonce,
    nonce: claimed ? nonce : undefined,
    measurements: {},
  }
}

/** Of several nonces none is the one that was asked for. */
function soleNonce(payload: JsonObject): string | undefined {
  const [first, ...more] = textsAt(payload, 'eat_nonce') ?? []
  return textAt(payload, 'eat_nonce') ?? (more.length === 0 ? first : undefined)
}

function annotatedReportData(payload: JsonObject): string | undefined {
  const found = earOf(payload).submodules.flatMap(({ evidence }) => {
    const data = at(evidence, 'report_data')
    return data === undefined ? [] : [typeof data === 'string' ? data.toLowerCase() : '']
  })
  const [first, ...rest] = found
  // Two that differ vouch for two things; then there is none that the whole token vouches for.
  return first === undefined || rest.every((one) => one === first) ? first : ''
}
