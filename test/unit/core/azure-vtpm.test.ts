/** Azure evidence with one thing wrong at a time, on both kinds of hardware. */
import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { appraise } from '../../../src/core/appraisal/appraise.ts'
import { parsePolicy } from '../../../src/core/appraisal/policy.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { parseHclReport } from '../../../src/core/evidence/azure-vtpm/hcl.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { formatOf } from '../../../src/core/evidence/formats.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  type HclReportOptions,
  mintHclReport,
  mintRuntimeData,
  mintTpmKey,
} from '../../../src/testing/index.ts'
import { shippedPolicy } from '../../support/appraisal.ts'
import { mintCase } from '../../support/mint-case.ts'
import { failures } from '../../support/tpm.ts'

type Overrides = Readonly<Record<string, Json>>
type Id = 'azure-snp-vtpm' | 'azure-tdx-vtpm'
const IDS: readonly Id[] = ['azure-snp-vtpm', 'azure-tdx-vtpm']
const prefixOf = (id: Id) => (id === 'azure-snp-vtpm' ? 'az_snp' : 'az_tdx')
const AK = mintTpmKey('RS256')
const RUNTIME = mintRuntimeData(AK)
const OTHER_PCRS = Object.fromEntries<string>(
  Array.from({ length: 8 }, (_, pcr) => [String(pcr), `0${pcr + 1}`.repeat(32)] as const),
)

async function run(
  id: Id,
  overrides: Overrides,
  change: { evidence?: Uint8Array; fields?: Readonly<Record<string, Json>> } = {},
) {
  const unchecked = { unchecked: 'test' }
  const minted = mintCase(id, overrides)
  const policy = parsePolicy({ ...shippedPolicy(`authentic-${id}`), ...change.fields })
  return appraise(
    {
      ...minted,
      evidence: change.evidence ?? minted.evidence,
      format: id,
      referenceValues: [],
      policy,
      binding: { nonce: unchecked, reportData: unchecked },
    },
    { crypto: createCrypto(), memo: createMemo(0) },
  )
}

/** The hardware's own field for report data. */
const reportData = (id: Id, hex: string): Overrides =>
  id === 'azure-snp-vtpm' ? { fields: { reportData: hex } } : { body: { reportData: hex } }

it.each(IDS)('%s: the vTPM’s key is the hardware’s word, all 64 bytes of it', async (id) => {
  expect((await run(id, {})).tier).toBe('affirming')
  const prefix = prefixOf(id)
  const other = await run(id, reportData(id, 'ab'.repeat(64)))
  expect(failures(other)).toEqual([`${prefix}.binding.runtime_data`])
  expect(other.claims).toBeNull()
  // The digest of other claims, or of the same with something behind it, is another word.
  const { evidence } = mintCase(id, {})
  const json = JSON.parse(new TextDecoder().decode(evidence)) as { hcl_report: string }
  const foreign = mintCase(id, {})
  const theirs = JSON.parse(new TextDecoder().decode(foreign.evidence)) as { hcl_report: string }
  const key = await run(
    id,
    {},
    {
      evidence: new TextEncoder().encode(
        JSON.stringify({ ...json, hcl_report: theirs.hcl_report }),
      ),
    },
  )
  expect(key.tier).toBe('contraindicated')
})

it.each(IDS)('%s: nothing stands behind the digest of the claims', async (id) => {
  // The claims name a key of ours, so that their digest is known; the quote is by another.
  const { keys } = JSON.parse(new TextDecoder().decode(RUNTIME)) as { keys: Json }
  const digest = createHash('sha256').update(RUNTIME).digest('hex')
  const verdict = async (tail: string) =>
    failures(await run(id, { runtime: { keys }, ...reportData(id, digest + tail) }))
  const quote = `${prefixOf(id)}.signature.quote`
  expect(await verdict('00'.repeat(32))).toEqual([quote])
  const runtime = `${prefixOf(id)}.binding.runtime_data`
  expect(await verdict(`${'00'.repeat(31)}01`)).toEqual([runtime, quote])
})

it('azure-snp-vtpm: no policy takes a guest’s own report for the paravisor’s', async () => {
  const taking = async (levels: readonly number[]) =>
    run('azure-snp-vtpm', { fields: { vmpl: 2 } }, { fields: { vmpl: { require: levels } } })
  expect(failures(await taking([0]))).toEqual(['snp.guest.vmpl'])
  for (const levels of [[2], [0, 1, 2, 3], [1, 0]]) {
    await expect(taking(levels)).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID',
      at: 'policy.vmpl',
    })
  }
})

