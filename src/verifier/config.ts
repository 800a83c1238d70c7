/** Settings of the verifier. @packageDocumentation */
import { type Static, Type } from 'typebox'
import { VENDOR_ENDPOINTS } from '../core/endorsements/urls.ts'
import { FORMAT_IDS, type FormatId } from '../core/evidence/common/format-ids.ts'
import { CLOSED } from '../server/config.ts'

const PolicyName = Type.Optional(Type.String({ pattern: '^[a-z0-9.-]{1,64}$' }))

const seconds = (fallback: number, most: number, description: string) =>
  Type.Integer({ default: fallback, minimum: 1, maximum: most, description })

const url = (fallback: string, description: string) =>
  Type.String({ default: fallback, pattern: '^https?://[^\\s?#@]+$', description })

/** Where endorsements are fetched from when evidence does not bring them along. */
const EndorsementServices = Type.Object(
  {
    use: Type.Enum(['off', 'cache', 'online'], {
      default: 'off',
      description:
        '`cache` serves what was fetched or imported before and asks nobody; `online` asks vendors for the rest.',
    }),
    pcs: url(VENDOR_ENDPOINTS.pcs, 'Intel PCS, or a PCCS. https, or http on this machine.'),
    pcsApiKey: Type.Optional(
      Type.String({
        description: 'File (0600) with a key for PCK certificates, sent for those alone.',
      }),
    ),
    intelRootCrl: url(VENDOR_ENDPOINTS.intelRootCrl, "CRL of Intel's root, the whole URL."),
    tcbFeed: Type.Enum(['standard', 'early'], {
      default: 'standard',
      description: "Which of Intel's feeds: early shows a TCB recovery before it counts.",
    }),
    kds: url(VENDOR_ENDPOINTS.kds, 'AMD KDS, or a mirror.'),
    kdsEverySeconds: seconds(10, 600, 'Between two VCEKs; AMD throttles below ten.'),
    nvidiaRim: url(VENDOR_ENDPOINTS.nvidiaRim, "NVIDIA's service of manifests, or a mirror."),
    nvidiaOcsp: url(VENDOR_ENDPOINTS.nvidiaOcsp, "NVIDIA's OCSP responder, or a proxy of it."),
    nvidiaOcspNonce: Type.Enum(['required', 'optional'], {
      default: 'required',
      description:
        '`optional` also takes answers without the nonce of their question, as a cache in between gives them; they are fresh by their dates alone.',
    }),
    attemptSeconds: seconds(10, 120, 'For one attempt at one answer.'),
    waitSeconds: seconds(30, 600, 'All that an appraisal may wait for a turn at one service.'),
    refreshSeconds: seconds(21_600, 2_592_000, 'Age at which dated answers are fetched anew.'),
    maxAgeSeconds: Type.Optional(
      Type.Integer({
        minimum: 60,
        description: 'Dated answers fetched longer ago do not count, whatever their date says.',
      }),
    ),
    allowExpiredSeconds: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 2_592_000,
      description:
        'RISK: hand out answers so long past their date when a service is away. The verdict still fails, but says what expired.',
    }),
  },
  { ...CLOSED, default: {} },
)

/** Of `verifier.endorsementServices`. */
export type EndorsementServiceSettings = Static<typeof EndorsementServices>

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
    threads: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 256,
        description:
          'Threads that appraise, started when there is work; as many as the machine has cores without, 0 for none.',
      }),
    ),
    ratePerMinute: Type.Integer({
      default: 600,
      minimum: 1,
      description: 'Challenges, and appraisals, per peer address and minute.',
    }),
    failedMebibytesPerHour: Type.Integer({
      default: 128,
      minimum: 1,
      maximum: 1_048_576,
      description:
        'What may be kept in an hour of appraisals that do not affirm, which anybody can ask for. Above it they are a 503, without verdict or leaf; those that affirm go on.',
    }),
    policies: Type.Optional(
      Type.String({ description: 'Directory of appraisal policies; the shipped ones by default.' }),
    ),
    defaultPolicies: Type.Object(
      Object.fromEntries(FORMAT_IDS.map((format) => [format, PolicyName])) as Record<
        FormatId,
        typeof PolicyName
      >,
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
    armPlatformKeys: Type.Array(Type.String({ pattern: '^[0-9a-f]{64}$' }), {
      default: [],
      uniqueItems: true,
      description:
        'Arm CCA machines to trust: SHA-256 of the DER of each platform attestation key. The keys themselves are endorsements.',
    }),
    passports: Type.Array(Type.Record(Type.String(), Type.Unknown()), {
      default: [],
      description:
        'Other verifiers whose results count: `kind`, `issuer`, `audiences`, `algorithms`, `keys` or `x5cRoots`, `clockSkewSeconds`, `maxAgeSeconds` of each; see docs/passports.md.',
    }),
    passportTrust: Type.Optional(
      Type.String({
        description:
          'File with more of `passports`: the one that `vouchsafe verify --passport-trust` takes.',
      }),
    ),
    tpmRoots: Type.Array(Type.String({ pattern: '^[0-9a-f]{64}$' }), {
      default: [],
      uniqueItems: true,
      description:
        'Roots that certify attestation keys of TPMs: SHA-256 of the DER of each certificate. Each vouches for every TPM of its maker or cloud.',
    }),
    tpmKeys: Type.Array(Type.String({ pattern: '^[0-9a-f]{64}$' }), {
      default: [],
      uniqueItems: true,
      description:
        'Single TPMs to trust: SHA-256 of the DER of each attestation key (SubjectPublicKeyInfo).',
    }),
    endorsements: Type.Array(Type.String(), {
      default: [],
      description: 'Files and directories of vendor endorsements, read again every minute.',
    }),
    endorsementServices: EndorsementServices,
  },
  { ...CLOSED, default: {} },
)
