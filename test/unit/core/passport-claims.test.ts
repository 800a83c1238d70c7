import { describe, expect, it } from 'vitest'
import type { Binding } from '../../../src/core/appraisal/binding.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import type { PassportKind } from '../../../src/core/endorsements/passport-trust.ts'
import { nonceBytes } from '../../../src/core/evidence/passport/json.ts'
import { PASSPORT_BOUND, type PassportMembers } from '../../../src/testing/index.ts'
import { failures, KINDS, passportInput, verdictOf } from '../../support/passports.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const NONCE = bytes(PASSPORT_BOUND.nonce)
const DATA = bytes(PASSPORT_BOUND.reportData)
const FRESH = 'freshness.nonce'
const BOUND = 'binding.report_data'

async function binding(
  kind: PassportKind,
  claims: PassportMembers,
  wanted: { readonly nonce?: Uint8Array; readonly data?: Uint8Array },
): Promise<readonly string[]> {
  const part = (value: Uint8Array | undefined): Binding['nonce'] =>
    value === undefined ? { unchecked: 'test' } : { require: value }
  const input = { binding: { nonce: part(wanted.nonce), reportData: part(wanted.data) } }
  const ids = failures(await verdictOf(passportInput(kind, { claims }, input)))
  return ids.filter((id) => id === FRESH || id === BOUND)
}

describe('freshness and key binding', () => {
  it.each(KINDS)('%s answers the nonce, and no other', async (kind) => {
    expect(await binding(kind, {}, { nonce: NONCE })).toEqual([])
    expect(await binding(kind, {}, { nonce: NONCE.with(0, 1) })).toEqual([FRESH])
    expect(await binding(kind, {}, { nonce: NONCE.subarray(1) })).toEqual([FRESH])
    expect(await binding(kind, {}, { nonce: new Uint8Array(32) })).toEqual([FRESH])
  })

  it.each(KINDS)('%s is bound to its report data, and no other', async (kind) => {
    // A GPU binds the nonce and nothing else.
    const bound = kind === 'nvidia-nras' ? NONCE : DATA
    expect(await binding(kind, {}, { data: bound })).toEqual([])
    expect(await binding(kind, {}, { data: bound.with(5, 1) })).toEqual([BOUND])
    expect(await binding(kind, {}, { data: bound.subarray(1) })).toEqual([BOUND])
  })

  const REPORTDATA = 'x-ms-sevsnpvm-reportdata'
  it.each<[string, PassportKind, PassportMembers]>([
    ['eat_nonce', 'gcp-cs', { eat_nonce: undefined }],
    ['eat_nonce in it', 'gcp-cs', { eat_nonce: [] }],
    ['texts in eat_nonce', 'gcp-cs', { eat_nonce: [1, 2] }],
    [
      'room for a third nonce',
      'gcp-cs',
      { eat_nonce: [PASSPORT_BOUND.nonce, PASSPORT_BOUND.reportData, 'x'] },
    ],
    ['nonce and report data', 'azure-maa', { nonce: undefined, [REPORTDATA]: undefined }],
    ['text in them', 'azure-maa', { nonce: 1, [REPORTDATA]: 'not hex' }],
    ['held data', 'intel-ita', { attester_held_data: null, eat_nonce: undefined }],
    ['held data in base64', 'intel-ita', { attester_held_data: '***', eat_nonce: '' }],
    ['submodules', 'ear', { submods: {}, eat_nonce: undefined }],
    ['one nonce', 'ear', { submods: {}, eat_nonce: ['a'.repeat(64), 'b'.repeat(64)] }],
  ])('absent-never-passes: no %s (%s)', async (_, kind, claims) => {
    expect(await binding(kind, claims, { nonce: NONCE, data: DATA })).toEqual([FRESH, BOUND])
  })

  it('gcp-cs: one nonce is both', async () => {
    for (const eat_nonce of [PASSPORT_BOUND.nonce, [PASSPORT_BOUND.nonce]]) {
      expect(await binding('gcp-cs', { eat_nonce }, { nonce: NONCE, data: NONCE })).toEqual([])
    }
  })

  it('intel-ita: report data stands as it is where nothing was held, in both versions', async () => {
    const plain = {
      attester_held_data: undefined,
      eat_nonce: undefined,
      tdx_report_data: PASSPORT_BOUND.reportData,
    }
    expect(await binding('intel-ita', plain, { data: DATA, nonce: DATA })).toEqual([])
    const tdx = {
      attester_type: 'TDX',
      tdx_is_debuggable: false,
      tdx_report_data: PASSPORT_BOUND.reportData,
    }
    const two = { attester_type: undefined, tdx, eat_nonce: undefined }
    expect(await binding('intel-ita', two, { data: DATA })).toEqual([])
    // Of two TEEs neither speaks for the whole.
    const sgx = { attester_type: 'SGX', sgx_is_debuggable: false }
    expect(await binding('intel-ita', { ...two, sgx }, { data: DATA })).toEqual([BOUND])
  })

  it('azure-maa: a VM binds user data of its own, not what its paravisor bound', async () => {
    const tee = (runtime: Json): PassportMembers => ({
      'x-ms-attestation-type': 'azurevm',
      nonce: undefined,
      'x-ms-runtime': { 'client-payload': { nonce: Buffer.from(NONCE).toString('base64') } },
      'x-ms-isolation-tee': {
        'x-ms-attestation-type': 'sevsnpvm',
        [REPORTDATA]: PASSPORT_BOUND.reportData,
        'x-ms-runtime': runtime,
      },
    })
    const own = tee({ 'user-data': PASSPORT_BOUND.reportData.toUpperCase() })
    expect(await binding('azure-maa', own, { nonce: NONCE, data: DATA })).toEqual([])
    expect(await binding('azure-maa', tee({}), { nonce: NONCE, data: DATA })).toEqual([BOUND])
  })

  it('ear: report data that submodules agree on, or a statement, or the nonce alone', async () => {
    const sub = (report_data: Json): Json => ({
      'ear.status': 'affirming',
      'ear.veraison.annotated-evidence': { report_data },
    })
    const same = {
      submods: { cpu0: sub(PASSPORT_BOUND.reportData), gpu0: sub(PASSPORT_BOUND.reportData) },
    }
    expect(await binding('ear', same, { nonce: NONCE, data: DATA })).toEqual([])
    for (const other of ['00'.repeat(64), null, 7]) {
      const differ = { submods: { cpu0: sub(PASSPORT_BOUND.reportData), gpu0: sub(other) } }
      expect(await binding('ear', differ, { data: DATA })).toEqual([BOUND])
    }
    const plain = { submods: { cpu0: { 'ear.status': 'affirming' } } }
    const statement = { ...plain, 'vouchsafe.statement': `sha256:${'5a'.repeat(32)}` }
    const digest = bytes('5a'.repeat(32))
    expect(await binding('ear', statement, { nonce: NONCE, data: digest })).toEqual([])
    expect(await binding('ear', plain, { nonce: NONCE, data: NONCE })).toEqual([])
  })
})

