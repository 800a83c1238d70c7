import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { appraise } from '../../src/core/appraisal/appraise.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { sevSnp } from '../../src/core/evidence/sev-snp/format.ts'
import { createCrypto as createNode } from '../../src/drivers/crypto/node.ts'
import { createCrypto as createWeb } from '../../src/drivers/crypto/web.ts'
import { mintAmdCrl, mintSnpReport } from '../../src/testing/index.ts'
import { mutationsOf, orTyped, prefixesOf } from '../support/mutate.ts'
import { sharedDir } from '../support/shared.ts'
import {
  anchorsOf,
  appraiseSnp,
  bag,
  LIFE,
  mintAmd,
  NOW,
  type SnpCase,
  snpPolicy,
  vekOf,
} from '../support/snp.ts'

const { pki, vcek } = mintAmd('Turin')
const report = mintSnpReport({ product: 'Turin', key: vcek.key })
const good: SnpCase = { report, endorsements: bag(pki, [vcek]), anchors: anchorsOf(pki) }
/** The signed part, then r and s. */
const COVERED = 0x2a0 + 144

async function tierOf(change: Partial<SnpCase>, base = good): Promise<string> {
  const result = await orTyped(async () => appraiseSnp({ ...base, ...change }))
  return result instanceof VouchsafeError ? result.code : result.tier
}

/** A real capture, if the shared folder is there. */
function capture(): SnpCase | undefined {
  const dir = sharedDir()
  if (dir === undefined) return undefined
  const read = (name: string) => new Uint8Array(readFileSync(join(dir, 'evidence/snp', name)))
  const names = ['openanolis-turin-vcek.der', 'chain-turin-vcek.pem']
  const files = names.map((name) => ({ name, bytes: read(name) }))
  return {
    report: read('openanolis-turin-report.bin'),
    endorsements: collectEndorsements(files).endorsements,
    anchors: VENDOR_ANCHORS,
    policy: snpPolicy({ revocation: { require: 'crl-if-present' } }),
    now: new Date('2026-09-01T00:00:00Z'),
  }
}

