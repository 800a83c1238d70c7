/** Every SGX sample of the shared evidence, read in place, against what its manifest says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { type AppraisalInput, appraise } from '../../src/core/appraisal/appraise.ts'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import { concat } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
} from '../../src/core/endorsements/endorsement-set.ts'
import { needsOf } from '../../src/core/endorsements/needs-of.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { bindingOfKey } from '../../src/core/evidence/common/ra-tls.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { collateralOf } from '../../src/core/evidence/intel-dcap/collateral.ts'
import { readPckChain } from '../../src/core/evidence/intel-dcap/pck-chain.ts'
import { keyOf } from '../../src/core/evidence/intel-dcap/vouched.ts'
import { sgx } from '../../src/core/evidence/sgx/format.ts'
import type { SgxEvidence } from '../../src/core/evidence/sgx/report.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { readEndorsements } from '../../src/drivers/endorsements/directory.ts'
import { shippedPolicy } from '../support/appraisal.ts'
import { sharedDir } from '../support/shared.ts'
import { failing } from '../support/tdx.ts'

/** Evidence with collateral of its own time. */
const JUDGED = [
  {
    file: 'sgx/sgx-v3-phala.quote.bin',
    at: '2025-07-01T00:00:00Z',
    status: 'ConfigurationAndSWHardeningNeeded',
    failing: [],
  },
  {
    file: 'sgx/sgx-v3-automata-solana.quote.bin',
    at: '2025-07-01T00:00:00Z',
    status: 'ConfigurationAndSWHardeningNeeded',
    failing: ['sgx.debug'],
  },
  {
    file: 'sgx/sgx-v3-occlum.quote.bin',
    at: '2025-09-01T00:00:00Z',
    status: 'OutOfDate',
    failing: ['sgx.debug'],
  },
] as const
// Genuine, but nobody kept the collateral of their platforms.
const UNJUDGED = [
  { file: 'sgx/fortanix-pcs.quote.bin', at: '2025-07-01T00:00:00Z', debug: true },
  { file: 'sgx/maa-oe-enclave.info.debug.json', at: '2025-07-01T00:00:00Z', debug: true },
  { file: 'sgx/maa-oe-enclave.info.prodid.json', at: '2025-07-01T00:00:00Z', debug: false },
  { file: 'sgx/maa-oe-enclave.info.release.json', at: '2025-07-01T00:00:00Z', debug: false },
  {
    file: 'sgx/maa-oe-enclave.info.securityversion.json',
    at: '2025-07-01T00:00:00Z',
    debug: false,
  },
] as const
/** Names its platform; the certificate is not here either. */
const NAMED = 'sgx/fortanix-raw-tcb.quote.bin'
const SYNTHETIC = 'sgx/intel-qvl-synthetic/quote.dat'
const SYNTHETIC_ROOT = '842a5bcb64ba3f7d755036ce1bb85778b3481a5dd75f4731c381b8eea658aa0d'
/** Microsoft Azure Attestation's own certificate, with the quote of its enclave in it. */
const CERTIFICATE = 'jwt/maa.prod.uks.signing.cert.pem'

interface Entry {
  readonly file: string
  readonly role: string
  readonly expected_verdict?: string
  readonly expected_tcb?: { readonly tcbStatus: string; readonly advisoryIDs: readonly string[] }
  readonly facts?: {
    readonly body?: Readonly<Record<string, string | number | boolean>>
    readonly certType?: number
    readonly qeReport?: { readonly isvsvn: number }
    readonly pck?: Readonly<Record<string, unknown>>
  }
}

const shared = sharedDir()
const crypto = createCrypto()

