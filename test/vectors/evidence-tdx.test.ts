/* eslint-disable max-lines -- the list of samples is most of it */
/** Every TDX sample of the shared evidence, read in place, against what its manifest says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import type { EndorsementSet } from '../../src/core/endorsements/endorsement-set.ts'
import type { AuthenticationContext } from '../../src/core/evidence/common/format.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { unwrapEvidence } from '../../src/core/evidence/common/unwrap.ts'
import { detectFormat, openEvidence } from '../../src/core/evidence/formats.ts'
import { convergeVerdicts, type TcbStatus } from '../../src/core/evidence/intel-dcap/tcb-status.ts'
import type { TdxClaims } from '../../src/core/evidence/tdx/claims.ts'
import { RTMRS, replayToRtmrs } from '../../src/core/evidence/tdx/event-log.ts'
import { encodeTdxEvidence } from '../../src/core/evidence/tdx/evidence.ts'
import { tdx } from '../../src/core/evidence/tdx/format.ts'
import { parseTdxQuote } from '../../src/core/evidence/tdx/report.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { readEndorsements } from '../../src/drivers/endorsements/directory.ts'
import { sharedDir } from '../support/shared.ts'
import { authenticate, failing } from '../support/tdx.ts'

interface Sample {
  readonly file: string
  /** A time at which the shared collateral is current for this quote. */
  readonly at: string
  /** What the manifest says of it then; `undefined`: no level, which fails that check. */
  readonly status: TcbStatus | undefined
  /** Collateral whose `matchedQuotes` is the oracle, where there is one. */
  readonly oracle?: string
}

