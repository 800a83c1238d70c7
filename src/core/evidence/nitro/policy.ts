/** What a policy can ask of a Nitro enclave, and the answers. @packageDocumentation */
import { type Check, checkRequirement } from '../../appraisal/check.ts'
import {
  constant,
  field,
  fixedField,
  hex,
  integer,
  listOf,
  type PolicyFields,
  type PolicyValues,
  requirementOf,
  text,
} from '../../appraisal/policy-field.ts'
import type { NitroClaims } from './claims.ts'

const pcr = listOf(hex(48))
/** The registers AWS gives a meaning; the rest, up to PCR15, are the enclave's own to extend. */
const PCR_DOCS: Readonly<Record<string, string>> = {
  pcr0: 'PCR0: the enclave image file.',
  pcr1: 'PCR1: the kernel and boot ramdisk.',
  pcr2: 'PCR2: the applications, without the boot ramdisk.',
  pcr3: 'PCR3: the IAM role of the parent instance.',
  pcr4: 'PCR4: the id of the parent instance.',
  pcr8: 'PCR8: the certificate that signed the image.',
}
const PCR_NAMES = Array.from({ length: 16 }, (_, i) => `pcr${i}`)

const PCR_FIELDS = Object.fromEntries(
  PCR_NAMES.map((name) => [
    name,
    field(PCR_DOCS[name] ?? `${name.toUpperCase()}: extended by the enclave itself.`, pcr),
  ]),
)

const FIELDS = {
  debug: fixedField(
    'Debug mode is off: PCR0, PCR1 and PCR2 are there and none is all zero.',
    constant(false),
  ),
  maxAge: fixedField(
    'Most seconds between the timestamp of the document and the time of verification. AWS publishes no revocation data; this and the short life of the certificate stand in for it.',
    integer(1),
  ),
  moduleId: field(
    'Text that module_id begins with, such as the id of the parent instance.',
    listOf(text(/^[ -~]{1,256}$/)),
  ),
  publicKey: field(
    'SHA-256 of public_key, the key that answers such as those of AWS KMS are encrypted to, or `absent`. vouchsafe’s own key is bound by user_data.',
    listOf(text(/^(?:absent|[0-9a-f]{64})$/)),
  ),
}

/** Every field that a Nitro policy has. */
export const POLICY_FIELDS: PolicyFields = {
  debug: FIELDS.debug,
  'freshness.maxAge': FIELDS.maxAge,
  moduleId: FIELDS.moduleId,
  publicKey: FIELDS.publicKey,
  ...PCR_FIELDS,
}

/** Ids of the checks of {@link appraiseDocument}, in their order. */
export const APPRAISAL_CHECK_IDS: readonly string[] = [
  'nitro.policy.debug',
  'nitro.freshness.max_age',
  'nitro.module_id',
  'nitro.public_key',
  ...PCR_NAMES.map((name) => `nitro.${name}`),
]

/** Of those, the ones that no policy waives. */
export const FIXED_CHECK_IDS: readonly string[] = ['nitro.policy.debug', 'nitro.freshness.max_age']

/** Claims × policy → checks, one per field. */
export function appraiseDocument(claims: NitroClaims, policy: PolicyValues): readonly Check[] {
  return [
    checkDebug(claims),
    checkRequirement(
      { id: 'nitro.freshness.max_age', actual: `${claims.ageSeconds} s` },
      requirementOf(policy, 'freshness.maxAge', FIELDS.maxAge),
      (most) => ({ expected: `at most ${most} s`, ok: claims.ageSeconds <= most }),
    ),
    checkRequirement(
      { id: 'nitro.module_id', actual: claims.moduleId },
      requirementOf(policy, 'moduleId', FIELDS.moduleId),
      (prefixes) => ({
        expected: prefixes.map((prefix) => `${prefix}…`).join(' or '),
        ok: prefixes.some((prefix) => claims.moduleId.startsWith(prefix)),
      }),
    ),
    checkRequirement(
      { id: 'nitro.public_key', actual: claims.publicKeyDigest ?? 'absent' },
      requirementOf(policy, 'publicKey', FIELDS.publicKey),
      (wanted) => ({
        expected: wanted.join(' or '),
        ok: wanted.includes(claims.publicKeyDigest ?? 'absent'),
      }),
    ),
    ...PCR_NAMES.map((name) => checkPcr(name, claims, policy)),
  ]
}

/** Not a matter of policy: no policy can ask for anything else. */
function checkDebug({ zeroImagePcrs, measurements }: NitroClaims): Check {
  const missing = ['pcr0', 'pcr1', 'pcr2'].filter((name) => measurements[name] === undefined)
  const found = [
    ...zeroImagePcrs.map((name) => `${name} is zero`),
    ...missing.map((name) => `${name.toUpperCase()} is absent`),
  ]
  return {
    id: 'nitro.policy.debug',
    outcome: found.length === 0 ? 'pass' : 'fail',
    expected: 'PCR0, PCR1 and PCR2 measured (debug mode leaves them zero)',
    actual: found.length === 0 ? 'measured' : found.join(', '),
  }
}

function checkPcr(name: string, claims: NitroClaims, policy: PolicyValues): Check {
  const actual = claims.measurements[name]
  return checkRequirement(
    { id: `nitro.${name}`, actual: actual ?? 'absent' },
    requirementOf(policy, name, field(name, pcr)),
    (wanted) => ({
      expected: wanted.join(' or '),
      ok: actual !== undefined && wanted.includes(actual),
    }),
  )
}