describe.runIf(shared !== undefined)('SGX samples', () => {
  const root = join(shared ?? '', 'evidence')
  const manifest =
    shared === undefined
      ? []
      : (
          JSON.parse(readFileSync(join(root, 'MANIFEST.json'), 'utf8')) as {
            readonly files: readonly Entry[]
          }
        ).files
  let endorsements: EndorsementSet

  beforeAll(async () => {
    // All at once, as `--endorsements DIR` would: the right ones must be found among the others.
    const found = await readEndorsements([join(root, 'tdx'), join(root, 'sgx')])
    endorsements = found.endorsements
    expect(endorsements.tcbInfos.length).toBeGreaterThanOrEqual(18)
  })

  const bytesOf = (file: string): Uint8Array => new Uint8Array(readFileSync(join(root, file)))
  const entryOf = (file: string): Entry => {
    const entry = manifest.find((it) => it.file === file)
    if (entry === undefined) throw new Error(`${file} is not in the manifest`)
    return entry
  }
  const inputOf = (
    file: string,
    at: string,
    changes: Readonly<Record<string, unknown>> = {},
  ): AppraisalInput => {
    const { format, evidence } = openEvidence(bytesOf(file))
    expect(format.id).toBe('sgx')
    const unchecked = { unchecked: 'a sample' }
    const waived = { 'tcb.status': { waive: 'the sample says what it is' } }
    return {
      format: 'sgx',
      evidence,
      endorsements,
      referenceValues: [],
      policy: parsePolicy({ ...shippedPolicy('authentic-sgx'), ...waived, ...changes }),
      binding: { nonce: unchecked, reportData: unchecked },
      anchors: VENDOR_ANCHORS,
      now: new Date(at),
    }
  }
  const run = async (input: AppraisalInput) => appraise(input, { crypto, memo: createMemo(100) })

  it('are all here: each evidence file of the folder is in one of the lists', () => {
    const listed = [
      ...JUDGED.map(({ file }) => file),
      ...UNJUDGED.map(({ file }) => file),
      NAMED,
      SYNTHETIC,
    ]
    const files = manifest
      .filter(({ file, role }) => file.startsWith('sgx/') && role === 'evidence')
      .map(({ file }) => file)
    expect(files.toSorted()).toEqual(listed.toSorted())
    expect(files).toHaveLength(10)
  })

  it.each(JUDGED)('$file at $at: $status, failing $failing', async (sample) => {
    const result = await run(inputOf(sample.file, sample.at))
    expect(failing(result.checks)).toEqual(sample.failing)
    expect(result.tier).toBe(sample.failing.length === 0 ? 'affirming' : 'contraindicated')
    expect(result.tcb?.status).toBe(sample.status)
    const { facts, expected_tcb, expected_verdict } = entryOf(sample.file)
    expect(expected_verdict?.startsWith('accept')).toBe(result.tier === 'affirming')
    if (expected_tcb !== undefined) {
      expect(result.tcb?.status).toBe(expected_tcb.tcbStatus)
      expect(result.tcb?.advisoryIds).toEqual(expected_tcb.advisoryIDs)
    }
    const { body, pck } = facts ?? {}
    expect(result.claims).toMatchObject({
      report: {
        MRENCLAVE: body?.['mrenclave'],
        MRSIGNER: body?.['mrsigner'],
        ISVPRODID: body?.['isvprodid'],
        ISVSVN: body?.['isvsvn'],
        REPORTDATA: body?.['reportData'],
      },
      platform: {
        fmspc: pck?.['fmspc'],
        ppid: pck?.['ppid'],
        sgxTcbComponents: pck?.['comp'],
        pceSvn: pck?.['pcesvn'],
      },
    })
  })

  it('the shipped policy wants an up-to-date TCB, which none of them has', async () => {
    for (const { file, at, failing: others } of JUDGED) {
      const input = { ...inputOf(file, at), policy: parsePolicy(shippedPolicy('authentic-sgx')) }
      expect(failing((await run(input)).checks)).toEqual([...others, 'sgx.tcb.status'])
    }
  })

  it.each(JUDGED)('wrong-time-fails: $file', async ({ file }) => {
    const late = await run(inputOf(file, '2036-01-01T00:00:00Z'))
    expect(late.tier).toBe('contraindicated')
    expect(failing(late.checks)).toContain('dcap.tcb_info.validity')
    expect(failing(late.checks).every((id) => id.endsWith('.validity'))).toBe(true)
    const early = await run(inputOf(file, '2020-01-01T00:00:00Z'))
    expect(failing(early.checks)).toContain('dcap.pck.validity')
  })

  it('phala inside its window, to the second, and outside of it', async () => {
    const { endorsements: own } = await readEndorsements([
      join(root, 'sgx/sgx-v3-phala.collateral.json'),
    ])
    for (const [at, tier] of [
      ['2025-06-19T10:56:10Z', 'contraindicated'],
      ['2025-06-19T10:56:11Z', 'affirming'],
      ['2025-07-19T10:01:18Z', 'affirming'],
      ['2025-07-19T10:01:19Z', 'contraindicated'],
    ] as const) {
      const input = { ...inputOf('sgx/sgx-v3-phala.quote.bin', at), endorsements: own }
      expect((await run(input)).tier).toBe(tier)
    }
  })

  it.each(UNJUDGED)('$file: every signature holds, and its TCB Info is missed', async (sample) => {
    const { file, at, debug } = sample
    const evidence = sgx.parse(openEvidence(bytesOf(file)).evidence)
    await expectSignatures(evidence, at)
    const { body, pck } = entryOf(file).facts ?? {}
    expect(body?.['debug']).toBe(debug)
    expect(entryOf(file).expected_verdict?.startsWith('reject')).toBe(debug)
    expect(toHex(evidence.report.mrEnclave)).toBe(body?.['mrenclave'])
    expect(toHex(evidence.report.reportData)).toBe(body?.['reportData'])
    await expect(run(inputOf(file, at))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'dcap.endorsements.tcb_info',
      message: expect.stringContaining(
        `/sgx/certification/v4/tcb?fmspc=${String(pck?.['fmspc'])}`,
      ) as string,
    })
  })

  it('Microsoft’s samples carry what REPORTDATA is the hash of', async () => {
    const names = UNJUDGED.map(({ file }) => file).filter((file) => file.includes('maa-oe'))
    expect(names).toHaveLength(4)
    for (const file of names) {
      const { report, carried } = sgx.parse(bytesOf(file))
      if (carried.kind !== 'heldData') throw new Error(`${file}: ${carried.kind}`)
      const digest = await crypto.digest('SHA-256', carried.data)
      expect(toHex(report.reportData)).toBe(`${toHex(digest)}${'00'.repeat(32)}`)
    }
  })

  it('a certificate of Microsoft’s carries a quote that names its key', async () => {
    const { format, evidence } = openEvidence(bytesOf(CERTIFICATE))
    expect(format.id).toBe('sgx')
    const parsed = sgx.parse(evidence)
    if (parsed.carried.kind !== 'certificate') throw new Error(parsed.carried.kind)
    const { reportData } = parsed.report
    const named = await bindingOfKey(reportData, parsed.carried, crypto)
    expect(named).toBe("SHA-256 of the certificate's key in PEM")
    const other = { ...parsed.carried, spki: parsed.carried.spki.with(30, 0) }
    expect(await bindingOfKey(reportData, other, crypto)).toBeUndefined()
    await expectSignatures(parsed, '2021-01-01T00:00:00Z')
  })

  it('a quote that names its platform is missed a certificate, and says which', async () => {
    const input = inputOf(NAMED, '2025-07-01T00:00:00Z')
    await expect(run(input)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'dcap.endorsements.pck_certificate',
    })
    const needs = await needsOf({ format: 'sgx', evidence: input.evidence }, NO_ENDORSEMENTS, {
      feed: 'standard',
      crypto: createCrypto(),
    })
    expect(needs).toMatchObject([{ kind: 'pck-certificate', pceId: '0000' }])
    // What can be checked without: the quote is signed by its key, and the key is in the QE report.
    const { quote, report } = sgx.parse(input.evidence)
    expect(entryOf(NAMED).facts?.certType).toBe(quote.certification.type)
    expect(await isSigned(quote)).toEqual([true, true])
    expect(toHex(report.mrEnclave)).toBe(entryOf(NAMED).facts?.body?.['mrenclave'])
  })

  it('Intel’s own set under its own root, by TCB Info of version 2', async () => {
    const { endorsements: own } = await readEndorsements([join(root, 'sgx/intel-qvl-synthetic')])
    const at = '2025-01-01T00:00:00Z'
    const input = {
      ...inputOf(SYNTHETIC, at),
      endorsements: own,
      anchors: { ...VENDOR_ANCHORS, intel: [SYNTHETIC_ROOT] },
    }
    const result = await run(input)
    expect(failing(result.checks)).toEqual([])
    expect(result).toMatchObject({ tier: 'affirming', tcb: { status: 'UpToDate' } })
    const foreign = await run({ ...input, anchors: VENDOR_ANCHORS })
    expect(failing(foreign.checks)).toEqual(['dcap.pck.anchor'])
    expect((await run({ ...input, now: new Date('2030-01-01T00:00:00Z') })).tier).toBe(foreign.tier)
  })
})