const SAMPLES: readonly Sample[] = [
  {
    file: 'tdx/tdx-v4-spr-e4.quote.bin',
    at: '2023-07-01T01:00:00Z',
    status: undefined,
    oracle: 'tdx/go-tdx-guest/sample_tcbInfo_response',
  },
  {
    file: 'tdx/oe-tdx-v4.quote.bin',
    at: '2023-07-01T01:00:00Z',
    status: 'UpToDate',
    oracle: 'tdx/go-tdx-guest/sample_tcbInfo_response',
  },
  {
    file: 'tdx/oe-tdx-v4.quote.bin',
    at: '2026-03-25T00:00:00Z',
    status: 'OutOfDate',
    oracle: 'tdx/lunal-collateral/tcb_info_50806f000000.json',
  },
  {
    file: 'tdx/tdx-v5-go-tdx-guest.quote.bin',
    at: '2026-02-25T00:00:00Z',
    status: 'UpToDate',
    oracle: 'tdx/go-tdx-guest/sample_tcbinfo_response_v5',
  },
  {
    file: 'tdx/tdx-v4-gcp-cos113.quote.bin',
    at: '2025-11-01T00:00:00Z',
    status: 'UpToDate',
    oracle: 'tdx/automata-collateral/1025/tcb_info.json',
  },
  {
    file: 'tdx/tdx-v4-gcp-cos113.quote.bin',
    at: '2025-07-20T00:00:00Z',
    status: 'UpToDate',
    oracle: 'sgx/automata-solana/tcb_info_v3_with_tdx_module.json',
  },
  { file: 'tdx/tdx-v4-phala.quote.bin', at: '2025-07-01T00:00:00Z', status: 'UpToDate' },
  {
    file: 'tdx/tdx-v5-phala-outdated.quote.bin',
    at: '2026-02-25T00:00:00Z',
    status: undefined,
    oracle: 'tdx/go-tdx-guest/sample_tcbinfo_response_v5',
  },
  {
    file: 'tdx/tdx-trustee-quote5.quote.bin',
    at: '2026-03-25T00:00:00Z',
    status: undefined,
    oracle: 'tdx/lunal-collateral/tcb_info_90c06f000000.json',
  },
  {
    file: 'tdx/oe-tdx-v5.quote.bin',
    at: '2025-11-01T00:00:00Z',
    status: 'OutOfDate',
    oracle: 'tdx/automata-collateral/1025/tcb_info.json',
  },
  { file: 'tdx/oe-tdx-v5.quote.bin', at: '2026-06-20T00:00:00Z', status: 'OutOfDate' },
  {
    file: 'tdx/dstack-quote-report.json',
    at: '2026-03-25T00:00:00Z',
    status: 'UpToDate',
    oracle: 'tdx/lunal-collateral/tcb_info_90c06f000000.json',
  },
  {
    file: 'az-tdx-vtpm/trustee-td-quote.bin',
    at: '2025-07-20T00:00:00Z',
    status: 'OutOfDate',
    oracle: 'sgx/automata-solana/tcb_info_v3_with_tdx_module.json',
  },
]
/** Genuine, but the shared TCB Info for their platform is from before they were made. */
const TOO_NEW = [
  { file: 'tdx/tdx-live-lunal.quote.bin', at: '2026-04-05T00:00:00Z' },
  { file: 'tdx/dstack-attestation.scale.bin', at: '2026-02-25T00:00:00Z' },
]
const DSTACK_HASH = '3763bc34552cf3a27ff71ad5f7a90471562a1a2df552dfc1998cba2d60da27e7'
/** Event logs that belong to quotes, in them or beside them, and what they prove. */
const LOGS: readonly {
  readonly file: string
  readonly log: string | undefined
  readonly at: string | undefined
  readonly replaying: readonly string[]
  readonly facts: object
}[] = [
  {
    file: 'tdx/dstack-quote-report.json',
    log: undefined,
    at: '2026-03-25T00:00:00Z',
    replaying: ['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'],
    facts: {
      secureBoot: false,
      dstack: { 'app-id': DSTACK_HASH.slice(0, 40), 'compose-hash': DSTACK_HASH },
      duplicateSeparators: [],
    },
  },
  {
    file: 'tdx/dstack-attestation.scale.bin',
    log: undefined,
    at: undefined,
    replaying: ['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'],
    facts: {
      secureBoot: false,
      dstack: {
        'compose-hash': 'c143116fef3940e7f776bfc0919c256232ae5338a6e948c96b711e0b2383483a',
        'os-image-hash': 'e61be43dd1cc6a6f5edefd7c51b608983780839b0000ce60dd99737dcffe09b9',
      },
    },
  },
  {
    file: 'tdx/tdx-v4-gcp-cos113.quote.bin',
    log: 'eventlog/ccel-gcp-cos113.bin',
    at: '2025-11-01T00:00:00Z',
    replaying: ['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'],
    facts: {
      secureBoot: false,
      kernelCommandLines: [expect.stringMatching(/^\/syslinux\/vmlinuz\.A init=/)],
      dstack: {},
    },
  },
  {
    file: 'tdx/tdx-v4-gcp-cos113.quote.bin',
    log: 'eventlog/go-eventlog-cos-113-intel-tdx-dupe-separator-unpadded.bin',
    at: '2025-11-01T00:00:00Z',
    replaying: ['rtmr2', 'rtmr3'],
    facts: { secureBoot: undefined, bootApplications: [] },
  },
  {
    file: 'tdx/tdx-live-lunal.quote.bin',
    log: 'eventlog/lunal-ccel-live.bin',
    at: undefined,
    replaying: ['rtmr0', 'rtmr1', 'rtmr3'],
    facts: { secureBoot: false, kernelCommandLines: [] },
  },
]
/** Not quotes: reports that only the machine itself could check, and a report inside a wrapper. */
const NO_QUOTES = [
  'tdx/flashbots-hclreport.bin',
  'tdx/tdreport-guest-components.bin',
  'tdx/tdreport-live-lunal.bin',
]
const SYNTHETIC = 'tdx/intel-qvl-synthetic/quote.dat'

interface Body {
  readonly teeTcbSvn: string
  readonly mrseam: string
  readonly mrtd: string
  readonly xfam: string
  readonly tdAttributes: string
  readonly debug: boolean
  readonly rtmr: readonly string[]
  readonly reportData: string
}

interface Matched {
  readonly tcbStatus: string
  readonly tcbDate?: string
  readonly advisoryIDs?: readonly string[]
  readonly moduleStatus?: string
  readonly moduleAdvisoryIDs?: readonly string[]
}

interface Entry {
  readonly file: string
  readonly role: string
  readonly expected_tcb?: Matched & { readonly validNowWindow: readonly [string, string] }
  readonly facts?: {
    readonly body?: Body
    readonly pck?: {
      readonly fmspc: string
      readonly ppid: string
      readonly comp: readonly number[]
      readonly pcesvn: number
    }
    readonly matchedQuotes?: Readonly<Record<string, Matched>>
  }
}

const shared = sharedDir()

