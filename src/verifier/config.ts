/** Settings of the verifier. @packageDocumentation */
import { Type } from 'typebox'
import { CLOSED } from '../server/config.ts'

const PolicyName = Type.Optional(Type.String({ pattern: '^[a-z0-9.-]{1,64}$' }))

/** The `verifier` member of the configuration file. Paths are relative to that file. */
export const VerifierConfig = Type.Object(
  {
    issuer: Type.String({
      default: 'urn:vouchsafe:verifier',
      pattern: '^[^\\s]{1,256}$',
      description: '`iss` of every EAR. Relying parties pin it together with the keys.',
    }),
    developer: Type.String({
      default: 'vouchsafe',
      maxLength: 256,
      minLength: 1,
      description: '`ear.verifier-id.developer`.',
    }),
    challengeSeconds: Type.Integer({
      default: 300,
      minimum: 10,
      maximum: 3600,
      description: 'How long a challenge can be answered.',
    }),
    earSeconds: Type.Integer({
      default: 300,
      minimum: 10,
      maximum: 86_400,
      description: 'How long an EAR is valid.',
    }),
    concurrency: Type.Integer({
      default: 8,
      minimum: 1,
      maximum: 1024,
      description: 'Appraisals at work at once; four times as many may wait.',
    }),
    ratePerMinute: Type.Integer({
      default: 600,
      minimum: 1,
      description: 'Challenges, and appraisals, per peer address and minute.',
    }),
    policies: Type.Optional(
      Type.String({ description: 'Directory of appraisal policies; the shipped ones by default.' }),
    ),
    defaultPolicies: Type.Object(
      { tdx: PolicyName, 'sev-snp': PolicyName, nitro: PolicyName, simulated: PolicyName },
      {
        ...CLOSED,
        default: {},
        description:
          'Policy by format for requests that name none. Without: a request must name one.',
      },
    ),
    referenceValues: Type.Optional(
      Type.String({ description: 'Directory of reference value sets.' }),
    ),
    endorsements: Type.Array(Type.String(), {
      default: [],
      description: 'Files and directories of vendor endorsements, read again every minute.',
    }),
  },
  { ...CLOSED, default: {} },
)
