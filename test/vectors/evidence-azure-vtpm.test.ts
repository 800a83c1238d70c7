/**
 * Every TPM and Azure vTPM sample of the shared folder, at the verdict of its manifest. What the
 * manifest calls facts was computed independently.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { appraise } from '../../src/core/appraisal/appraise.ts'
import type { Binding } from '../../src/core/appraisal/binding.ts'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
} from '../../src/core/endorsements/endorsement-set.ts'
import { needsOf } from '../../src/core/endorsements/needs-of.ts'
import { withShipped } from '../../src/core/endorsements/shipped.ts'
import { parseHclReport } from '../../src/core/evidence/azure-vtpm/hcl.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { sevSnp } from '../../src/core/evidence/sev-snp/format.ts'
import { parseQuoteAttest } from '../../src/core/evidence/tpm/attest.ts'
import { pcrDigestOf } from '../../src/core/evidence/tpm/pcrs.ts'
import { bareSignature, verifySignature } from '../../src/core/evidence/tpm/signature.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { readEndorsements } from '../../src/drivers/endorsements/directory.ts'
import { shippedPolicy } from '../support/appraisal.ts'
import { sharedDir } from '../support/shared.ts'
import { failures } from '../support/tpm.ts'

const dir = sharedDir()
const read = (file: string) => new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
const INSIDE = new Date('2026-09-01T00:00:00Z')
/** What the samples of Trustee were asked. */
const CHALLENGE = Buffer.from('challenge').toString('hex')
const CRYPTO = createCrypto()
const tools = { crypto: CRYPTO, memo: createMemo(100) }
const unchecked = { unchecked: 'an archive' }
const ARCHIVE: Binding = { nonce: unchecked, reportData: unchecked }

interface Sample {
  readonly file: string
  readonly role: string
  readonly expected_verdict?: string
  readonly facts?: Readonly<Record<string, unknown>>
}

function load(folder: RegExp): readonly Sample[] {
  if (dir === undefined) return []
  const { files } = JSON.parse(readFileSync(join(dir, 'evidence/MANIFEST.json'), 'utf8')) as {
    files: readonly Sample[]
  }
  return files.filter(({ file }) => folder.test(file))
}

type Id = 'azure-snp-vtpm' | 'azure-tdx-vtpm' | 'tpm'

let collateral: EndorsementSet | undefined

beforeAll(async () => {
  if (dir === undefined) return
  const found = await readEndorsements(['tdx', 'sgx'].map((name) => join(dir, 'evidence', name)))
  collateral = found.endorsements
})

function endorsementsOf(format: Id): EndorsementSet {
  const captured = format === 'azure-tdx-vtpm' ? collateral : undefined
  return withShipped(format, captured ?? NO_ENDORSEMENTS)
}

interface Expected {
  readonly file: string
  readonly at: string
  readonly failing: readonly string[]
  /** Hex of extraData, where the manifest says it. */
  readonly data: string
}

interface Case {
  readonly file: string
  readonly binding?: Binding
  readonly now?: Date
  readonly anchors?: TrustAnchors
  readonly bytes?: Uint8Array
}

async function appraised({ file, binding = ARCHIVE, now = INSIDE, ...rest }: Case) {
  const { format, evidence } = openEvidence(rest.bytes ?? read(file))
  const id = format.id as Id
  const result: AttestationResult = await appraise(
    {
      format: id,
      evidence,
      endorsements: endorsementsOf(id),
      referenceValues: [],
      policy: parsePolicy(shippedPolicy(`authentic-${id}`)),
      binding,
      anchors: rest.anchors ?? VENDOR_ANCHORS,
      now,
    },
    tools,
  )
  return result
}

