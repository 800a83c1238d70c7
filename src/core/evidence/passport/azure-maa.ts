/**
 * Microsoft Azure Attestation: of a TEE itself (`sevsnpvm`, `tdxvm`, `sgx`), or of an Azure VM whose vTPM
 * runs in one (`azurevm`, with the TEE's claims in `x-ms-isolation-tee`).
 *
 * @packageDocumentation
 * @see https://learn.microsoft.com/azure/attestation/claim-sets
 */
import {
  constant,
  field,
  hex,
  integer,
  listOf,
  record,
  text,
} from '../../appraisal/policy-field.ts'
import {
  at,
  base64Bytes,
  hexBytes,
  integerAt,
  isObject,
  type JsonObject,
  nonceBytes,
  show,
  textAt,
} from './json.ts'
import {
  always,
  ask,
  type Kind,
  listed,
  type Meaning,
  measured,
  NO_LEVEL,
  oneOfList,
  only,
  type PassportClaims,
} from './kind.ts'

/** Where each TEE says whether it is debugged, and what it measured. */
const TEES: Readonly<Record<string, { debug: string; measurement: string; reportData: string }>> = {
  sevsnpvm: {
    debug: 'x-ms-sevsnpvm-is-debuggable',
    measurement: 'x-ms-sevsnpvm-launchmeasurement',
    reportData: 'x-ms-sevsnpvm-reportdata',
  },
  tdxvm: {
    debug: 'tdx_td_attributes_debug',
    measurement: 'tdx_mrtd',
    reportData: 'tdx_report_data',
  },
  sgx: {
    debug: 'x-ms-sgx-is-debuggable',
    measurement: 'x-ms-sgx-mrenclave',
    reportData: 'x-ms-sgx-report-data',
  },
}
/** True in a VM that can be looked into from outside. Linux images leave out those of Windows. */
const VM_DEBUG = [
  'x-ms-azurevm-bootdebug-enabled',
  'x-ms-azurevm-hypervisordebug-enabled',
  'x-ms-azurevm-kerneldebug-enabled',
]
const measurement = text(/^(?:[0-9a-f]{64}|[0-9a-f]{96})$/)
const SVNS = {
  bootloader: 'bootloader-svn',
  tee: 'tee-svn',
  snpfw: 'snpfw-svn',
  microcode: 'microcode-svn',
} as const
type Svns = { readonly [K in keyof typeof SVNS]: number }
const svns = record<Svns>({
  bootloader: integer(),
  tee: integer(),
  snpfw: integer(),
  microcode: integer(),
})

/** JWTs of a shared or an own provider. */
export const azureMaa: Kind = {
  id: 'azure-maa',
  types: ['jwt', ''],
  expiryOptional: false,
  bundled: false,
  recognizes: ({ token: { payload }, devices }) =>
    devices.length === 0 &&
    (Object.hasOwn(payload, 'x-ms-ver') || Object.hasOwn(payload, 'x-ms-attestation-type')),
  meaning,
  questions: {
    debug: always(
      'maa.policy.debug',
      {
        doc: 'Debug is off: of the TEE, and of the VM where there is one.',
        value: false,
        good: 'off',
      },
      debugFaults,
    ),
    attestationType: oneOfList(
      'maa.token.attestation_type',
      'What was attested: sevsnpvm, tdxvm, sgx, azurevm.',
      ({ payload }) => textAt(payload, 'x-ms-attestation-type'),
    ),
    isolationType: oneOfList(
      'maa.platform.isolation_type',
      'The TEE: sevsnpvm, tdxvm, sgx; in an azurevm token that of x-ms-isolation-tee.',
      ({ payload }) => textAt(teeOf(payload), 'x-ms-attestation-type'),
    ),
    complianceStatus: oneOfList(
      'maa.platform.compliance_status',
      'What Azure says of its own VMs: azure-compliant-cvm.',
      ({ payload }) => textAt(teeOf(payload), 'x-ms-compliance-status'),
    ),
    policyHash: oneOfList(
      'maa.token.policy_hash',
      'Hash of the policy that the provider applied, in base64url: x-ms-policy-hash. Anyone who owns a provider writes its policy.',
      ({ payload }) => textAt(payload, 'x-ms-policy-hash'),
    ),
    measurement: listed(
      'maa.tee.measurement',
      field('Launch measurement (SEV-SNP), MRTD (TDX) or MRENCLAVE (SGX).', listOf(measurement)),
      ({ payload }) => measurementOf(payload),
    ),
    hostData: listed(
      'maa.tee.host_data',
      field(
        'HOST_DATA (SEV-SNP): in Azure Container Instances the hash of the policy.',
        listOf(hex(32)),
      ),
      snpText('hostdata'),
    ),
    idKeyDigest: listed(
      'maa.tee.id_key_digest',
      field('ID_KEY_DIGEST (SEV-SNP).', listOf(hex(48))),
      snpText('idkeydigest'),
    ),
    authorKeyDigest: listed(
      'maa.tee.author_key_digest',
      field('AUTHOR_KEY_DIGEST (SEV-SNP).', listOf(hex(48))),
      snpText('authorkeydigest'),
    ),
    vmpl: ask({
      id: 'maa.tee.vmpl',
      field: field('Privilege level of who asked for the report (SEV-SNP): 0.', constant(0)),
      actual: ({ payload }) => show(at(teeOf(payload), 'x-ms-sevsnpvm-vmpl')),
      judge: ({ payload }) => ({
        expected: '0',
        ok: integerAt(teeOf(payload), 'x-ms-sevsnpvm-vmpl') === 0,
      }),
    }),
    migration: only(
      'maa.tee.migration',
      { doc: 'The VM cannot be migrated (SEV-SNP).', value: false, good: 'not allowed' },
      ({ payload }) => {
        const allowed = at(teeOf(payload), 'x-ms-sevsnpvm-migration-allowed')
        return allowed === false ? [] : [show(allowed)]
      },
    ),
    minimumGuestSvn: ask({
      id: 'maa.tee.guest_svn',
      field: field('Least GUEST_SVN (SEV-SNP).', integer()),
      actual: ({ payload }) => show(at(teeOf(payload), 'x-ms-sevsnpvm-guestsvn')),
      judge: ({ payload }, least) => ({
        expected: `at least ${least}`,
        ok: (integerAt(teeOf(payload), 'x-ms-sevsnpvm-guestsvn') ?? -1) >= least,
      }),
    }),
    minimumTcb: ask({
      id: 'maa.platform.tcb',
      field: field('Least firmware versions (SEV-SNP), each compared by itself.', svns),
      actual: ({ payload }) =>
        printSvns((name) => show(at(teeOf(payload), `x-ms-sevsnpvm-${name}`))),
      judge: ({ payload }, least) => ({
        expected: `at least ${Object.entries(least)
          .map(([name, svn]) => `${name} ${svn}`)
          .join(', ')}`,
        ok: (Object.keys(SVNS) as readonly (keyof Svns)[]).every(
          (name) => (integerAt(teeOf(payload), `x-ms-sevsnpvm-${SVNS[name]}`) ?? -1) >= least[name],
        ),
      }),
    }),
    secureBoot: only(
      'maa.vm.secure_boot',
      { doc: 'Secure Boot of the VM is on (azurevm).', value: true, good: 'on' },
      ({ payload }) => (payload['secureboot'] === true ? [] : [show(payload['secureboot'])]),
    ),
    vmIds: oneOfList('maa.vm.vm_id', 'Id of the VM (azurevm): x-ms-azurevm-vmid.', ({ payload }) =>
      textAt(payload, 'x-ms-azurevm-vmid'),
    ),
  },
}

