/** Which of the platforms seen lately would fail with the newest collateral. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Policy, parsePolicy, policyToJson } from '../../src/core/appraisal/policy.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import type { FormatId } from '../../src/core/evidence/common/format-ids.ts'
import {
  endorseHierarchy,
  mintAzureEvidence,
  mintHclReport,
  mintHclReportData,
  mintHierarchy,
  mintRuntimeData,
  mintTdxQuote,
  mintTpmKey,
} from '../../src/testing/index.ts'
import { shippedPolicy } from '../support/appraisal.ts'
import { recordAppraisal } from '../support/audit.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import { ROOT_CRL_PATH, startFakePcs } from '../support/fake-pcs.ts'
import type { FakeVendor } from '../support/fake-vendor.ts'
import { createPlace, leafOf, openTestLog } from '../support/log.ts'
import { createTestLog } from '../support/tlog.ts'

const NOW = new Date()
const DAY = 86_400_000
const daysAgo = (days: number): string =>
  `${new Date(NOW.getTime() - days * DAY).toISOString().slice(0, 19)}Z`
type Level = { readonly tcb: Readonly<Record<string, unknown>> }
const hierarchy = mintHierarchy({ now: NOW })
const standard = endorseHierarchy(hierarchy, { now: NOW })
/** The early feed, one evaluation later, knows of a recovery of ten days ago. */
const early = endorseHierarchy(hierarchy, {
  now: NOW,
  tcbInfo: (info) => {
    const [first, ...levels] = info['tcbLevels'] as readonly Level[]
    const sgx = first?.tcb['sgxtcbcomponents'] as readonly { readonly svn: number }[]
    const more = sgx.map(({ svn }, i) => ({ svn: i < 2 ? svn + 3 : svn }))
    const tcb = { ...first?.tcb, sgxtcbcomponents: more, pcesvn: 99 }
    const better = { ...first, tcb, tcbDate: daysAgo(10) }
    const outdated = { ...first, tcbStatus: 'OutOfDate' }
    return { ...info, tcbEvaluationDataNumber: 21, tcbLevels: [better, outdated, ...levels] }
  },
})
const authentic = parsePolicy(shippedPolicy('authentic-tdx'))
const grace = (days: number): Policy =>
  parsePolicy({
    ...(policyToJson(authentic) as Readonly<Record<string, Json>>),
    id: `grace-${days}`,
    'tcb.status': { require: ['UpToDate', 'OutOfDate'] },
    'tcb.grace': { require: { days } },
  })
const quote = (fill: number): Uint8Array =>
  mintTdxQuote(standard, {
    header: { userData: new Uint8Array(20) },
    body: { reportData: new Uint8Array(64).fill(fill) },
  })

/** On the same platform, behind a paravisor. */
function azureTdx(): Uint8Array {
  const key = mintTpmKey('RS256')
  const runtimeData = mintRuntimeData(key)
  const tdQuote = mintTdxQuote(standard, {
    header: { userData: new Uint8Array(20) },
    body: { reportData: mintHclReportData(runtimeData) },
  })
  const hclReport = mintHclReport({ type: 'tdx', runtimeData })
  return mintAzureEvidence({ type: 'tdx', hclReport, tdQuote, quote: { key } })
}

interface Standing {
  readonly evidence: string
  readonly feed: string
  readonly platform: string | null
  readonly seen_at: number | null
  readonly would_fail: boolean | null
}

let dir: string
let pcs: FakeVendor
const at = (name: string): string => join(dir, name)
const run = async (...args: readonly string[]): Promise<CliRun> =>
  vouchsafe(['endorsements', ...args], { env: { HOME: dir } })
const cache = (): readonly string[] => ['--cache', at('cache.sqlite')]
const status = async (...args: readonly string[]): Promise<CliRun> =>
  run('status', ...cache(), '--unsafe-anchor', standard.anchor, ...args)
const platformsOf = ({ stdout }: CliRun): readonly Standing[] =>
  (JSON.parse(stdout) as { readonly platforms: readonly Standing[] }).platforms

/** A log of appraisals, each by a policy some days ago. */
async function logOf(
  ...appraisals: readonly {
    evidence: Uint8Array
    policy: Policy
    days: number
    format?: FormatId
  }[]
): Promise<{ readonly flags: readonly string[]; readonly root: string; remove: () => void }> {
  const keys = await createTestLog('example.com/seen')
  const place = createPlace()
  const opened = await openTestLog(place, keys)
  await opened.log.append({
    ...leafOf(0),
    type: 'policy',
    id: 'x',
    digest: `sha256:${'0'.repeat(64)}`,
  })
  for (const { evidence, policy, days, format = 'tdx' } of appraisals) {
    const unchecked = { unchecked: 'test' }
    const { leaf } = await recordAppraisal(
      {
        format,
        evidence,
        endorsements: standard.endorsements(),
        referenceValues: [],
        policy,
        binding: { nonce: unchecked, reportData: unchecked },
        anchors: { ...VENDOR_ANCHORS, intel: [standard.anchor] },
        now: NOW,
      },
      opened.blobs,
    )
    await opened.log.append({ ...leaf, time: Math.floor((NOW.getTime() - days * DAY) / 1000) })
  }
  await opened.log.proof(appraisals.length)
  await opened.close()
  const [key] = keys.vkeys
  return {
    flags: ['--log', place.filesRoot, '--key', key],
    root: place.filesRoot,
    remove: () => {
      place.remove()
    },
  }
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-status-'))
  pcs = await startFakePcs(() => standard, { early })
  await writeFile(at('quote.bin'), quote(1))
  const services = ['--pcs', pcs.url, '--root-crl', pcs.url + ROOT_CRL_PATH, ...cache()]
  for (const feed of ['standard', 'early']) {
    const flags = ['--feed', feed, '--format', 'tdx', ...services]
    expect((await run('fetch', ...flags, at('quote.bin'))).code).toBe(0)
  }
})
afterAll(async () => {
  await pcs.close()
  await rm(dir, { recursive: true })
})

