/** Each policy field, met and not met. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Policy } from '../../../src/core/appraisal/policy.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { EVENT } from '../../../src/core/evidence/common/event-log/event-types.ts'
import { parseEventLog } from '../../../src/core/evidence/common/event-log/parse.ts'
import { isExplained, replayBoot } from '../../../src/core/evidence/tpm/boot.ts'
import { parseEvidence } from '../../../src/core/evidence/tpm/evidence.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  type BootLogOptions,
  goodPcrs,
  mintAkCertificate,
  mintBootLog,
  mintEventLog,
  mintRegister,
  mintSecureBootVariable,
  type TpmEvidenceOptions,
} from '../../../src/testing/index.ts'
import { AK, appraiseTpmEvidence, evidence, failures, PKI, tpmPolicy } from '../../support/tpm.ts'

const digest = createHash('sha256').update(AK.spki).digest('hex')
const value = (pcr: number) => Buffer.from(goodPcrs()['sha256']?.[pcr] ?? []).toString('hex')
const other = 'ee'.repeat(32)
const all = [0, 1, 2, 3, 4, 5, 6, 7]
const booted = (options: BootLogOptions = {}): Partial<TpmEvidenceOptions> => {
  const { log, pcrs } = mintBootLog(options)
  return { eventLog: log, pcrs }
}

type Fields = Policy['fields']
it.each<[string, string, Fields[string], Fields[string], Partial<TpmEvidenceOptions>?]>([
  ['ak.trust', 'tpm.ak.trust', req(['certificate']), req(['pin', 'certified'])],
  ['ak.keys', 'tpm.ak.keys', req([other, digest]), req([other])],
  [
    'pcrs.selected',
    'tpm.pcrs.selected',
    req([{ bank: 'sha256', pcrs: [0, 7] }]),
    req([{ bank: 'sha256', pcrs: [8] }]),
  ],
  [
    'pcrs.selected',
    'tpm.pcrs.selected',
    req([{ bank: 'sha256', pcrs: [0] }]),
    req([{ bank: 'sha384', pcrs: [0] }]),
  ],
  ['scheme', 'tpm.scheme', req(['ECDSA with sha256']), req(['RSASSA with sha256'])],
  ['firmwareVersion', 'tpm.firmware_version', req(['2019102300163636']), req(['2019102300163637'])],
  ['clock.safe', 'tpm.clock.safe', req(true), req(false)],
  ['clock.resetCount', 'tpm.clock.reset_count', req([6, 7]), req([8])],
  ['pcr4', 'tpm.pcr4', req([other, value(4)]), req([other])],
  ['pcr4', 'tpm.pcr4', req([value(4)]), req(['ee'.repeat(48)])],
  ['pcr4', 'tpm.pcr4', req([value(4)]), req([value(4), 'ee'.repeat(64)])],
  ['pcr23', 'tpm.pcr23', { waive: 'x' }, req([value(4)])],
  ['eventLog', 'tpm.event_log', req(all), req([8]), booted()],
  ['secureBoot', 'tpm.secure_boot', req(true), req(true), booted()],
])('%s', async (...[name, id, good, bad, change = {}]) => {
  const run = async (field: Fields[string]) =>
    failures(
      await appraiseTpmEvidence({
        evidence: evidence(change),
        policy: tpmPolicy({ [name]: field }),
      }),
    )
  expect(await run(good)).toEqual([])
  if (JSON.stringify(good) !== JSON.stringify(bad)) expect(await run(bad)).toEqual([id])
})

const ON = mintSecureBootVariable(1)
it.each<[string, Partial<TpmEvidenceOptions>, readonly string[]]>([
  ['no log', {}, ['tpm.event_log', 'tpm.secure_boot']],
  [
    'the log of another boot',
    { ...booted(), pcrs: goodPcrs() },
    ['tpm.event_log', 'tpm.secure_boot'],
  ],
  [
    'a log for PCRs that were not quoted',
    { ...booted(), selection: { sha256: [0, 1, 2, 3, 4, 5, 7] } },
    ['tpm.event_log'],
  ],
  ['Secure Boot off', booted({ secureBoot: 0 }), ['tpm.secure_boot']],
  ['Secure Boot not said', booted({ secureBoot: undefined }), ['tpm.secure_boot']],
  // What any program can do after the firmware, and then write the log as it likes.
  [
    'Secure Boot claimed after the separator',
    booted({ secureBoot: undefined, later: [ON] }),
    ['tpm.secure_boot'],
  ],
  [
    'the separator called something else',
    booted({ secureBoot: undefined, separatorType: 5, later: [ON, new Uint8Array(4)] }),
    ['tpm.secure_boot'],
  ],
  [
    'Secure Boot off, and on after the separator',
    booted({ secureBoot: 0, later: [ON] }),
    ['tpm.secure_boot'],
  ],
  ['a debugger', booted({ debugMode: true }), ['tpm.policy.debug']],
  ['a debugger said late', booted({ later: [utf8('UEFI Debug Mode')] }), ['tpm.policy.debug']],
])('with %s', async (_, change, failing) => {
  const policy = tpmPolicy({ eventLog: req(all), secureBoot: req(true) })
  expect(failures(await appraiseTpmEvidence({ evidence: evidence(change), policy }))).toEqual(
    failing,
  )
})

it.each<[string, Readonly<Record<number, Uint8Array>>, readonly string[]]>([
  ['zeros', fill(all, 0), ['tpm.policy.debug', 'tpm.pcrs.measured']],
  ['ones', fill(all, 0xff), ['tpm.policy.debug', 'tpm.pcrs.measured']],
  ['PCR 0 alone', fill([0], 1), ['tpm.policy.debug']],
  ['PCR 7 alone', fill([7], 1), ['tpm.policy.debug']],
  ['both', fill([0, 7], 1), []],
])('debug and measured: %s', async (_, sha256, failing) => {
  const policy = tpmPolicy({ 'pcrs.measured': req(true) })
  const given = evidence({ pcrs: { sha256 } })
  expect(failures(await appraiseTpmEvidence({ evidence: given, policy }))).toEqual(failing)
})

it('attributes are those of the public area, and a bare key has none', async () => {
  const policy = tpmPolicy({ 'ak.attributes': req('restricted-signing') })
  expect(failures(await appraiseTpmEvidence({ evidence: evidence(), policy }))).toEqual([])
  const bare = evidence({ akPublic: AK.spki })
  expect(failures(await appraiseTpmEvidence({ evidence: bare, policy }))).toEqual([
    'tpm.ak.attributes',
  ])
})

it('attributes count only if somebody stands by them', async () => {
  const policy = tpmPolicy({ 'ak.attributes': req('restricted-signing') })
  const chain = [PKI.issuing.der, PKI.root.der]
  const certificate = mintAkCertificate(PKI, { spki: AK.spki, extendedKeyUsage: undefined })
  const plain = { evidence: evidence({ certificates: [certificate, ...chain] }), policy }
  const result = await appraiseTpmEvidence(plain)
  expect(failures(result)).toEqual(['tpm.ak.attributes'])
  expect(result.claims).toMatchObject({ ak: { trust: 'certificate', wrongAttributes: null } })
  const anchors = { ...VENDOR_ANCHORS, tpmKeys: [digest] }
  expect(failures(await appraiseTpmEvidence({ ...plain, anchors }))).toEqual([])
})

describe('two banks, one of which firmware does not extend', () => {
  const off = mintBootLog({ secureBoot: 0 })
  const on = mintBootLog()
  // What any program can extend in the second bank, and then write a log of.
  const events = [
    { register: 7, type: EVENT.EV_EFI_VARIABLE_DRIVER_CONFIG, data: ON },
    { register: 7, type: EVENT.EV_SEPARATOR, data: new Uint8Array(4) },
  ]
  const log384 = mintEventLog(events, { banks: ['sha384'] })
  const pcrs = { sha384: { 7: mintRegister(events, 7, 'sha384') }, ...off.pcrs }
  const policy = tpmPolicy({ eventLog: req([7]), secureBoot: req(true) })
  const banks = { sha384: [7], sha256: all }

  it('a log of that one alone explains nothing', async () => {
    const given = evidence({ pcrs, selection: banks, eventLog: log384 })
    expect(failures(await appraiseTpmEvidence({ evidence: given, policy }))).toEqual([
      ...['tpm.event_log', 'tpm.secure_boot'],
    ])
  })

  it.each([
    ['off in the other', off, undefined],
    ['on in both', on, true],
  ])('Secure Boot %s', async (_, { log, pcrs: sha256 }, secureBoot) => {
    const parsed = parseEvidence(
      evidence({ pcrs: { ...pcrs, ...sha256 }, selection: banks, eventLog: log }),
    )
    const own = parsed.eventLog?.events.filter(({ register }) => register === 7) ?? []
    const forged = parseEventLog(log384).events
    const joined = own.map((event, i) => ({
      ...event,
      digests: { ...event.digests, ...forged[i]?.digests },
    }))
    const eventLog = { banks: ['sha384', 'sha256'] as const, events: joined }
    const boot = await replayBoot({ ...parsed, eventLog }, createCrypto())
    expect(boot && isExplained(boot, 7)).toBe(true)
    expect(boot?.secureBoot).toBe(secureBoot)
  })
})

it('a quote over no extra data is bound to nothing', async () => {
  const given = evidence({ extraData: new Uint8Array(0) })
  const binding = {
    nonce: { require: new Uint8Array(32) },
    reportData: { require: new Uint8Array(0) },
  }
  expect(failures(await appraiseTpmEvidence({ evidence: given, binding }))).toEqual([
    ...['tpm.freshness.nonce', 'tpm.binding.report_data'],
  ])
})

function req<T>(require: T): { readonly require: T } {
  return { require }
}

function fill(pcrs: readonly number[], byte: number): Readonly<Record<number, Uint8Array>> {
  return Object.fromEntries(pcrs.map((pcr) => [pcr, new Uint8Array(32).fill(byte)]))
}