describe('SEV-SNP', () => {
  it('flip-never-affirms', async () => {
    for (const base of [good, capture()]) {
      if (base === undefined) continue
      expect(await tierOf({}, base)).toBe('affirming')
      for (let at = 0; at < COVERED; at++) {
        const flipped = base.report.with(at, (base.report[at] ?? 0) ^ (1 << (at % 8)))
        expect(await tierOf({ report: flipped }, base), `byte ${at}`).not.toBe('affirming')
      }
    }
  })

  it('truncation-is-typed', async () => {
    for (const prefix of prefixesOf(report)) {
      expect(await orTyped(() => sevSnp.parse(prefix))).toBeInstanceOf(VouchsafeError)
    }
  })

  it('garbage-is-typed', async () => {
    const start = performance.now()
    const response = new Uint8Array(4000)
    response.set([0, 0, 0, 0, 0xa0, 4])
    response.set(report, 32)
    for (const bytes of [report, response]) {
      await fc.assert(
        fc.asyncProperty(mutationsOf(bytes), async (mutation) => {
          const parsed = await orTyped(() => sevSnp.parse(mutation))
          sevSnp.detects(mutation)
          if (parsed instanceof VouchsafeError) return
          sevSnp.describe(parsed)
          // Only the bytes of the good report are affirming, however they are wrapped.
          const same = Buffer.from(parsed.report.signed).equals(report.subarray(0, 0x2a0))
          if (!same) expect(await tierOf({ report: mutation })).not.toBe('affirming')
        }),
        { numRuns: 5000 },
      )
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (bytes) => {
        expect(await orTyped(() => sevSnp.parse(bytes))).toBeInstanceOf(VouchsafeError)
      }),
      { numRuns: 1000 },
    )
    expect(performance.now() - start).toBeLessThan(60_000)
  }, 90_000)

  it('garbage-is-typed: certificates and lists, which never affirm once changed', async () => {
    const { certificates, crls } = good.endorsements
    const needed = [vcek.der, pki.ask.der, pki.ark.der, ...crls]
    for (const der of needed) {
      await fc.assert(
        fc.asyncProperty(mutationsOf(der), async (mutation) => {
          const swap = (old: Uint8Array) => (old === der ? mutation : old)
          const endorsements = {
            ...good.endorsements,
            certificates: certificates.map(swap),
            crls: crls.map(swap),
          }
          const changed = !Buffer.from(mutation).equals(der)
          if (changed) expect(await tierOf({ endorsements })).not.toBe('affirming')
        }),
        { numRuns: 250 },
      )
    }
  })

  it('input-is-untouched', async () => {
    const input = Buffer.from(report)
    const before = Buffer.from(input)
    await appraiseSnp({ ...good, report: input })
    expect(input.equals(before)).toBe(true)
  })

  it('absent-never-passes', async () => {
    const { certificates, crls } = good.endorsements
    const needed = [vcek.der, pki.ask.der, pki.ark.der]
    for (const gone of needed) {
      const rest = certificates.filter((der) => der !== gone)
      const tier = await tierOf({ endorsements: { ...good.endorsements, certificates: rest } })
      expect(tier).toBe('ERR_ENDORSEMENT_UNAVAILABLE')
    }
    expect(crls).toHaveLength(1)
    expect(await tierOf({ endorsements: { ...good.endorsements, crls: [] } })).toBe(
      'ERR_ENDORSEMENT_UNAVAILABLE',
    )
    const none = { ...VENDOR_ANCHORS, amd: { Milan: [], Genoa: [], Turin: [] } }
    expect(await tierOf({ anchors: none })).toBe('contraindicated')
  })

  it('absent-never-passes: a claim of zeros where the policy asks for one', async () => {
    const asked = {
      measurement: 48,
      hostData: 32,
      idKeyDigest: 48,
      authorKeyDigest: 48,
      familyId: 16,
      imageId: 16,
    }
    for (const [name, size] of Object.entries(asked)) {
      const policy = snpPolicy({ [name]: { require: ['11'.repeat(size)] } })
      const fields = { [name]: new Uint8Array(size) }
      const zeros = mintSnpReport({ product: 'Turin', key: vcek.key, fields })
      expect(await tierOf({ report: zeros, policy }), name).toBe('contraindicated')
    }
  })

  it('tightening-never-helps', async () => {
    const RANK = ['affirming', 'warning', 'none', 'contraindicated']
    const floor = { fmc: 9, bootloader: 0, tee: 0, snp: 0, microcode: 0 }
    const stricter = [
      { 'tcb.reported': { require: { Turin: floor } } },
      { guestSvn: { require: 1 } },
      { vmpl: { require: [1] } },
      { 'platform.product': { require: ['Genoa'] } },
      { signingKey: { require: ['VLEK'] } },
    ]
    for (const change of stricter) {
      const loose = RANK.indexOf(await tierOf({}))
      expect(RANK.indexOf(await tierOf({ policy: snpPolicy(change) }))).toBeGreaterThan(loose)
    }
  })

  it('wrong-time-fails', async () => {
    const hour = 3_600_000
    const short = { notBefore: new Date('2026-03-01'), notAfter: new Date('2026-09-01') }
    const vek = vekOf(pki, short)
    const bags = [
      { range: LIFE, endorsements: good.endorsements, report },
      {
        range: short,
        endorsements: bag(pki, [vek]),
        report: mintSnpReport({ product: 'Turin', key: vek.key }),
      },
      {
        range: short,
        endorsements: bag(pki, [vcek], {
          crls: [mintAmdCrl(pki, { thisUpdate: short.notBefore, nextUpdate: short.notAfter })],
        }),
        report,
      },
    ]
    for (const { range, ...change } of bags) {
      const at = async (time: number) => tierOf({ ...change, now: new Date(time) })
      expect(await at(range.notBefore.getTime() - hour)).toBe('contraindicated')
      expect(await at(range.notBefore.getTime() + hour)).toBe('affirming')
      expect(await at(range.notAfter.getTime() - hour)).toBe('affirming')
      expect(await at(range.notAfter.getTime() + hour)).toBe('contraindicated')
    }
  })

  it('replay-is-identical, on node:crypto and on WebCrypto', async () => {
    const input = {
      format: 'sev-snp',
      evidence: report,
      endorsements: good.endorsements,
      referenceValues: [],
      policy: snpPolicy(),
      binding: { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } },
      anchors: good.anchors,
      now: NOW,
    } as const
    const results = await Promise.all(
      [createNode(), createNode(), createWeb()].map(async (crypto) =>
        JSON.stringify(await appraise(input, { crypto, memo: createMemo(0) })),
      ),
    )
    expect(new Set(results).size).toBe(1)
  })
})
