/**
 * EAT Attestation Results: of Veraison, of Trustee, and of another vouchsafe.
 *
 * @packageDocumentation
 * @see draft-ietf-rats-ear, draft-ietf-rats-ar4si §2.3
 */
import { field, listOf, oneOf } from '../../appraisal/policy-field.ts'
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
  type Device,
  type Kind,
  type Meaning,
  oneOfList,
  type PassportClaims,
  words,
} from './kind.ts'

const PROFILES = [
  'tag:github.com,2023:veraison/ear',
  'tag:github.com,2024:confidential-containers/Trustee',
]
const VECTOR = 'ear.trustworthiness-vector'
const EVIDENCE = 'ear.veraison.annotated-evidence'
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
const MAX_SUBMODULES = 64
/** How every word of EAT for debug that is off begins (RFC 9711 §4.2.9). */
const DEBUG_OFF = 'disabled'

/** Signed as JWT. Veraison's carry neither issuer nor expiry unless it is told to. */
export const ear: Kind = {
  id: 'ear',
  types: ['jwt', 'eat+jwt', 'ear+jwt', ''],
  expiryOptional: true,
  bundled: false,
  recognizes: ({ token: { payload }, devices }) =>
    devices.length === 0 &&
    (Object.hasOwn(payload, 'ear.verifier-id') ||
      PROFILES.includes(textAt(payload, 'eat_profile') ?? '')),
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
          submodulesOf(payload)
            .map((one) => `${one.name} ${show(one.payload[VECTOR])}`)
            .join('; '),
        ),
      judge: ({ payload }, wanted) => ({
        expected: `${wanted.join(', ')} at 2 to 31`,
        ok: submodulesOf(payload).every((one) => wanted.every((name) => isAffirming(one, name))),
      }),
    }),
    submodules: ask({
      id: 'ear.token.submodules',
      field: field('Names of the submodules: exactly these.', words),
      actual: ({ payload }) =>
        show(
          submodulesOf(payload)
            .map(({ name }) => name)
            .join(', '),
        ),
      judge: ({ payload }, wanted) => {
        const names = submodulesOf(payload).map(({ name }) => name)
        const ok = names.length === wanted.length && wanted.every((name) => names.includes(name))
        return { expected: wanted.join(', '), ok }
      },
    }),
    policies: allInList(
      'ear.token.policy_ids',
      'Appraisal policy of every submodule: ear.appraisal-policy-id.',
      ({ payload }) =>
        submodulesOf(payload).map((one) => textAt(one.payload, 'ear.appraisal-policy-id')),
    ),
    profiles: oneOfList('ear.token.profile', 'Profile: eat_profile.', ({ payload }) =>
      textAt(payload, 'eat_profile'),
    ),
    developers: oneOfList(
      'ear.verifier.developer',
      'Who made the Verifier: developer of ear.verifier-id.',
      ({ payload }) => textAt(payload, 'ear.verifier-id', 'developer'),
    ),
    builds: oneOfList(
      'ear.verifier.build',
      'Which build of the Verifier: build of ear.verifier-id.',
      ({ payload }) => textAt(payload, 'ear.verifier-id', 'build'),
    ),
  },
}

/** Empty where there are none, or more than anybody has: then nothing is affirmed. */
function submodulesOf(payload: JsonObject): readonly Device[] {
  const submods = at(payload, 'submods')
  const entries = isObject(submods) ? Object.entries(submods) : []
  if (entries.length > MAX_SUBMODULES) return []
  return entries.map(([name, value]) => ({ name, payload: isObject(value) ? value : {} }))
}

function statusFaults({ payload }: PassportClaims): readonly string[] {
  const submodules = submodulesOf(payload)
  if (submodules.length === 0) return ['no submodules']
  return submodules.flatMap((one) => {
    const status = one.payload['ear.status']
    const good = status === 'affirming'
    return [...(good ? [] : [`${one.name} ${show(status)}`]), ...vectorFaults(one)]
  })
}

/**
 * A status better than its own vector is a contradiction, and the worse half of it counts. One that is
 * there and claims nothing has the tier `none` (AR4SI §2.3.1), and where there is none the status stands.
 */
function vectorFaults({ name, payload }: Device): readonly string[] {
  const vector = payload[VECTOR]
  if (vector === undefined) return []
  if (!isObject(vector)) return [`${name} ${VECTOR} ${show(vector)}`]
  const said = Object.entries(vector).filter(([, value]) => value !== 0)
  if (said.length === 0) return [`${name} ${VECTOR} that claims nothing`]
  return said
    .filter(([, value]) => !isAffirmingValue(value))
    .map(([element, value]) => `${name} ${element} ${show(value)}`)
}

function isAffirming({ payload }: Device, element: string): boolean {
  return isAffirmingValue(integerAt(payload, VECTOR, element))
}

function isAffirmingValue(value: unknown): boolean {
  // Whole numbers only: no element has any other.
  return (
    Number.isInteger(value) && AFFIRMING.least <= Number(value) && Number(value) <= AFFIRMING.most
  )
}

function debugFaults({ payload }: PassportClaims): readonly string[] {
  const whole = { name: 'token', payload }
  return [whole, ...submodulesOf(payload)].flatMap((one) => {
    const state = one.payload['dbgstat']
    const off = state === undefined || (typeof state === 'string' && state.startsWith(DEBUG_OFF))
    return [...(off ? [] : [`${one.name} dbgstat ${show(state)}`]), ...checkFaults(one)]
  })
}

/** The checks of another vouchsafe, which say outright what was asked. */
function checkFaults({ name, payload }: Device): readonly string[] {
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
  const found = submodulesOf(payload).flatMap((one) => {
    const data = at(one.payload, EVIDENCE, 'report_data')
    return data === undefined ? [] : [typeof data === 'string' ? data.toLowerCase() : '']
  })
  const [first, ...rest] = found
  // Two that differ vouch for two things; then there is none that the whole token vouches for.
  return first === undefined || rest.every((one) => one === first) ? first : ''
}