/** The claims of the TEE: inside, for a VM; else the token's own. */
function teeOf(payload: JsonObject): JsonObject {
  const inner = payload['x-ms-isolation-tee']
  // A VM whose TEE is not named has none that counts.
  if (payload['x-ms-attestation-type'] === 'azurevm') return isObject(inner) ? inner : {}
  return payload
}

function namesOf(payload: JsonObject): (typeof TEES)[string] | undefined {
  const type = textAt(teeOf(payload), 'x-ms-attestation-type') ?? ''
  return Object.hasOwn(TEES, type) ? TEES[type] : undefined
}

/** A claim of SEV-SNP, whose names in tokens begin alike. */
function snpText(name: string) {
  return ({ payload }: PassportClaims): string | undefined =>
    textAt(teeOf(payload), `x-ms-sevsnpvm-${name}`)
}

function printSvns(print: (name: string) => string): string {
  return Object.entries(SVNS)
    .map(([name, claim]) => `${name} ${print(claim)}`)
    .join(', ')
}

function measurementOf(payload: JsonObject): string | undefined {
  const names = namesOf(payload)
  return names && textAt(teeOf(payload), names.measurement)?.toLowerCase()
}

function debugFaults({ payload }: PassportClaims): readonly string[] {
  const names = namesOf(payload)
  if (names === undefined) {
    return [`x-ms-attestation-type ${show(at(teeOf(payload), 'x-ms-attestation-type'))}`]
  }
  const tee = at(teeOf(payload), names.debug)
  const faults = tee === false ? [] : [`${names.debug} ${show(tee)}`]
  if (payload['x-ms-attestation-type'] !== 'azurevm') return faults
  const disabled = 'x-ms-azurevm-debuggersdisabled'
  return [
    ...faults,
    ...(payload[disabled] === true ? [] : [`${disabled} ${show(payload[disabled])}`]),
    ...VM_DEBUG.filter((name) => Object.hasOwn(payload, name) && payload[name] !== false).map(
      (name) => `${name} ${show(payload[name])}`,
    ),
  ]
}

/**
 * What the guest binds: the report data of its TEE; in an Azure VM, where the paravisor uses that up,
 * `user-data` of the runtime claims. The nonce is the request's, or the guest's own in `client-payload`.
 */
function meaning(payload: JsonObject): Meaning {
  const names = namesOf(payload)
  const tee = teeOf(payload)
  const vm = payload['x-ms-attestation-type'] === 'azurevm'
  const own = textAt(payload, 'x-ms-runtime', 'client-payload', 'nonce')
  return {
    reportData: vm
      ? hexBytes(textAt(tee, 'x-ms-runtime', 'user-data'))
      : names && hexBytes(textAt(tee, names.reportData)),
    nonce: nonceBytes(textAt(payload, 'nonce')) ?? base64Bytes(own) ?? nonceBytes(own),
    measurements: measured({ measurement: measurementOf(payload) }),
    tcb: levelOf(tee),
  }
}

function levelOf(tee: JsonObject) {
  const status = textAt(tee, 'attester_tcb_status')
  if (status === undefined) return NO_LEVEL
  return { status, date: textAt(tee, 'attester_tcb_date'), advisoryIds: [] }
}