/** The manifest's facts: chain to Intel's root, QE report by the PCK, key and quote. */
async function expectSignatures(evidence: SgxEvidence, at: string): Promise<void> {
  const context = {
    endorsements: NO_ENDORSEMENTS,
    anchors: VENDOR_ANCHORS,
    now: new Date(at),
    crypto,
    memo: createMemo(0),
  }
  const { quote } = evidence
  const { chain, problem } = await readPckChain(quote, collateralOf(NO_ENDORSEMENTS), context)
  expect(problem).toBeUndefined()
  if (chain === undefined) throw new Error('no chain')
  expect(VENDOR_ANCHORS.intel).toContain(chain.rootDigest)
  const { qeReport, qeReportSignature } = quote
  expect(await crypto.verify(chain.leaf.key, qeReportSignature, qeReport.bytes)).toBe(true)
  expect(await isSigned(quote)).toEqual([true, true])
}

async function isSigned(quote: SgxEvidence['quote']): Promise<readonly [boolean, boolean]> {
  const key = keyOf(quote.attestationKey)
  const bound = await crypto.digest('SHA-256', concat(quote.attestationKey, quote.qeAuthData))
  const wanted = `${toHex(bound)}${'00'.repeat(32)}`
  const signed = await crypto.verify(key, quote.signature, quote.signed)
  return [signed, toHex(quote.qeReport.reportData) === wanted]
}
