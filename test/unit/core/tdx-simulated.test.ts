import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import type { AuthenticationContext } from '../../../src/core/evidence/common/format.ts'
import { detectFormat, FORMATS, formatOf } from '../../../src/core/evidence/formats.ts'
import { DCAP_CHECK_IDS } from '../../../src/core/evidence/intel-dcap/checks.ts'
import { tdx } from '../../../src/core/evidence/tdx/format.ts'
import { TDX_TCB_CHECK_IDS } from '../../../src/core/evidence/tdx/tcb.ts'
import {
  createSimulatedAttester,
  type IntelPki,
  loadSimulatedPki,
  mintIntelPki,
  mintTdxQuote,
} from '../../../src/testing/index.ts'
import { contextOf, failing, NOW } from '../../support/tdx.ts'

const { simulated } = FORMATS
const pki = mintIntelPki({ now: NOW })
const DAY = 24 * 60 * 60 * 1000

function development(
  of: IntelPki,
  changes: Partial<AuthenticationContext> = {},
): AuthenticationContext {
  return contextOf(of, {
    anchors: { ...VENDOR_ANCHORS, simulated: [of.anchor] },
    ...changes,
  })
}

const plain = mintTdxQuote(pki, { header: { userData: new Uint8Array(20) } })

describe('the simulated format', () => {
  it('is recognised by its mark, before TDX', () => {
    expect(detectFormat(mintTdxQuote(pki)).id).toBe('simulated')
    expect(detectFormat(plain).id).toBe('tdx')
    expect(simulated.detects(plain)).toBe(false)
    expect(simulated.detects(new Uint8Array(4))).toBe(false)
    expect(formatOf('simulated')).toBe(simulated)
  })

  it('affirms under a development root, and says what it is', async () => {
    const evidence = simulated.parse(mintTdxQuote(pki))
    expect(simulated.describe(evidence)[0]?.name).toBe('SIMULATED')
    const found = await simulated.authenticate(evidence, development(pki))
    expect(found.checks.map(({ id }) => id)).toEqual([
      'simulated.root',
      ...DCAP_CHECK_IDS,
      ...TDX_TCB_CHECK_IDS,
    ])
    expect(failing(found.checks)).toEqual([])
    if (!found.authentic) throw new Error('not authentic')
    expect(found.claims.printable).toMatchObject({ simulated: true, report: {} })
  })

  it('is refused as TDX at the anchor, whatever roots simulation has', async () => {
    const found = await tdx.authenticate(tdx.parse(mintTdxQuote(pki)), development(pki))
    expect(found.authentic).toBe(false)
    expect(failing(found.checks)).toEqual(['dcap.pck.anchor'])
  })

  it.each([
    [
      'without development roots',
      mintTdxQuote(pki),
      { anchors: VENDOR_ANCHORS },
      ['simulated.root', 'dcap.pck.anchor'],
    ],
    ['without the mark', plain, {}, ['simulated.root']],
    [
      'under a root that is also a vendor anchor',
      mintTdxQuote(pki),
      { anchors: { ...VENDOR_ANCHORS, intel: [pki.anchor], simulated: [pki.anchor] } },
      ['simulated.root'],
    ],
    [
      'under the root of another installation',
      mintTdxQuote(mintIntelPki({ now: NOW })),
      {},
      ['dcap.pck.anchor'],
    ],
  ] as const)('is refused %s', async (...[, quote, changes, fails]) => {
    const found = await simulated.authenticate(simulated.parse(quote), development(pki, changes))
    expect(found.authentic).toBe(false)
    expect(failing(found.checks)).toEqual(fails)
  })

  it('does not let a real vendor root in: Intel anchors are not asked', async () => {
    const context = contextOf(pki, { anchors: { ...VENDOR_ANCHORS, intel: [pki.anchor] } })
    const found = await simulated.authenticate(simulated.parse(mintTdxQuote(pki)), context)
    expect(found.authentic).toBe(false)
  })

  it('has the policy fields and appraisal of TDX', () => {
    expect(simulated.policyFields).toBe(tdx.policyFields)
    expect(simulated.appraisalCheckIds).toBe(tdx.appraisalCheckIds)
  })
})

describe('formats', () => {
  it('not known are unsupported', () => {
    for (const id of ['', '__proto__', 'toString']) {
      expect(() => formatOf(id)).toThrow(
        expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }),
      )
    }
    expect(() => detectFormat(new Uint8Array(3))).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }),
    )
  })
})

