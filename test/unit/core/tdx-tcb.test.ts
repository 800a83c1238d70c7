/* eslint-disable max-lines -- tables of statuses */
import { describe, expect, it } from 'vitest'
import { readPckPlatform } from '../../../src/core/evidence/intel-dcap/sgx-extension.ts'
import {
  convergeVerdicts,
  TCB_STATUSES,
  type TcbStatus,
} from '../../../src/core/evidence/intel-dcap/tcb-status.ts'
import type { TdxClaims } from '../../../src/core/evidence/tdx/claims.ts'
import type { TdxTcbStatus } from '../../../src/core/evidence/tdx/tcb.ts'
import { parseCertificate } from '../../../src/core/x509/certificate.ts'
import {
  encodePemChain,
  endorseHierarchy,
  type IntelPki,
  mintIntelPki,
  mintKeys,
  mintTdxQuote,
  type TdxQuoteOptions,
} from '../../../src/testing/index.ts'
import { authenticate, contextOf, failing, NOW } from '../../support/tdx.ts'

type Json = Record<string, unknown>

const keys = mintKeys()
const good = mintIntelPki({ now: NOW, keys })
const svns = (...first: number[]): Uint8Array =>
  Uint8Array.from([...first, ...new Array<number>(16 - first.length).fill(0)])

async function claimsOf(pki: IntelPki, options: TdxQuoteOptions): Promise<TdxClaims> {
  const found = await authenticate(mintTdxQuote(pki, options), contextOf(pki))
  if (!found.authentic) throw new Error(failing(found.checks).join())
  return found.claims
}

describe('convergeVerdicts', () => {
  const verdict = (status: TcbStatus, date = '2024-03-13') => ({
    status,
    date: new Date(date),
    advisoryIds: [] as readonly string[],
  })
  const table: readonly (readonly [TcbStatus, TcbStatus, TcbStatus])[] = [
    ['UpToDate', 'UpToDate', 'UpToDate'],
    ['UpToDate', 'OutOfDate', 'OutOfDate'],
    ['SWHardeningNeeded', 'OutOfDate', 'OutOfDate'],
    ['ConfigurationNeeded', 'OutOfDate', 'OutOfDateConfigurationNeeded'],
    ['ConfigurationAndSWHardeningNeeded', 'OutOfDate', 'OutOfDateConfigurationNeeded'],
    ['OutOfDate', 'UpToDate', 'OutOfDate'],
    ['OutOfDateConfigurationNeeded', 'UpToDate', 'OutOfDateConfigurationNeeded'],
    ['ConfigurationNeeded', 'UpToDate', 'ConfigurationNeeded'],
    ['ConfigurationNeeded', 'SWHardeningNeeded', 'ConfigurationAndSWHardeningNeeded'],
    ...TCB_STATUSES.map((status) => [status, 'Revoked', 'Revoked'] as const),
  ]
  it.each(table)('%s and %s are %s, in either order', (a, b, both) => {
    expect(convergeVerdicts(verdict(a), verdict(b)).status).toBe(both)
    expect(convergeVerdicts(verdict(b), verdict(a)).status).toBe(both)
  })

  it('leaves a single status as it is', () => {
    for (const status of TCB_STATUSES) expect(convergeVerdicts(verdict(status)).status).toBe(status)
  })

  it('takes the earliest date, and every advisory once in the order given', () => {
    const found = convergeVerdicts(
      { ...verdict('UpToDate', '2025-01-01'), advisoryIds: ['A', 'B'] },
      { ...verdict('UpToDate', '2024-01-01'), advisoryIds: ['C', 'A'] },
      { ...verdict('UpToDate', '2026-01-01'), advisoryIds: ['B', 'D'] },
    )
    expect(found.date).toEqual(new Date('2024-01-01'))
    expect(found.advisoryIds).toEqual(['A', 'B', 'C', 'D'])
  })
})