describe.runIf(shared !== undefined)('TDX samples', () => {
  const root = join(shared ?? '', 'evidence')
  const manifest = shared === undefined ? [] : readManifest(root)
  let endorsements: EndorsementSet

  beforeAll(async () => {
    // All at once, as `--endorsements DIR` would: the right ones must be found among the others.
    const found = await readEndorsements([join(root, 'tdx'), join(root, 'sgx')])
    endorsements = found.endorsements
    expect(endorsements.tcbInfos.length).toBeGreaterThanOrEqual(18)
    expect(endorsements.qeIdentities.length).toBeGreaterThanOrEqual(15)
    expect(endorsements.crls.length).toBeGreaterThanOrEqual(19)
  })

  const contextAt = (at: string): AuthenticationContext => ({
    endorsements,
    anchors: VENDOR_ANCHORS,
    now: new Date(at),
    crypto: createCrypto(),
    memo: createMemo(1000),
  })
  const quoteOf = (file: string): Uint8Array =>
    unwrapEvidence(new Uint8Array(readFileSync(join(root, file))))
  const entryOf = (file: string): Entry | undefined => manifest.find((it) => it.file === file)

  it('are all here: each evidence file of the folder is in one of the lists', () => {
    const listed = [
      ...SAMPLES.map(({ file }) => file),
      ...TOO_NEW.map(({ file }) => file),
      ...NO_QUOTES,
      SYNTHETIC,
    ]
    const files = manifest.filter(
      ({ file, role }) => file.startsWith('tdx/') && role === 'evidence',
    )
    expect(files.length).toBeGreaterThanOrEqual(15)
    expect(files.filter(({ file }) => !listed.includes(file))).toEqual([])
    expect(new Set(listed.filter((file) => file.startsWith('tdx/'))).size).toBeGreaterThanOrEqual(
      15,
    )
  })

  it.each(SAMPLES)('$file at $at: $status', async ({ file, at, status, oracle }) => {
    const quote = quoteOf(file)
    expect(detectFormat(quote).id).toBe('tdx')
    const found = await authenticate(quote, contextAt(at))
    if (!found.authentic) throw new Error(failing(found.checks).join())
    const failed = failing(found.checks).filter((id) => id !== 'tdx.tcb.current_level')
    expect(failed).toEqual(status === undefined ? ['tdx.tcb.level'] : [])
    expect(found.claims.tcb.status).toBe(status ?? 'NotSupported')

    const matched =
      oracle === undefined
        ? entryOf(file)?.expected_tcb
        : entryOf(oracle)?.facts?.matchedQuotes?.[file]
    if (oracle !== undefined) expect(matched).toBeDefined()
    if (matched !== undefined) expectTcb(found.claims, matched)
    const facts = entryOf(file)?.facts
    expect(facts?.body).toBeDefined()
    if (facts !== undefined) expectBody(found.claims, facts)
  })

  it.each([...new Map(SAMPLES.map((sample) => [sample.file, sample])).values()])(
    'wrong-time-fails: $file before and after all of its endorsements',
    async ({ file }) => {
      const quote = quoteOf(file)
      const late = await authenticate(quote, contextAt('2033-01-01T00:00:00Z'))
      expect(late.authentic).toBe(false)
      expect(failing(late.checks)).toEqual(
        expect.arrayContaining([
          'dcap.tcb_info.validity',
          'dcap.qe_identity.validity',
          'dcap.crl.root.validity',
          'dcap.crl.pck.validity',
        ]),
      )
      expect(failing(late.checks).every((id) => id.endsWith('.validity'))).toBe(true)
      const early = await authenticate(quote, contextAt('2020-01-01T00:00:00Z'))
      expect(early.authentic).toBe(false)
      expect(failing(early.checks)).toContain('dcap.pck.validity')
    },
  )

  it.each(TOO_NEW)(
    '$file: genuine, and nothing wrong but the age of TCB Info',
    async ({ file, at }) => {
      const found = await authenticate(quoteOf(file), contextAt(at))
      expect(found.authentic).toBe(false)
      expect(failing(found.checks)).toEqual(['dcap.tcb_info.validity'])
      const facts = entryOf(file)?.facts?.body
      expect(describeOf(quoteOf(file))).toMatchObject({
        MRTD: facts?.mrtd,
        REPORTDATA: facts?.reportData,
      })
    },
  )

  it('a quote under a root of the same name that is not pinned fails at the anchor alone', async () => {
    const found = await authenticate(quoteOf(SYNTHETIC), contextAt('2025-01-01T00:00:00Z'))
    expect(found.authentic).toBe(false)
    expect(failing(found.checks)).toEqual(['dcap.pck.anchor'])
  })

  // Every signature of Intel's sample holds under its own root; its QE Identity is for another signer.
  it('the same quote fails at the QE signer alone where that root is the anchor', async () => {
    const { endorsements: own } = await readEndorsements([join(root, 'tdx/intel-qvl-synthetic')])
    const digest = 'bf85a53fc08f84cb1f73a4f75f48af566e30ac040699ba0ec1b8d593c05b56fc'
    const found = await authenticate(quoteOf(SYNTHETIC), {
      ...contextAt('2025-01-01T00:00:00Z'),
      endorsements: own,
      anchors: { ...VENDOR_ANCHORS, intel: [digest] },
    })
    expect(failing(found.checks)).toEqual(['dcap.qe_report.mrsigner'])
  })

  it.each(LOGS)(
    '$file with $log: what the log proves',
    async ({ file, log, at, replaying, facts }) => {
      const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(root, name)))
      const evidence = log === undefined ? read(file) : encodeTdxEvidence(quoteOf(file), read(log))
      expect(openEvidence(evidence)).toMatchObject({ format: { id: 'tdx' }, evidence })
      const { quote, report } = tdx.parse(evidence)
      expect({ quote, report }).toEqual(parseTdxQuote(quoteOf(file)))
      const parsed = tdx.parse(evidence).log
      if (parsed === undefined) throw new Error('no log')
      const proved = await replayToRtmrs(parsed, report, createCrypto())
      expect(RTMRS.filter((name) => proved.registers[name].ok)).toEqual(replaying)
      expect(proved).toMatchObject(facts)
      if (at === undefined) return
      const found = await authenticate(evidence, contextAt(at))
      if (!found.authentic) throw new Error(failing(found.checks).join())
      expect(found.claims.eventLog).toEqual(proved)
    },
  )

  it.each(NO_QUOTES)('%s is no quote', (file) => {
    expect(() => tdx.parse(quoteOf(file))).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }),
    )
  })

  it('converging the parts of the oracle gives the status of the whole', () => {
    const date = new Date('2024-03-13')
    const statuses = new Set<string>()
    for (const { facts } of manifest) {
      for (const { tcbStatus, moduleStatus } of Object.values(facts?.matchedQuotes ?? {})) {
        if (tcbStatus.startsWith('NO') || moduleStatus === undefined) continue
        const verdicts = [tcbStatus, moduleStatus].map((status) => ({
          status: status as TcbStatus,
          date,
          advisoryIds: [],
        }))
        const [first, ...rest] = verdicts
        if (first !== undefined) statuses.add(convergeVerdicts(first, ...rest).status)
      }
    }
    expect([...statuses].sort()).toEqual(['OutOfDate', 'UpToDate'])
  })
})

