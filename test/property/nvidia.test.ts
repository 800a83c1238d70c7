import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat } from '../../src/core/bytes/bytes.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { formatOf } from '../../src/core/evidence/formats.ts'
import { parseDevice } from '../../src/core/evidence/nvidia-spdm/evidence.ts'
import { parseRim } from '../../src/core/evidence/nvidia-spdm/rim.ts'
import { parseOcspResponse } from '../../src/core/x509/ocsp.ts'
import { mintNvidiaReport, type NvidiaModel } from '../../src/testing/index.ts'
import { mutationsOf, orTyped, prefixesOf } from '../support/mutate.ts'
import {
  appraiseNvidia,
  authenticPolicy,
  NOW,
  type NvidiaCase,
  nvidiaWorld,
} from '../support/nvidia.ts'

const MODELS: readonly NvidiaModel[] = ['GH100', 'GB100', 'LS10']
const worlds = MODELS.map((model) => {
  const { device, good } = nvidiaWorld(model)
  // Bare, so that a byte of evidence is a byte of the report.
  const endorsements = { ...good.endorsements, certificates: device.chain }
  const evidence: Uint8Array = mintNvidiaReport({ device })
  return { good: { ...good, evidence, endorsements }, json: good.evidence }
})
const [{ good, json } = { good: undefined as never, json: new Uint8Array() }] = worlds
const memo = createMemo(2000)
const flip = (bytes: Uint8Array, at: number) => bytes.with(at, (bytes[at] ?? 0) ^ (1 << (at % 8)))

async function tierOf(change: Partial<NvidiaCase>, base: NvidiaCase = good): Promise<string> {
  const result = await orTyped(async () => appraiseNvidia({ ...base, ...change }, memo))
  return result instanceof VouchsafeError ? result.code : result.tier
}

describe('NVIDIA devices', () => {
  it('flip-never-affirms', async () => {
    for (const world of worlds) {
      expect(await tierOf({}, world.good)).toBe('affirming')
      const { evidence } = world.good
      for (let at = 0; at < evidence.length; at += at < 64 || at > evidence.length - 100 ? 1 : 11) {
        const flipped = flip(evidence, at)
        expect(await tierOf({ evidence: flipped }, world.good), `byte ${at}`).not.toBe('affirming')
      }
    }
  }, 120_000)

  it('flip-never-affirms: manifests', async () => {
    const [driver = new Uint8Array(), ...others] = good.endorsements.rims ?? []
    for (let at = 0; at < driver.length; at += 101) {
      const flipped = flip(driver, at)
      const endorsements = { ...good.endorsements, rims: [flipped, ...others] }
      const tier = await tierOf({ endorsements })
      if (tier !== 'affirming') continue
      // Nobody signs the characters between SignedInfo and its neighbours, nor how base64 is broken.
      const [a, b] = [await parseRim(driver), await parseRim(flipped)]
      expect(b.signed.contentBytes).toEqual(a.signed.contentBytes)
      expect(b.signed.signedInfo).toEqual(a.signed.signedInfo)
      expect(b.signed.certificates).toEqual(a.signed.certificates)
    }
  }, 120_000)

  it('flip-never-affirms: revocation answers', async () => {
    const [rom = new Uint8Array(), ...others] = good.endorsements.ocspResponses ?? []
    // What is around the signed part, and the head of the certificate behind it, byte by byte.
    for (let at = 0; at < rom.length; at += at < 60 ? 1 : 3) {
      const ocspResponses = [flip(rom, at), ...others]
      const endorsements = { ...good.endorsements, ocspResponses }
      expect(await tierOf({ endorsements }), `byte ${at}`).not.toBe('affirming')
    }
  }, 120_000)

  it('truncation-is-typed', async () => {
    for (const whole of [good.evidence, json]) {
      for (const prefix of prefixesOf(whole)) {
        const parsed = await orTyped(() => parseDevice(prefix, 'gpu'))
        expect(parsed).toBeInstanceOf(VouchsafeError)
      }
    }
  }, 60_000)

  it('garbage-is-typed', async () => {
    const format = formatOf('nvidia-gpu')
    const start = performance.now()
    for (const whole of [good.evidence, json]) {
      await fc.assert(
        fc.asyncProperty(mutationsOf(whole), async (mutation) => {
          format.detects(mutation)
          const parsed = await orTyped(() => parseDevice(mutation, 'gpu'))
          if (!(parsed instanceof VouchsafeError)) format.describe(parsed)
        }),
        { numRuns: 1000 },
      )
    }
    const [rim = new Uint8Array()] = good.endorsements.rims ?? []
    await fc.assert(
      fc.asyncProperty(mutationsOf(rim), async (mutation) => {
        await orTyped(async () => parseRim(mutation))
      }),
      { numRuns: 300 },
    )
    const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
    const [answer = new Uint8Array()] = good.endorsements.ocspResponses ?? []
    await fc.assert(
      fc.asyncProperty(mutationsOf(answer), async (mutation) => {
        await orTyped(() => parseOcspResponse(mutation, blame))
      }),
      { numRuns: 1000 },
    )
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        const garbage = concat(Uint8Array.of(0x11, 0xe0, 1, 0xff), bytes)
        expect(await orTyped(() => parseDevice(garbage, 'gpu'))).toBeInstanceOf(VouchsafeError)
      }),
      { numRuns: 1000 },
    )
    expect(performance.now() - start).toBeLessThan(90_000)
  }, 120_000)

  it('input-is-untouched', async () => {
    for (const { good: base } of worlds) {
      const copies = [base.evidence, ...(base.endorsements.rims ?? [])].map((one) => one.slice())
      expect(await tierOf({}, base)).toBe('affirming')
      expect([base.evidence, ...(base.endorsements.rims ?? [])]).toEqual(copies)
    }
  })

  it('absent-never-passes', async () => {
    const { rims = [], ocspResponses = [] } = good.endorsements
    for (let i = 0; i < rims.length; i++) {
      const endorsements = { ...good.endorsements, rims: rims.filter((_, at) => at !== i) }
      expect(await tierOf({ endorsements })).toBe('ERR_ENDORSEMENT_UNAVAILABLE')
    }
    for (let i = 0; i < ocspResponses.length; i++) {
      const left = ocspResponses.filter((_, at) => at !== i)
      const endorsements = { ...good.endorsements, ocspResponses: left }
      expect(await tierOf({ endorsements })).toBe('ERR_ENDORSEMENT_UNAVAILABLE')
    }
    expect(await tierOf({ endorsements: NO_ENDORSEMENTS })).toBe('ERR_ENDORSEMENT_UNAVAILABLE')
    const certificates = good.endorsements.certificates.slice(0, 4)
    const headless = { ...good.endorsements, certificates }
    expect(await tierOf({ endorsements: headless })).toBe('contraindicated')
  })

  it('wrong-time-fails', async () => {
    const hour = 60 * 60 * 1000
    for (const hours of [-2, 25, 24 * 400]) {
      const now = new Date(NOW.getTime() + hours * hour)
      expect(await tierOf({ now }), `${hours} hours`).toBe('contraindicated')
    }
    for (const hours of [-1, 24]) {
      expect(await tierOf({ now: new Date(NOW.getTime() + hours * hour) })).toBe('affirming')
    }
  })

  it('tightening-never-helps', async () => {
    const never = { modes: ['MPT'], 'revocation.maxAge': 1, devices: ['1'], hwModels: ['x'] }
    for (const [field, require] of Object.entries(never)) {
      const policy = authenticPolicy('nvidia-gpu', { [field]: { require } })
      expect(await tierOf({ policy })).toBe('contraindicated')
    }
  })
})