/** Inside the validity of everything around each sample, and what is then wrong with it. */
const snp = (name: string, data: string): Expected => ({
  file: `az-snp-vtpm/trustee-evidence-${name}.json`,
  at: '2026-09-01T00:00:00Z',
  failing: [],
  data,
})
// The platform was OutOfDate even then; the same for its quote alone (evidence-tdx.test.ts).
const tdx = (name: string): Expected => ({
  file: `az-tdx-vtpm/trustee-evidence-${name}.json`,
  at: '2025-07-20T00:00:00Z',
  failing: ['tdx.tcb.status'],
  data: CHALLENGE,
})
const SAMPLES = [
  ...[snp('v0', CHALLENGE), snp('v1', CHALLENGE), snp('v2', ''), snp('genoa', '')],
  ...[tdx('v0'), tdx('v1')],
]
const az = load(/^az-(?:snp|tdx)-vtpm\//)

describe.runIf(dir !== undefined)('Azure vTPM samples', () => {
  it('are all here: each file of the folders is used below', () => {
    expect(az).toHaveLength(17)
    expect(
      az
        .filter(({ file }) => /evidence-[^/]*\.json$/.test(file))
        .map(({ file }) => file)
        .sort(),
    ).toEqual(SAMPLES.map(({ file }) => file).sort())
  })

  it.each(SAMPLES)('$file at $at: $failing', async ({ file, at, failing }) => {
    const result = await appraised({ file, now: new Date(at) })
    expect(failures(result)).toEqual(failing)
    expect(result.claims).not.toBeNull()
  })

  it.each(SAMPLES)('$file outside its validity', async ({ file }) => {
    for (const year of [2019, 2045]) {
      const result = await appraised({ file, now: new Date(`${year}-01-01T00:00:00Z`) })
      expect(result.tier).toBe('contraindicated')
      expect(result.claims).toBeNull()
    }
  })

  it.each(SAMPLES)('$file is bound by extraData alone', async ({ file, at, data }) => {
    const now = new Date(at)
    const printed = (await appraised({ file, now })).claims as unknown as Printed
    const { extraData } = printed.vtpm
    if (data !== '') expect(extraData).toBe(data)
    const bytes = Uint8Array.from(Buffer.from(extraData, 'hex'))
    const ask = async (wanted: Uint8Array) => {
      const binding = { nonce: { require: wanted }, reportData: { require: wanted } }
      const prefix = file.startsWith('az-snp') ? 'az_snp' : 'az_tdx'
      const result = await appraised({ file, now, binding })
      return failures(result).filter((id) => id.startsWith(prefix))
    }
    expect(await ask(bytes)).toEqual([])
    expect(await ask(bytes.with(0, (bytes[0] ?? 0) ^ 1))).toHaveLength(2)
    // What the hardware report has is the same for everybody who asks, so it answers nobody.
    const hcl = hclOf(file)
    const digest = createHash('sha256').update(hcl.runtimeData).digest()
    expect(await ask(Uint8Array.from(digest))).toHaveLength(2)
  })

  it.each(SAMPLES)('$file with one byte of the runtime claims changed', async ({ file, at }) => {
    const text = new TextDecoder().decode(read(file))
    const { bytes, old } = mutateRuntime(text)
    expect(bytes).not.toEqual(old)
    const result = await appraised({ file, bytes, now: new Date(at) })
    const prefix = file.startsWith('az-snp') ? 'az_snp' : 'az_tdx'
    expect(failures(result)).toContain(`${prefix}.binding.runtime_data`)
  })

  it('need what the hardware below needs, but for the VCEK that they carry', async () => {
    const query = { feed: 'standard', crypto: createCrypto() } as const
    const needs = async (file: string, format: Id) =>
      (await needsOf({ format, evidence: read(file) }, NO_ENDORSEMENTS, query)).map(
        ({ kind }) => kind,
      )
    expect(await needs(SAMPLES[0]?.file ?? '', 'azure-snp-vtpm')).toEqual(['vek-chain', 'amd-crl'])
    expect(await needs(SAMPLES[4]?.file ?? '', 'azure-tdx-vtpm')).toEqual([
      ...['tdx-tcb-info', 'td-qe-identity', 'pck-crl', 'intel-root-crl'],
    ])
  })

  it.each([
    ['az-snp-vtpm/trustee-hcl-report.bin', 'snp'],
    ['az-tdx-vtpm/trustee-hcl-report.bin', 'tdx'],
    ['tdx/flashbots-hclreport.bin', 'tdx'],
  ])('%s is a report alone: bound, and no evidence without a quote', async (file, type) => {
    const hcl = parseHclReport(read(file))
    const { facts } = load(new RegExp(`^${file}$`))[0] ?? {}
    const digest = createHash('sha256').update(hcl.runtimeData).digest('hex')
    expect(hcl.type).toBe(type)
    expect(facts).toMatchObject({ bound: true, sha256RuntimeJson: digest })
    if (type === 'snp') {
      const { reportData } = sevSnp.parse(hcl.hardwareReport).report
      expect(Buffer.from(reportData).toString('hex')).toBe(digest + '00'.repeat(32))
    } else {
      // REPORTMACSTRUCT.REPORTDATA of a TDREPORT, which only its own machine could check.
      const reportData = hcl.hardwareReport.subarray(128, 192)
      expect(Buffer.from(reportData).toString('hex')).toBe(digest + '00'.repeat(32))
    }
    expect(() => openEvidence(read(file))).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }),
    )
  })

  it.each([
    ['az-snp-vtpm/trustee-quote.bin', 'az-snp-vtpm/trustee-hcl-report.bin'],
    ['az-tdx-vtpm/trustee-quote.bin', 'az-tdx-vtpm/trustee-hcl-report.bin'],
  ])('%s (bincode) is a quote by the key in %s', async (file, report) => {
    const { signature, message, pcrs } = fromBincode(read(file))
    const attest = parseQuoteAttest(message, 'quote')
    const { ak } = parseHclReport(read(report)).runtime
    const signed = { key: ak, signed: attest.signed }
    expect(await verifySignature(bareSignature(signature), signed, CRYPTO)).toBe(true)
    const selection = { selection: attest.selection, hash: 'sha256' } as const
    const banks = new Map([['sha256', new Map(pcrs.entries())] as const])
    expect(await pcrDigestOf(selection, banks, CRYPTO)).toEqual(attest.pcrDigest)
  })

  it('the quotes that stand alone parse', () => {
    const { extraData } = parseQuoteAttest(read('az-snp-vtpm/trustee-tpm-quote.msg'), 'quote')
    expect(Buffer.from(extraData).toString()).toBe('challenge')
    expect(read('az-snp-vtpm/trustee-tpm-quote.sig')).toHaveLength(256)
    for (const folder of ['az-snp-vtpm', 'az-tdx-vtpm']) {
      const quote = JSON.parse(
        new TextDecoder().decode(read(`${folder}/trustee-tpm-quote-v1.json`)),
      ) as { message: string; pcrs: string[] }
      const attest = parseQuoteAttest(Buffer.from(quote.message, 'hex'), 'quote')
      expect(attest.selection).toEqual([
        { bank: 'sha256', pcrs: Array.from({ length: 24 }, (_, i) => i) },
      ])
    }
  })
})

