/** Claims of good passports of every kind, under names that the genuine ones use. @packageDocumentation */
import type { Json } from '../core/encoding/canonical-json.ts'
import type { PassportKind } from '../core/endorsements/passport-trust.ts'

type Members = Readonly<Record<string, Json | undefined>>

/** What the minted attesters bind: 32 bytes as nonce, 64 as report data. */
export const PASSPORT_BOUND = { nonce: 'e2'.repeat(32), reportData: 'd1'.repeat(64) }

const LIFE_SECONDS = 3600

/** Without `iss` and `aud`, which are the issuer's. */
export function goodClaims(kind: PassportKind, at: Date): Members {
  const iat = Math.floor(at.getTime() / 1000)
  const times = { iat, nbf: iat, exp: iat + LIFE_SECONDS }
  return { ...times, ...CLAIMS[kind] }
}

/** The token of one GPU. */
export function goodDevice(at: Date): Members {
  const iat = Math.floor(at.getTime() / 1000)
  const chain = { 'x-nvidia-cert-status': 'valid', 'x-nvidia-cert-ocsp-status': 'good' }
  const rim = (name: string): Members => ({
    [`x-nvidia-gpu-${name}-rim-fetched`]: true,
    [`x-nvidia-gpu-${name}-rim-signature-verified`]: true,
    [`x-nvidia-gpu-${name}-rim-measurements-available`]: true,
    [`x-nvidia-gpu-${name}-rim-cert-chain`]: chain,
  })
  return {
    iat,
    nbf: iat,
    exp: iat + LIFE_SECONDS,
    eat_nonce: PASSPORT_BOUND.nonce,
    ueid: '1234567890',
    dbgstat: 'disabled',
    measres: 'success',
    secboot: true,
    hwmodel: 'GH100 A01 GSP BROM',
    'x-nvidia-attestation-warning': null,
    'x-nvidia-gpu-arch-check': true,
    'x-nvidia-gpu-attestation-report-parsed': true,
    'x-nvidia-gpu-attestation-report-signature-verified': true,
    'x-nvidia-gpu-attestation-report-nonce-match': true,
    'x-nvidia-gpu-attestation-report-cert-chain-fwid-match': true,
    'x-nvidia-gpu-attestation-report-cert-chain': chain,
    'x-nvidia-gpu-driver-version': '570.86.15',
    'x-nvidia-gpu-vbios-version': '96.00.9F.00.01',
    ...rim('driver'),
    ...rim('vbios'),
  }
}

const CLAIMS: Readonly<Record<PassportKind, Members>> = {
  ear: {
    nbf: undefined,
    eat_profile: 'tag:github.com,2023:veraison/ear',
    eat_nonce: PASSPORT_BOUND.nonce,
    'ear.verifier-id': { developer: 'Example Verifiers', build: '1.0' },
    submods: {
      cpu0: {
        'ear.status': 'affirming',
        'ear.trustworthiness-vector': { 'instance-identity': 2, hardware: 2, executables: 3 },
        'ear.appraisal-policy-id': 'default',
        'ear.veraison.annotated-evidence': { report_data: PASSPORT_BOUND.reportData },
      },
    },
  },
  'intel-ita': {
    ver: '1.0.0',
    attester_type: 'TDX',
    attester_tcb_status: 'UpToDate',
    attester_tcb_date: '2026-03-01T00:00:00Z',
    attester_held_data: Buffer.from(PASSPORT_BOUND.reportData, 'hex').toString('base64'),
    eat_nonce: PASSPORT_BOUND.nonce,
    dbgstat: 'disabled',
    policy_ids_matched: [{ id: '11111111-2222-3333-4444-555555555555', version: 'v1' }],
    policy_ids_unmatched: null,
    tdx_is_debuggable: false,
    tdx_mrtd: 'a0'.repeat(48),
    tdx_rtmr0: 'b0'.repeat(48),
    tdx_rtmr1: 'b1'.repeat(48),
    tdx_rtmr2: 'b2'.repeat(48),
    tdx_rtmr3: 'b3'.repeat(48),
    tdx_seamsvn: 5,
  },
  'azure-maa': {
    nonce: PASSPORT_BOUND.nonce,
    'x-ms-ver': '1.0',
    'x-ms-attestation-type': 'sevsnpvm',
    'x-ms-compliance-status': 'azure-compliant-uvm',
    'x-ms-policy-hash': 'NmExYjJjM2Q0ZTVmNjA3MTgyOTNhNGI1YzZkN2U4ZjA',
    'x-ms-sevsnpvm-authorkeydigest': '00'.repeat(48),
    'x-ms-sevsnpvm-bootloader-svn': 4,
    'x-ms-sevsnpvm-guestsvn': 2,
    'x-ms-sevsnpvm-hostdata': 'c0'.repeat(32),
    'x-ms-sevsnpvm-idkeydigest': 'c1'.repeat(48),
    'x-ms-sevsnpvm-is-debuggable': false,
    'x-ms-sevsnpvm-launchmeasurement': 'c2'.repeat(48),
    'x-ms-sevsnpvm-microcode-svn': 115,
    'x-ms-sevsnpvm-migration-allowed': false,
    'x-ms-sevsnpvm-reportdata': PASSPORT_BOUND.reportData,
    'x-ms-sevsnpvm-snpfw-svn': 8,
    'x-ms-sevsnpvm-tee-svn': 0,
    'x-ms-sevsnpvm-vmpl': 0,
  },
  'gcp-cs': {
    sub: 'https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/i',
    eat_nonce: [
      PASSPORT_BOUND.nonce,
      Buffer.from(PASSPORT_BOUND.reportData, 'hex').toString('base64'),
    ],
    eat_profile:
      'https://cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims',
    secboot: true,
    oemid: 11129,
    hwmodel: 'GCP_INTEL_TDX',
    swname: 'CONFIDENTIAL_SPACE',
    swversion: ['250800'],
    dbgstat: 'disabled-since-boot',
    submods: {
      confidential_space: {
        support_attributes: ['LATEST', 'STABLE', 'USABLE'],
        monitoring_enabled: { memory: false },
      },
      container: {
        image_reference: 'registry.example/workload:1',
        image_digest: `sha256:${'e5'.repeat(32)}`,
        restart_policy: 'Never',
        env: { PATH: '/bin' },
        args: ['/workload'],
      },
      gce: { zone: 'us-west1-b', project_id: 'example', instance_id: '42' },
    },
    tdx: { gcp_attester_tcb_status: 'UpToDate', gcp_attester_tcb_date: '2026-03-13T00:00:00Z' },
    google_service_accounts: ['workload@example.iam.gserviceaccount.com'],
  },
  'nvidia-nras': {
    sub: 'NVIDIA-PLATFORM-ATTESTATION',
    'x-nvidia-ver': '3.0',
    'x-nvidia-overall-att-result': true,
    eat_nonce: PASSPORT_BOUND.nonce,
  },
}