describe('the simulated attester', () => {
  const reportData = Uint8Array.from({ length: 64 }, (_, i) => i)

  it('vouches for report data and measurements, with endorsements that suffice', async () => {
    const mrtd = 'ab'.repeat(48)
    const attester = createSimulatedAttester(pki, { measurements: { mrtd } })
    const { format, evidence, endorsements } = await attester.attest(reportData)
    expect(format).toBe('simulated')
    const found = await simulated.authenticate(
      simulated.parse(evidence),
      development(pki, { endorsements }),
    )
    if (!found.authentic) throw new Error(failing(found.checks).join())
    expect(found.claims.reportData).toEqual(reportData)
    expect(found.claims.measurements['mrtd']).toBe(mrtd)
    expect(found.claims.measurements['rtmr3']).not.toBe('00'.repeat(48))
  })

  it('can be a debug enclave, which every policy refuses', async () => {
    const { evidence } = await createSimulatedAttester(pki, { debug: true }).attest(reportData)
    const found = await simulated.authenticate(simulated.parse(evidence), development(pki))
    if (!found.authentic) throw new Error(failing(found.checks).join())
    const policy = Object.fromEntries(
      Object.keys(simulated.policyFields).map((name) => [name, { waive: 'not under test' }]),
    )
    const checks = simulated.appraise(found.claims, { ...policy, debug: { require: false } })
    expect(failing(checks)).toEqual(['tdx.debug'])
  })

  it('renews what goes out of date', async () => {
    let now = NOW
    const attester = createSimulatedAttester(pki, { clock: () => now })
    const first = await attester.attest(reportData)
    expect((await attester.attest(reportData)).endorsements).toBe(first.endorsements)
    now = new Date(NOW.getTime() + 100 * DAY)
    const { evidence, endorsements } = await attester.attest(reportData)
    const found = await simulated.authenticate(
      simulated.parse(evidence),
      development(pki, { endorsements, now }),
    )
    expect(failing(found.checks)).toEqual([])
  })

  it.each([0, 32, 65])('refuses report data of %i bytes', async (length) => {
    const attester = createSimulatedAttester(pki)
    await expect(attester.attest(new Uint8Array(length))).rejects.toThrow(TypeError)
  })

  it('refuses measurements that are none', () => {
    for (const mrtd of ['', 'ab', 'zz'.repeat(48)]) {
      expect(() => createSimulatedAttester(pki, { measurements: { mrtd } })).toThrow(
        expect.objectContaining({ code: 'ERR_CONFIG_INVALID' }),
      )
    }
  })
})

describe('the hierarchy in a directory', () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vouchsafe-pki-'))
  })
  afterAll(async () => rm(dir, { recursive: true }))

  it('stays the same after a restart, and its endorsements are current', async () => {
    const home = join(dir, 'same')
    const first = await loadSimulatedPki(home, NOW)
    const now = new Date(NOW.getTime() + 400 * DAY)
    const second = await loadSimulatedPki(home, now)
    expect(second.anchor).toBe(first.anchor)
    expect(second.platform).toEqual(first.platform)
    const found = await simulated.authenticate(
      simulated.parse(mintTdxQuote(first)),
      development(second, { now }),
    )
    expect(failing(found.checks)).toEqual([])
  })

  it('is readable by its owner only, and leaves no other file', async () => {
    const home = join(dir, 'private')
    await loadSimulatedPki(home, NOW)
    const files = await readdir(home)
    expect(files).toHaveLength(1)
    const { mode } = await stat(join(home, files[0] ?? ''))
    expect(mode & 0o777).toBe(0o600)
    expect((await stat(home)).mode & 0o777).toBe(0o700)
  })

  it('is one, however many start together', async () => {
    const home = join(dir, 'race')
    const all = await Promise.all(
      Array.from({ length: 8 }, async () => loadSimulatedPki(home, NOW)),
    )
    expect(new Set(all.map(({ anchor }) => anchor)).size).toBe(1)
    expect(await readdir(home)).toHaveLength(1)
  })

  it('is refused if it is not what was written', async () => {
    const home = join(dir, 'broken')
    await loadSimulatedPki(home, NOW)
    const path = join(home, (await readdir(home))[0] ?? '')
    const text = await readFile(path, 'utf8')
    const stored = JSON.parse(text) as {
      keys: Record<string, string>
      certificates: Record<string, string>
    }
    const broken = [
      '',
      '[]',
      '{}',
      text.slice(0, text.length / 2),
      JSON.stringify({ ...stored, keys: { ...stored.keys, root: stored.keys['pck'] } }),
      JSON.stringify({ ...stored, keys: { ...stored.keys, attestation: 'AAAA' } }),
      JSON.stringify({ ...stored, keys: { ...stored.keys, attestation: 7 } }),
      JSON.stringify({ ...stored, certificates: { ...stored.certificates, pck: 'AAAA' } }),
      JSON.stringify({ ...stored, certificates: null }),
    ]
    for (const content of broken) {
      await writeFile(path, content)
      await expect(loadSimulatedPki(home, NOW)).rejects.toMatchObject({ code: 'ERR_STATE_INVALID' })
    }
    await writeFile(path, text)
    await expect(loadSimulatedPki(home, new Date('2080-01-01'))).rejects.toMatchObject({
      code: 'ERR_STATE_INVALID',
    })
  })
})