interface Printed {
  readonly vtpm: { readonly extraData: string }
}

/** The report in a sample of any shape. */
function hclOf(file: string) {
  const { hcl_report: newer, report: older } = JSON.parse(new TextDecoder().decode(read(file))) as {
    hcl_report?: string | number[]
    report?: number[]
  }
  const given = newer ?? older ?? []
  const bytes = typeof given === 'string' ? Buffer.from(given, 'base64url') : Buffer.from(given)
  return parseHclReport(Uint8Array.from(bytes))
}

/** The sample with the case of one digit of vmUniqueId's hex changed, in any shape. */
function mutateRuntime(text: string): { readonly bytes: Uint8Array; readonly old: Uint8Array } {
  const json = JSON.parse(text) as Record<string, string | number[]>
  const name = json['hcl_report'] === undefined ? 'report' : 'hcl_report'
  const given = json[name] ?? []
  const report = typeof given === 'string' ? Buffer.from(given, 'base64url') : Buffer.from(given)
  const at = report.indexOf('"user-data":"') + '"user-data":"'.length
  report[at] = (report[at] ?? 0) ^ 1
  const changed = typeof given === 'string' ? report.toString('base64url') : [...report]
  const encode = (value: object) => new TextEncoder().encode(JSON.stringify(value))
  return { bytes: encode({ ...json, [name]: changed }), old: encode(json) }
}

/** Rust's bincode of signature, message and PCRs: lengths of eight bytes before lists. */
function fromBincode(bytes: Uint8Array) {
  const view = Buffer.from(bytes)
  let offset = 0
  const length = (): number => {
    offset += 8
    return Number(view.readBigUInt64LE(offset - 8))
  }
  const take = (size: number): Uint8Array => {
    offset += size
    return Uint8Array.from(view.subarray(offset - size, offset))
  }
  const signature = take(length())
  const message = take(length())
  const pcrs = Array.from({ length: length() }, () => take(32))
  expect(offset).toBe(bytes.length)
  return { signature, message, pcrs }
}
