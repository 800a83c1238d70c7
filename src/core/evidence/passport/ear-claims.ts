/**
 * The claims of an EAR, whichever draft named them: with dots until draft-ietf-rats-ear-02, as Veraison,
 * Trustee and vouchsafe write them, and with underscores since.
 *
 * @packageDocumentation
 * @see draft-ietf-rats-ear §3
 */
import type { Json } from '../../encoding/canonical-json.ts'
import { at, isObject, type JsonObject, textAt } from './json.ts'

/** One submodule's appraisal. What is not there is `undefined`. */
export interface Appraisal {
  readonly name: string
  readonly status: Json | undefined
  readonly vector: Json | undefined
  /** Empty if there are none; `undefined` for one that is no text. */
  readonly policyIds: readonly (string | undefined)[]
  /** Of the Attester's authority, as the Verifier hands them on. */
  readonly evidence: Json | undefined
  /** All of it. */
  readonly payload: JsonObject
}

/** A whole EAR. */
export interface Ear {
  /** Of all submodules together, which only the later drafts have. */
  readonly status: Json | undefined
  readonly developer: string | undefined
  readonly build: string | undefined
  /** Empty where there are none, or more than anybody has: then nothing is affirmed. */
  readonly submodules: readonly Appraisal[]
  /** Claims named as another draft than the token's names them: nobody can say which of them count. */
  readonly strangers: readonly string[]
}

type Names = Readonly<Record<'status' | 'vector' | 'policies' | 'verifier' | 'evidence', string>>

const DOTS: Names = {
  status: 'ear.status',
  vector: 'ear.trustworthiness-vector',
  policies: 'ear.appraisal-policy-id',
  verifier: 'ear.verifier-id',
  evidence: 'ear.veraison.annotated-evidence',
}
const UNDERSCORES: Names = {
  status: 'ear_status',
  vector: 'ear_trustworthiness_vector',
  policies: 'ear_appraisal_policy_ids',
  verifier: 'ear_verifier_id',
  evidence: 'ear_attester_claims',
}
const PROFILES = [
  'tag:github.com,2023:veraison/ear',
  'tag:github.com,2024:confidential-containers/Trustee',
]
const PROFILE_OF_DRAFT = /^tag:ietf\.org,2026:rats\/ear#\d{2}$/
const MAX_SUBMODULES = 64

/** Tokens do not change, and every question reads them anew. */
const known = new WeakMap<JsonObject, Ear>()

/** Is it an EAR, by its profile or by who says that it is the Verifier? */
export function isEar(payload: JsonObject): boolean {
  const profile = textAt(payload, 'eat_profile') ?? ''
  return (
    [DOTS, UNDERSCORES].some(({ verifier }) => Object.hasOwn(payload, verifier)) ||
    PROFILES.includes(profile) ||
    PROFILE_OF_DRAFT.test(profile)
  )
}

/** The claims of a token. */
export function earOf(payload: JsonObject): Ear {
  const ear = known.get(payload) ?? read(payload)
  known.set(payload, ear)
  return ear
}

function read(payload: JsonObject): Ear {
  const isLater =
    Object.hasOwn(payload, UNDERSCORES.verifier) ||
    PROFILE_OF_DRAFT.test(textAt(payload, 'eat_profile') ?? '')
  const [names, others] = isLater ? [UNDERSCORES, DOTS] : [DOTS, UNDERSCORES]
  const submods = at(payload, 'submods')
  const entries = isObject(submods) ? Object.entries(submods) : []
  const submodules = entries
    .slice(0, MAX_SUBMODULES + 1)
    .map(([name, value]) => appraisalOf(name, isObject(value) ? value : {}, names))
  const parts = [payload, ...submodules.map((one) => one.payload)]
  return {
    status: at(payload, names.status),
    developer: textAt(payload, names.verifier, 'developer'),
    build: textAt(payload, names.verifier, 'build'),
    submodules: submodules.length > MAX_SUBMODULES ? [] : submodules,
    strangers: Object.values(others).filter((name) =>
      parts.some((part) => Object.hasOwn(part, name)),
    ),
  }
}

function appraisalOf(name: string, payload: JsonObject, names: Names): Appraisal {
  const policies = at(payload, names.policies)
  const list = Array.isArray(policies) ? (policies as readonly Json[]) : [policies]
  return {
    name,
    status: at(payload, names.status),
    vector: at(payload, names.vector),
    policyIds: list.map((item) => (typeof item === 'string' ? item : undefined)),
    evidence: at(payload, names.evidence),
    payload,
  }
}