it.each(IDS)('%s: a quote by another key, a lie about a PCR, another nonce', async (id) => {
  const prefix = prefixOf(id)
  const minted = mintCase(id, {})
  const json = JSON.parse(new TextDecoder().decode(minted.evidence)) as {
    tpm_quote: { signature: string; pcrs: string[] }
  }
  const other = JSON.parse(new TextDecoder().decode(mintCase(id, {}).evidence)) as typeof json
  const appraised = async (tpm_quote: object) => {
    const evidence = new TextEncoder().encode(JSON.stringify({ ...json, tpm_quote }))
    const unchecked = { unchecked: 'test' }
    const policy = parsePolicy(shippedPolicy(`authentic-${id}`))
    const input = { ...minted, evidence, format: id, referenceValues: [], policy }
    const nonce = { require: new Uint8Array(32).fill(0xc2) }
    return appraise(
      { ...input, binding: { nonce, reportData: unchecked } },
      { crypto: createCrypto(), memo: createMemo(0) },
    )
  }
  expect(failures(await appraised(json.tpm_quote))).toEqual([`${prefix}.freshness.nonce`])
  expect(failures(await appraised(other.tpm_quote))).toEqual([`${prefix}.signature.quote`])
  const pcrs = json.tpm_quote.pcrs.with(3, '00'.repeat(32))
  expect(failures(await appraised({ ...json.tpm_quote, pcrs }))).toEqual([`${prefix}.pcrs.digest`])
})

it.each(IDS)('%s: policy fields of the VM and its vTPM', async (id) => {
  const prefix = prefixOf(id)
  const asked: readonly (readonly [string, string, Json, Json])[] = [
    ['vm.userData', 'vm.user_data', ['00'.repeat(64)], ['01'.repeat(64)]],
    ['vm.secureBoot', 'vm.secure_boot', true, false],
    ['vm.console', 'vm.console', false, true],
    ['vm.tpm', 'vm.tpm', true, false],
    ['vm.uniqueId', 'vm.unique_id', ['11111111-2222-3333-4444-555555555555'], ['0'.repeat(36)]],
    ['vtpm.pcr4', 'vtpm.pcr4', null, ['00'.repeat(32)]],
    ['vtpm.scheme', 'vtpm.scheme', ['RSASSA with sha256'], ['ECDSA with sha256']],
    ['vtpm.clock.resetCount', 'vtpm.clock.reset_count', [7], [8]],
  ]
  for (const [name, end, good, bad] of asked) {
    const verdict = async (require: Json) =>
      failures(await run(id, {}, { fields: { [name]: { require } } }))
    if (good !== null) expect(await verdict(good)).toEqual([])
    expect(await verdict(bad)).toEqual([`${prefix}.${end}`])
  }
  const silent = { runtime: { 'vm-configuration': {}, 'user-data': '' } }
  const fields = { 'vm.secureBoot': { require: false }, 'vm.console': { require: false } }
  expect(failures(await run(id, silent, { fields }))).toEqual([
    ...[`${prefix}.vm.secure_boot`, `${prefix}.vm.console`, `${prefix}.vm.tpm`],
  ])
})

it('the checks of the hardware are all there, under their own ids', () => {
  for (const [id, inner] of [
    ['azure-snp-vtpm', 'sev-snp'],
    ['azure-tdx-vtpm', 'tdx'],
  ] as const) {
    const { requiredCheckIds, appraisalCheckIds, policyFields } = formatOf(id)
    const hardware = formatOf(inner)
    expect(requiredCheckIds).toEqual(expect.arrayContaining([...hardware.requiredCheckIds]))
    expect(appraisalCheckIds).toEqual(expect.arrayContaining([...hardware.appraisalCheckIds]))
    expect(policyFields).toMatchObject(hardware.policyFields)
  }
})