function readManifest(root: string): readonly Entry[] {
  const { files } = JSON.parse(readFileSync(join(root, 'MANIFEST.json'), 'utf8')) as {
    readonly files: readonly Entry[]
  }
  return files
}

/** The oracle gives platform and module apart; both must be found in what we say of the parts. */
function expectTcb({ tdxTcb, tcb }: TdxClaims, matched: Matched): void {
  if (matched.tcbStatus.startsWith('NO')) {
    expect(tdxTcb.parts.platform).toBeUndefined()
    return
  }
  expect(tdxTcb.parts.platform).toBe(matched.tcbStatus)
  expect(tdxTcb.parts.module).toBe(matched.moduleStatus)
  const advisories = [...(matched.advisoryIDs ?? []), ...(matched.moduleAdvisoryIDs ?? [])]
  expect(tcb.advisoryIds).toEqual(expect.arrayContaining(advisories))
  expect(new Set(tcb.advisoryIds).size).toBe(tcb.advisoryIds.length)
  if (matched.tcbDate !== undefined) expect((tcb.date ?? '') <= matched.tcbDate).toBe(true)
}

function expectBody(claims: TdxClaims, { body, pck }: NonNullable<Entry['facts']>): void {
  expect(claims.measurements).toMatchObject({ mrtd: body?.mrtd, mrseam: body?.mrseam })
  for (const [i, value] of (body?.rtmr ?? []).entries()) {
    expect(claims.measurements[`rtmr${i}`]).toBe(value)
  }
  expect(claims.printable).toMatchObject({
    report: {
      TEE_TCB_SVN: body?.teeTcbSvn,
      XFAM: body?.xfam,
      TDATTRIBUTES: body?.tdAttributes,
      REPORTDATA: body?.reportData,
    },
    platform: {
      fmspc: pck?.fmspc,
      ppid: pck?.ppid,
      sgxTcbComponents: pck?.comp,
      pceSvn: pck?.pcesvn,
    },
  })
}

function describeOf(quote: Uint8Array): Readonly<Record<string, string>> {
  const fields = tdx.describe(tdx.parse(quote)).map(({ name, value }) => [name, value])
  return Object.fromEntries(fields) as Readonly<Record<string, string>>
}
