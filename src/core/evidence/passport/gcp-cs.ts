/**
 * Google Cloud Confidential Space.
 *
 * @packageDocumentation
 * @see https://cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims
 */
import { field, integer, listOf, oneOf, text } from '../../appraisal/policy-field.ts'
import { at, type JsonObject, nonceBytes, show, textAt, textsAt } from './json.ts'
import {
  allInList,
  always,
  ask,
  includesAll,
  type Kind,
  listed,
  type Meaning,
  measured,
  NO_LEVEL,
  oneOfList,
  only,
  type PassportClaims,
} from './kind.ts'

const PROFILE = 'https://cloud.google.com/confidential-computing/confidential-space/'
const ISSUER = 'https://confidentialcomputing.googleapis.com'
const SWNAME = 'CONFIDENTIAL_SPACE'
const DEBUG_OFF = 'disabled-since-boot'
const container = ['submods', 'container'] as const
const gce = ['submods', 'gce'] as const
const digest = text(/^sha256:[0-9a-f]{64}$/)

/** PKI tokens, with their chain in `x5c`, and OIDC tokens, whose keys Google lists. */
export const gcpCs: Kind = {
  id: 'gcp-cs',
  types: ['jwt', ''],
  expiryOptional: false,
  bundled: false,
  recognizes: ({ token: { payload }, devices }) =>
    devices.length === 0 &&
    (payload['iss'] === ISSUER || textAt(payload, 'eat_profile')?.startsWith(PROFILE) === true),
  meaning,
  questions: {
    debug: always(
      'gcpcs.policy.debug',
      { doc: 'Debug was off since boot: dbgstat.', value: false, good: DEBUG_OFF },
      ({ payload }) => equalTo(payload, 'dbgstat', DEBUG_OFF),
    ),
    swname: always(
      'gcpcs.token.swname',
      {
        doc: 'The image is Confidential Space: swname. Any other one lets its owner log in.',
        value: SWNAME,
        good: SWNAME,
      },
      ({ payload }) => equalTo(payload, 'swname', SWNAME),
    ),
    secureBoot: only(
      'gcpcs.platform.secboot',
      { doc: 'Secure Boot was on: secboot.', value: true, good: 'on' },
      ({ payload }) => (payload['secboot'] === true ? [] : [`secboot ${show(payload['secboot'])}`]),
    ),
    hwmodel: listed(
      'gcpcs.platform.hwmodel',
      field(
        'Confidential computing technology: hwmodel.',
        listOf(
          oneOf(
            'GCP_AMD_SEV',
            'GCP_AMD_SEV_ES',
            'GCP_AMD_SEV_SNP',
            'GCP_INTEL_TDX',
            'GCP_SHIELDED_VM',
          ),
        ),
      ),
      ({ payload }) => textAt(payload, 'hwmodel'),
    ),
    supportAttributes: includesAll(
      'gcpcs.image.support_attributes',
      'What Google says of the Confidential Space image, all of these: LATEST, STABLE, USABLE. Debug images have none.',
      ({ payload }) => textsAt(payload, 'submods', 'confidential_space', 'support_attributes'),
    ),
    minimumVersion: ask({
      id: 'gcpcs.image.swversion',
      field: field(
        'Least version of the Confidential Space image: swversion, such as 250800.',
        integer(1),
      ),
      actual: ({ payload }) => show(versionOf(payload)),
      judge: ({ payload }, least) => ({
        expected: `at least ${least}`,
        ok: Number(versionOf(payload) ?? Number.NaN) >= least,
      }),
    }),
    imageDigest: listed(
      'gcpcs.container.image_digest',
      field('Digest of the workload’s container image.', listOf(digest)),
      ({ payload }) => textAt(payload, ...container, 'image_digest'),
    ),
    imageReference: oneOfList(
      'gcpcs.container.image_reference',
      'Where the container image came from, with its tag or digest.',
      ({ payload }) => textAt(payload, ...container, 'image_reference'),
    ),
    overrides: only(
      'gcpcs.container.overrides',
      {
        doc: 'Whoever started the VM changed neither the environment nor the command of the container.',
        value: false,
        good: 'none',
      },
      overridesOf,
    ),
    restartPolicy: oneOfList(
      'gcpcs.container.restart_policy',
      'What happens when the workload ends: Never, OnFailure, Always.',
      ({ payload }) => textAt(payload, ...container, 'restart_policy'),
    ),
    memoryMonitoring: only(
      'gcpcs.container.memory_monitoring',
      { doc: 'The VM does not report its use of memory.', value: false, good: 'off' },
      ({ payload }) => {
        const state = at(payload, 'submods', 'confidential_space', 'monitoring_enabled', 'memory')
        return state === false ? [] : [show(state)]
      },
    ),
    projects: oneOfList('gcpcs.instance.project_id', 'Project of the VM.', ({ payload }) =>
      textAt(payload, ...gce, 'project_id'),
    ),
    zones: oneOfList('gcpcs.instance.zone', 'Zone of the VM.', ({ payload }) =>
      textAt(payload, ...gce, 'zone'),
    ),
    instances: oneOfList('gcpcs.instance.instance_id', 'Id of the VM.', ({ payload }) =>
      textAt(payload, ...gce, 'instance_id'),
    ),
    serviceAccounts: allInList(
      'gcpcs.instance.service_accounts',
      'Every service account that the workload can act as is one of these.',
      ({ payload }) => textsAt(payload, 'google_service_accounts'),
    ),
    tcbStatus: oneOfList(
      'gcpcs.platform.tcb_status',
      'TCB status that Google gives for Intel TDX; other tokens have none.',
      ({ payload }) => textAt(payload, 'tdx', 'gcp_attester_tcb_status'),
    ),
  },
}

/**
 * `eat_nonce` is what the workload asked for: one text is both nonce and report data; of two, the first
 * is the nonce and the second the report data. More of them are nobody's.
 */
function meaning(payload: JsonObject): Meaning {
  const status = textAt(payload, 'tdx', 'gcp_attester_tcb_status')
  const image = textAt(payload, ...container, 'image_digest')
  const [first, second, ...more] = noncesOf(payload).map(nonceBytes)
  return {
    reportData: more.length > 0 ? undefined : (second ?? first),
    nonce: second === undefined || more.length > 0 ? undefined : first,
    measurements: measured({ image_digest: image?.replace(/^sha256:/, '') }),
    tcb:
      status === undefined
        ? NO_LEVEL
        : { status, date: textAt(payload, 'tdx', 'gcp_attester_tcb_date'), advisoryIds: [] },
  }
}

function noncesOf(payload: JsonObject): readonly string[] {
  const one = textAt(payload, 'eat_nonce')
  return one === undefined ? (textsAt(payload, 'eat_nonce') ?? []) : [one]
}

function versionOf(payload: JsonObject): string | undefined {
  const [version, ...more] = textsAt(payload, 'swversion') ?? []
  return more.length === 0 && version !== undefined && /^[0-9]{1,9}$/.test(version)
    ? version
    : undefined
}

function overridesOf({ payload }: PassportClaims): readonly string[] {
  if (at(payload, ...container) === undefined) return ['no container']
  return ['env_override', 'cmd_override'].flatMap((name) => {
    const given = at(payload, ...container, name)
    return given === undefined || given === null ? [] : [`${name} ${show(given)}`]
  })
}

function equalTo(payload: JsonObject, name: string, good: string): readonly string[] {
  return textAt(payload, name) === good ? [] : [`${name} ${show(payload[name])}`]
}
