/** What a policy can ask of a TPM, and the answers. @packageDocumentation */
import type { Check } from '../../appraisal/check.ts'
import {
  constant,
  field,
  fixedField,
  hex,
  listOf,
  oneOf,
  type PolicyField,
  type PolicyValues,
  requirementOf,
} from '../../appraisal/policy-field.ts'
import {
  type Ask,
  among,
  type PolicyTable,
  policyTable,
  question,
} from '../../appraisal/question.ts'
import { VouchsafeError } from '../../errors.ts'
import type { TpmClaims } from './claims.ts'
import { isMeasured } from './pcrs.ts'
import { bootQuestions } from './policy-boot.ts'
import { quoteQuestions } from './policy-quote.ts'

const ask: Ask<TpmClaims> = question
const CRL_ID = 'tpm.ak.crl'
const CRL_FIELD = 'ak.revocation'
const REVOCATION: PolicyField<'crl' | 'crl-if-present'> = fixedField(
  'Revocation of certified keys: "crl" needs a current list of every issuer; "crl-if-present" takes evidence without one, shows so, and opens no door with it. A pinned key is revoked by unpinning it.',
  oneOf('crl', 'crl-if-present'),
)
const PCR0 = 0
const PCR7 = 7

const TABLE = policyTable<TpmClaims>({
  debug: ask({
    id: 'tpm.policy.debug',
    field: fixedField(
      'Firmware debugging is off. A TPM has no debug mode; that of the firmware shows in PCR 7. So PCRs 0 and 7 must be quoted and hold measurements, and an event log that explains PCR 7 must not tell of "UEFI Debug Mode". Without a log, only a value of PCR 7 that you know says more: require pcr7.',
      constant(false),
    ),
    actual: debugText,
    judge: (claims) => ({
      expected: 'PCRs 0 and 7 measured, no UEFI Debug Mode in the event log',
      ok: debugProblem(claims) === undefined,
    }),
  }),
  'ak.trust': ask({
    id: 'tpm.ak.trust',
    field: field(
      'Why the attestation key may be believed: a certificate of its own, the certification by another key that has one, or a pin.',
      listOf(oneOf('certificate', 'certified', 'pin')),
    ),
    actual: ({ trust }) => trust.kind,
    judge: ({ trust }, wanted) => ({
      expected: wanted.join(' or '),
      ok: trust.kind !== 'none' && wanted.includes(trust.kind),
    }),
  }),
  'ak.attributes': ask({
    id: 'tpm.ak.attributes',
    field: field(
      'The key is a restricted signing key that was made in its TPM and cannot leave it: restricted, sign, fixedTPM, fixedParent and sensitiveDataOrigin, and not decrypt. Evidence with the bare key does not say, and a certificate stands by them only if it is one of an attestation key (tcg-kp-AIKCertificate). For a pinned key whoever pinned it has seen to that: nothing signs the attributes in the evidence.',
      constant('restricted-signing'),
    ),
    actual: ({ wrongAttributes, trust }) => {
      if (wrongAttributes === undefined) return 'absent'
      const by =
        trust.kind === 'pin' ? 'all right, by the word of whoever pinned the key' : 'all right'
      return wrongAttributes.join(', ') || by
    },
    judge: ({ wrongAttributes }) => ({
      expected: 'restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin',
      ok: wrongAttributes?.length === 0,
    }),
  }),
  'ak.keys': ask({
    id: 'tpm.ak.keys',
    field: field(
      'Machines that may answer, each by the SHA-256 of its attestation key (SubjectPublicKeyInfo).',
      listOf(hex(32)),
    ),
    actual: ({ trust }) => trust.digest,
    judge: among(({ trust }) => trust.digest),
  }),
  ...bootQuestions<TpmClaims>({ id: 'tpm', name: '', bootOf: ({ boot }) => boot }),
  ...quoteQuestions<TpmClaims>({ id: 'tpm', name: '', quoteOf: ({ quote }) => quote }),
})

/**
 * Everything that a policy for TPMs can ask. `appraise` throws {@link VouchsafeError}
 * `ERR_ENDORSEMENT_UNAVAILABLE` if the policy requires revocation lists and the endorsements lack one:
 * that is no verdict about the machine.
 */
export const POLICY: PolicyTable<TpmClaims> = {
  fields: { ...TABLE.fields, [CRL_FIELD]: REVOCATION },
  checkIds: [...TABLE.checkIds, CRL_ID],
  fixedCheckIds: [...TABLE.fixedCheckIds, CRL_ID],
  appraise: (claims, policy) => [...TABLE.appraise(claims, policy), checkCrl(claims, policy)],
}

/** A list that was there and not good never came this far: `tpm.ak.revocation` failed. */
function checkCrl({ revocation }: TpmClaims, policy: PolicyValues): Check {
  const requirement = requirementOf(policy, CRL_FIELD, REVOCATION)
  if (revocation === undefined) {
    const good = 'pinned key: revoked by taking its pin away'
    return { id: CRL_ID, outcome: 'pass', expected: good, actual: good }
  }
  if (revocation.state === 'current') {
    const actual = `current until ${revocation.until.toISOString()}`
    return { id: CRL_ID, outcome: 'pass', expected: 'current CRLs', actual }
  }
  const issuer = revocation.state === 'absent' ? revocation.issuer : 'an issuer'
  if (!('require' in requirement) || requirement.require === 'crl') {
    throw new VouchsafeError(
      { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: CRL_ID },
      `no CRL of ${issuer}; the certificates it issued name where it is (cRLDistributionPoints)`,
    )
  }
  const expected = 'any (crl-if-present: a CRL is missing, so revocation was not checked)'
  return { id: CRL_ID, outcome: 'waived', expected, actual: `no CRL of ${issuer}` }
}

function debugProblem({ quote, boot }: TpmClaims): string | undefined {
  const lacking = [PCR0, PCR7].filter(
    (pcr) => ![...quote.banks.values()].some((values) => isMeasured(values.get(pcr))),
  )
  if (lacking.length > 0) return `PCR ${lacking.join(' and ')} not measured`
  return boot?.debugMode === true ? 'UEFI Debug Mode in PCR 7' : undefined
}

function debugText(claims: TpmClaims): string {
  const { boot } = claims
  const log =
    boot?.debugMode === false ? 'event log of PCR 7 without debug mode' : 'no log of PCR 7'
  return debugProblem(claims) ?? `PCRs 0 and 7 measured, ${log}`
}