describe('Intel Trust Authority: several attesters', () => {
  const judged = async (others: PassportMembers): Promise<readonly string[]> => {
    const tdx = {
      attester_type: 'TDX',
      attester_tcb_status: 'UpToDate',
      tdx_is_debuggable: false,
    }
    const claims = { attester_type: undefined, tdx, ...others }
    return failures(await verdictOf(passportInput('intel-ita', { claims })))
  }

  it('each is asked, whatever its member is called', async () => {
    expect(await judged({})).toEqual([])
    const sgx = { attester_type: 'SGX', attester_tcb_status: 'UpToDate', sgx_is_debuggable: true }
    for (const name of ['sgx', 'sgx2', 'enclave']) {
      expect(await judged({ [name]: sgx }), name).toContain('policy.debug')
      expect(await judged({ [name]: { attester_type: 'NEW' } }), name).toContain('policy.debug')
    }
    expect(await judged({ tpm: {} })).toContain('policy.debug')
    expect(await judged({ verifier_nonce: { val: 'x' } })).toEqual([])
  })
})

describe('EAR: a status and its vector', () => {
  const judged = async (vector: Json): Promise<readonly string[]> => {
    const cpu0 = { 'ear.status': 'affirming', 'ear.trustworthiness-vector': vector }
    return failures(await verdictOf(passportInput('ear', { claims: { submods: { cpu0 } } })))
  }

  it.each<[string, Json]>([
    ['affirms one element', { hardware: 2 }],
    ['affirms one element, and says nothing of another', { hardware: 31, executables: 0 }],
  ])('agree where it %s', async (_, vector) => {
    expect(await judged(vector)).toEqual([])
  })

  it.each<[string, Json]>([
    ['is empty', {}],
    ['says nothing of each element', { hardware: 0, executables: 0 }],
    ['says that it cannot say', { hardware: 2, executables: 1 }],
    ['warns', { hardware: 32 }],
    ['is of fractions', { hardware: 2.5 }],
    ['is of texts', { hardware: '2' }],
    ['is below zero', { hardware: -2 }],
    ['is a list', [2]],
    ['is null', null],
  ])('contradict each other where it %s', async (_, vector) => {
    expect(await judged(vector)).toEqual(['policy.debug', 'token.status'])
  })
})

describe('spellings of a nonce', () => {
  it.each<[string, Uint8Array | undefined]>([
    ['', undefined],
    ['0011223344556677', bytes('0011223344556677')],
    ['E2'.repeat(32), NONCE],
    [Buffer.from(NONCE).toString('base64'), NONCE],
    [Buffer.from(NONCE).toString('base64url'), NONCE],
    [Buffer.from(DATA).toString('base64'), DATA],
    ['001122', Uint8Array.from(Buffer.from('001122'))],
    [
      'a nonce between 10 and 74 characters',
      Uint8Array.from(Buffer.from('a nonce between 10 and 74 characters')),
    ],
  ])('%j', (text, expected) => {
    expect(nonceBytes(text)).toEqual(expected)
  })

  it('one value cannot be had from two texts but by who knows it', () => {
    expect(nonceBytes(undefined)).toBeUndefined()
    expect(nonceBytes('AA'.repeat(32))).toEqual(bytes('aa'.repeat(32)))
  })
})

it('prints numbers that JSON cannot keep exactly as text, so that every token can be logged', async () => {
  const claims = { fraction: 0.5, large: 2 ** 60, list: [1.25], nested: { x: -0.5 } }
  const { claims: printed } = await verdictOf(passportInput('azure-maa', { claims }))
  expect(printed).toMatchObject({
    token: { fraction: '0.5', large: String(2 ** 60), list: ['1.25'], nested: { x: '-0.5' } },
  })
})