describe('TCB of a quote', () => {
  it.each([
    ['platform', { body: { teeTcbSvn: svns(6, 1, 2) } }, ['INTEL-SA-99901']],
    ['module', { body: { teeTcbSvn: svns(4, 1, 3) } }, ['INTEL-SA-99902']],
    ['QE', { qeReport: { isvSvn: 5 } }, ['INTEL-SA-99903']],
    [
      'all three, in the order platform, QE, module',
      { body: { teeTcbSvn: svns(4, 1, 2) }, qeReport: { isvSvn: 5 } },
      ['INTEL-SA-99901', 'INTEL-SA-99903', 'INTEL-SA-99902'],
    ],
  ] as const)('is OutOfDate if the %s is', async (_, options, advisoryIds) => {
    const { tcb } = await claimsOf(good, options)
    expect(tcb).toEqual({ status: 'OutOfDate', date: '2025-05-14T00:00:00Z', advisoryIds })
  })

  it('says what is short of the best, and by how much', async () => {
    const { tdxTcb } = await claimsOf(good, { body: { teeTcbSvn: svns(4, 1, 2) } })
    expect(tdxTcb.short).toEqual(['tdxtcbcomponents[2] 2 < 3', 'TDX module isvsvn 4 < 6'])
  })

  it('compares the first two TDX components for a module of version 0 alone', async () => {
    // Components of the best level are 6, 0, 3: with version 1, 5 in the first does not matter.
    const versioned = await claimsOf(good, { body: { teeTcbSvn: svns(5, 1, 3) } })
    expect(versioned.tdxTcb.parts).toEqual({
      platform: 'UpToDate',
      module: 'OutOfDate',
      qe: 'UpToDate',
    })
    const unversioned = await claimsOf(good, { body: { teeTcbSvn: svns(5, 0, 3) } })
    expect(unversioned.tdxTcb.parts).toEqual({
      platform: 'OutOfDate',
      module: undefined,
      qe: 'UpToDate',
    })
  })

  it('takes the first level that fits, not the nearest entry', async () => {
    const tcbInfo = (info: Json): Json => ({
      ...info,
      tcbLevels: (info['tcbLevels'] as Json[]).map((level, i) =>
        i === 0 ? { ...level, tcbStatus: 'Revoked' } : level,
      ),
    })
    const { tcb } = await claimsOf(mintIntelPki({ now: NOW, keys, tcbInfo }), {})
    expect(tcb.status).toBe('Revoked')
  })

  it('of a platform without a level is NotSupported, never a status of Intel', async () => {
    const { tcb } = await claimsOf(good, { body: { teeTcbSvn: svns(6, 1, 1) } })
    expect(tcb).toEqual({ status: 'NotSupported', date: undefined, advisoryIds: [] })
  })
})

describe('TD relaunch (TD 1.5 reports)', () => {
  const configured = (status: string) => (info: Json) => ({
    ...info,
    tcbLevels: (info['tcbLevels'] as Json[]).map((level, i) =>
      i === 0 ? { ...level, tcbStatus: status } : level,
    ),
  })
  const cases: readonly {
    readonly name: string
    readonly best: TcbStatus
    readonly launch: readonly number[]
    readonly now: readonly number[]
    readonly status: TdxTcbStatus
  }[] = [
    {
      name: 'nothing changed',
      best: 'UpToDate',
      launch: [6, 1, 3],
      now: [6, 1, 3],
      status: 'UpToDate',
    },
    {
      name: 'updated since',
      best: 'UpToDate',
      launch: [4, 1, 2],
      now: [6, 1, 3],
      status: 'TDRelaunchAdvised',
    },
    {
      name: 'module updated since',
      best: 'UpToDate',
      launch: [4, 1, 3],
      now: [6, 1, 3],
      status: 'TDRelaunchAdvised',
    },
    {
      name: 'updated, not enough',
      best: 'UpToDate',
      launch: [3, 1, 2],
      now: [4, 1, 2],
      status: 'OutOfDate',
    },
    {
      name: 'updated to what needs hardening',
      best: 'SWHardeningNeeded',
      launch: [4, 1, 2],
      now: [6, 1, 3],
      status: 'TDRelaunchAdvised',
    },
    {
      name: 'updated to what needs configuring',
      best: 'ConfigurationNeeded',
      launch: [4, 1, 2],
      now: [6, 1, 3],
      status: 'TDRelaunchAdvisedConfigurationNeeded',
    },
    {
      name: 'updated to what is revoked',
      best: 'Revoked',
      launch: [4, 1, 2],
      now: [6, 1, 3],
      status: 'Revoked',
    },
    {
      name: 'gone back since',
      best: 'UpToDate',
      launch: [6, 1, 3],
      now: [4, 1, 2],
      status: 'OutOfDate',
    },
  ]
  it.each(cases)('$name: $status', async ({ best, launch, now, status }) => {
    const pki = mintIntelPki({ now: NOW, keys, tcbInfo: configured(best) })
    const body = { teeTcbSvn: svns(...launch), teeTcbSvn2: svns(...now) }
    expect((await claimsOf(pki, { version: 5, body })).tcb.status).toBe(status)
  })

  const renewed = { version: 5, body: { teeTcbSvn2: svns(6, 3, 3) } } as const
  it('is judged by the identity of the module of now', async () => {
    expect((await claimsOf(good, renewed)).tcb.status).toBe('UpToDate')
  })

  it.each([
    ['signer', { mrsigner: '11'.repeat(48) }],
    ['attributes', { attributes: '01'.padEnd(16, '0') }],
  ])('fails where the identity of the module of now has another %s', async (_, change) => {
    const pki = mintIntelPki({
      now: NOW,
      keys,
      tcbInfo: (info) => ({
        ...info,
        tdxModuleIdentities: (info['tdxModuleIdentities'] as readonly Json[]).map((identity) =>
          identity['id'] === 'TDX_03' ? { ...identity, ...change } : identity,
        ),
      }),
    })
    const found = await authenticate(mintTdxQuote(pki, renewed), contextOf(pki))
    expect(failing(found.checks)).toEqual(['tdx.tcb.current_level'])
    const launched = await authenticate(mintTdxQuote(pki, { version: 5 }), contextOf(pki))
    expect(failing(launched.checks)).toEqual([])
  })

  it('is not advised where the QE is what is out of date', async () => {
    const { tcb } = await claimsOf(good, { version: 5, qeReport: { isvSvn: 5 } })
    expect(tcb.status).toBe('OutOfDate')
  })
})