describe('endorsements status --log', () => {
  it('says of each platform once what is short by each feed, and exits 10', async () => {
    const { flags, remove } = await logOf(
      { evidence: quote(1), policy: authentic, days: 3 },
      { evidence: quote(2), policy: authentic, days: 1 },
      { evidence: quote(3).with(300, 9), policy: authentic, days: 1 },
    )
    const found = await status(...flags, '--json')
    expect(found.code).toBe(10)
    expect(found.stderr).toContain('note: 1 pieces of evidence name no platform')
    const seen = Math.floor((NOW.getTime() - DAY) / 1000)
    expect(platformsOf(found)).toMatchObject([
      { feed: 'standard', seen_at: seen, tier: 'affirming', would_fail: false, short: [] },
      {
        feed: 'early',
        seen_at: seen,
        tcb: 'OutOfDate',
        would_fail: true,
        short: [
          expect.stringMatching(/^sgxtcbcomponents\[0\] \d+ < \d+$/),
          expect.stringMatching(/^sgxtcbcomponents\[1\] \d+ < \d+$/),
          'pcesvn 13 < 99',
        ],
        out_of_date_since: daysAgo(10),
      },
    ])
    const text = await status(...flags, at('quote.bin'))
    expect(text.stdout).toContain('standard feed: 0 of 1 would fail\n')
    expect(text.stdout).toContain('early feed: 1 of 1 would fail\n')
    expect(text.stderr).toContain('is of the platform of')
    expect(platformsOf(await status(...flags, '--since', '1h', '--json'))).toEqual([])
    remove()
  })

  it('reads a log from where it is published', async () => {
    const { flags, remove, root } = await logOf({ evidence: quote(1), policy: authentic, days: 1 })
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(request.url ?? '')
      readFile(join(root, new URL(request.url ?? '', 'http://log').pathname)).then(
        (bytes) => response.end(bytes),
        () => response.writeHead(404).end(),
      )
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const byUrl = ['--log', url, ...flags.slice(2), '--json']
    const found = await status(...byUrl)
    expect(found.code).toBe(10)
    expect(platformsOf(found)).toEqual(platformsOf(await status(...flags, '--json')))
    expect(asked).toContain('/checkpoint')
    expect(asked.some((path) => path.startsWith('/blobs/') || path.includes('sha256'))).toBe(true)
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
    const gone = await status(...byUrl)
    expect(gone.code).toBe(40)
    expect(JSON.parse(gone.stdout)).toMatchObject({ error: { code: 'ERR_LOG_UNAVAILABLE' } })
    remove()
  }, 60_000)

  it('sees Azure’s confidential VMs through their vTPM', async () => {
    const azure = azureTdx()
    await writeFile(at('azure.json'), azure)
    const policy = parsePolicy(shippedPolicy('authentic-azure-tdx-vtpm'))
    const { flags, remove } = await logOf({
      ...{ evidence: azure, policy, days: 1 },
      format: 'azure-tdx-vtpm',
    })
    const [direct, logged] = [
      await status(at('azure.json'), '--json'),
      await status(...flags, '--json'),
    ]
    for (const found of [direct, logged]) {
      expect(found.code).toBe(10)
      expect(found.stderr).toBe('')
      expect(platformsOf(found)).toMatchObject([
        { feed: 'standard', platform: expect.stringMatching(/ppid/) as string, would_fail: false },
        {
          feed: 'early',
          platform: expect.stringMatching(/^azure-tdx-vtpm ppid [0-9a-f]+$/) as string,
          would_fail: true,
          short: expect.arrayContaining(['pcesvn 13 < 99']) as string[],
          out_of_date_since: daysAgo(10),
        },
      ])
    }
    remove()
  }, 60_000)

  it('judges by the policy in the log, grace included, unless told otherwise', async () => {
    for (const [days, code] of [
      [11, 0],
      [9, 10],
    ] as const) {
      const { flags, remove } = await logOf({ evidence: quote(1), policy: grace(days), days: 1 })
      expect((await status(...flags)).code).toBe(code)
      expect((await status(...flags, '--policy', 'authentic')).code).toBe(10)
      remove()
    }
  }, 120_000)

  it('wants the log’s key, and believes no other', async () => {
    const { flags, remove } = await logOf({ evidence: quote(1), policy: authentic, days: 1 })
    const other = await createTestLog('example.com/seen')
    expect((await status(...flags.slice(0, 2))).code).toBe(50)
    expect((await status(...flags.slice(0, 2), '--key', other.vkeys[0])).code).toBe(10)
    remove()
  })

  it('exits 40 for what cannot be judged by any feed', async () => {
    const empty = ['status', '--cache', at('empty.sqlite'), at('quote.bin'), '--json']
    const found = await run(...empty, '--unsafe-anchor', standard.anchor)
    expect(found.code).toBe(40)
    expect(platformsOf(found).map((one) => one.would_fail)).toEqual([null, null])
  })
})