const MALFORMED = 'ERR_EVIDENCE_MALFORMED'
const UNSUPPORTED = 'ERR_EVIDENCE_UNSUPPORTED'
it.each<[string, Partial<HclReportOptions>, string, string]>([
  ['another magic', { magic: 1 }, MALFORMED, 'azure.hcl.magic'],
  ['another version', { version: 3 }, UNSUPPORTED, 'azure.hcl.version'],
  ['an error', { status: 1 }, MALFORMED, 'azure.hcl.status'],
  ['another version of claims', { runtimeVersion: 2 }, UNSUPPORTED, 'azure.hcl.runtime_version'],
  ['a report of VBS', { reportType: 1 }, UNSUPPORTED, 'azure.hcl.report_type'],
  ['another hash', { hashType: 2 }, UNSUPPORTED, 'azure.hcl.hash_type'],
  ['sizes that disagree', { dataSize: 20 }, MALFORMED, 'azure.hcl.data_size'],
  ['something behind its claims', { padding: Uint8Array.of(1) }, MALFORMED, 'azure.hcl.padding'],
  [
    'claims that are no JSON',
    { runtimeData: Uint8Array.of(0x7b) },
    MALFORMED,
    'azure.hcl.runtime_data',
  ],
  [
    'no key',
    { runtimeData: mintRuntimeData(AK, { keys: [] }) },
    MALFORMED,
    'azure.hcl.runtime_data.keys',
  ],
  [
    'no keys',
    { runtimeData: mintRuntimeData(AK, { keys: undefined }) },
    MALFORMED,
    'azure.hcl.runtime_data.keys',
  ],
  ['the key twice', { runtimeData: twice() }, MALFORMED, 'azure.hcl.runtime_data.keys'],
  [
    'a key of 1024 bits',
    { runtimeData: mintRuntimeData(AK, { keys: [jwk('AQAB', 'q'.repeat(171))] }) },
    MALFORMED,
    'azure.hcl.runtime_data.keys[0]',
  ],
  [
    'an even exponent',
    { runtimeData: mintRuntimeData(AK, { keys: [jwk('AQAA', 'q'.repeat(342) + 'w')] }) },
    MALFORMED,
    'azure.hcl.runtime_data.keys[0]',
  ],
  [
    'user data that is no hex',
    { runtimeData: mintRuntimeData(AK, { 'user-data': 'x' }) },
    MALFORMED,
    'azure.hcl.runtime_data.user-data',
  ],
])('refuses a report with %s', (...[, change, code, at]) => {
  const report = mintHclReport({ type: 'snp', runtimeData: RUNTIME, ...change })
  expect(() => parseHclReport(report)).toThrow(expect.objectContaining({ code, at }) as Error)
})

function jwk(e: string, n: string): Json {
  return { kid: 'HCLAkPub', kty: 'RSA', e, n }
}

function twice(): Uint8Array {
  const { keys } = JSON.parse(new TextDecoder().decode(RUNTIME)) as { keys: Json[] }
  return mintRuntimeData(AK, { keys: [...keys, ...keys] })
}

/** With all that the log can be asked for. */
const ASKS_LOG = {
  'vtpm.eventLog': { require: [0, 1, 2, 3, 4, 5, 6, 7] },
  'vtpm.secureBoot': { require: true },
}

it.each(IDS)('%s: the vTPM’s event log counts as far as the quote bears it out', async (id) => {
  const ask = async (overrides: Overrides) => run(id, overrides, { fields: ASKS_LOG })
  const good = await ask({ log: {} })
  expect(good.tier).toBe('affirming')
  expect(good.claims).toMatchObject({ eventLog: { secureBoot: true, debugMode: false } })
  const vtpm = `${prefixOf(id)}.vtpm`
  const both = [`${vtpm}.event_log`, `${vtpm}.secure_boot`]
  expect(failures(await ask({}))).toEqual(both)
  expect(failures(await ask({ log: { secureBoot: 0 } }))).toEqual([`${vtpm}.secure_boot`])
  const other = await ask({ log: {}, pcrs: { sha256: OTHER_PCRS } })
  expect(failures(other)).toEqual(both)
  expect((await run(id, { log: {} })).tier).toBe('affirming')
})

it.each(IDS)('%s: an event log that is none, and one in another encoding, is malformed', (id) => {
  for (const [log, at] of [
    ['AAAA', 'azure.event_log'],
    ['++++', 'azure.event_log'],
    [7, 'azure.event_log'],
  ] as const) {
    const { evidence } = mintCase(id, {})
    const json = JSON.parse(new TextDecoder().decode(evidence)) as Record<string, Json>
    const bytes = new TextEncoder().encode(JSON.stringify({ ...json, event_log: log }))
    const refusal: unknown = expect.objectContaining({
      code: 'ERR_EVIDENCE_MALFORMED',
      at: expect.stringContaining(at) as string,
    })
    expect(() => {
      formatOf(id).parse(bytes)
    }).toThrow(refusal)
  }
})