describe('choice among several endorsements', () => {
  const DAY = 24 * 60 * 60 * 1000
  const quote = mintTdxQuote(good)
  const renumbered = (number: number, days: number): IntelPki =>
    endorseHierarchy(good, {
      now: new Date(NOW.getTime() + days * DAY),
      tcbInfo: (info) => ({ ...info, tcbEvaluationDataNumber: number }),
    })

  it('prefers what is current, then the higher number', async () => {
    const sets = [renumbered(18, 0), renumbered(21, 0), renumbered(30, 90), renumbered(40, -90)]
    for (const order of [sets, sets.toReversed()]) {
      const endorsements = {
        ...good.endorsements(),
        crls: order.flatMap((pki) => pki.endorsements().crls),
        tcbInfos: order.flatMap((pki) => pki.endorsements().tcbInfos),
      }
      const found = await authenticate(quote, contextOf(good, { endorsements }))
      if (!found.authentic) throw new Error(failing(found.checks).join())
      expect(found.claims.printable).toMatchObject({
        tcb: { tcbEvaluationDataNumber: { tcbInfo: 21, qeIdentity: 20 } },
      })
      expect(found.claims.tcbEvaluationDataNumber).toBe(20)
    }
  })

  it('passes over what a stranger of the same name signed', async () => {
    const stranger = mintIntelPki({ now: new Date(NOW.getTime() + 1000) }).endorsements()
    const own = good.endorsements()
    const endorsements = {
      certificates: [...stranger.certificates, ...own.certificates],
      crls: [...stranger.crls, ...own.crls],
      tcbInfos: [...stranger.tcbInfos, ...own.tcbInfos],
      qeIdentities: [...stranger.qeIdentities, ...own.qeIdentities],
    }
    expect((await authenticate(quote, contextOf(good, { endorsements }))).authentic).toBe(true)
  })

  it('finds FMSPC and PCEID in either case', async () => {
    const pki = mintIntelPki({
      now: NOW,
      keys,
      platform: {
        fmspc: Uint8Array.from([0xb0, 0xc0, 0x6f, 0, 0, 0]),
        pceId: Uint8Array.of(0xab, 0),
      },
      tcbInfo: (info) => ({ ...info, fmspc: 'B0C06F000000', pceId: 'AB00' }),
    })
    expect((await claimsOf(pki, {})).platform.fmspc).toBe('b0c06f000000')
  })
})

describe('a quote that only names its platform', () => {
  const { pck, platformCa, root } = good.certificates
  const { ppid, cpuSvn } = readPckPlatform(
    parseCertificate(pck, { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' }),
  )
  const named = (type: number, id: string): Uint8Array => {
    const data = Uint8Array.from(Buffer.from(`${id}${cpuSvn}0d000000`, 'hex'))
    return mintTdxQuote(good, { certification: { type, data } })
  }
  const set = good.endorsements()
  const endorsements = { ...set, certificates: [...set.certificates, pck, platformCa, root] }

  it.each([
    [1, ppid],
    [2, 'aa'.repeat(256)],
    [3, 'aa'.repeat(384)],
  ])('type %i is authentic with its certificate among the endorsements', async (type, id) => {
    const found = await authenticate(named(type, id), contextOf(good, { endorsements }))
    expect(failing(found.checks)).toEqual([])
    expect(found.authentic).toBe(true)
  })

  it.each([
    ['no certificate', 2, 'aa'.repeat(256), set],
    ['that of another platform', 1, '00'.repeat(16), endorsements],
  ] as const)('has no verdict with %s', async (...[, type, id, given]) => {
    await expect(
      authenticate(named(type, id), contextOf(good, { endorsements: given })),
    ).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'dcap.endorsements.pck_certificate',
    })
  })

  it('has no verdict without the issuer', async () => {
    const alone = { ...set, certificates: [set.certificates[0] ?? pck, pck] }
    await expect(
      authenticate(named(1, ppid), contextOf(good, { endorsements: alone })),
    ).rejects.toMatchObject({ at: 'dcap.endorsements.pck_issuer_chain' })
  })

  it.each([0, 4, 6, 7])('certification data of type %i is not supported', async (type) => {
    const quote = mintTdxQuote(good, { certification: { type, data: encodePemChain([pck]) } })
    await expect(authenticate(quote, contextOf(good))).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_UNSUPPORTED',
    })
  })
})
