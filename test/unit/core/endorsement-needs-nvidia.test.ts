import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { takeAnswer } from '../../../src/core/endorsements/answers.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
} from '../../../src/core/endorsements/endorsement-set.ts'
import {
  describeNeed,
  type EndorsementNeed,
  needKey,
  parseNeed,
} from '../../../src/core/endorsements/needs.ts'
import { isMet, requireMatch } from '../../../src/core/endorsements/needs-match.ts'
import { needsOf } from '../../../src/core/endorsements/needs-of.ts'
import { bodyOf, urlOf, VENDOR_ENDPOINTS } from '../../../src/core/endorsements/urls.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import {
  mintNvidiaDevice,
  mintNvidiaEvidence,
  mintNvidiaPki,
  mintNvidiaReport,
  mintOcspResponse,
  mintRim,
} from '../../../src/testing/index.ts'
import { rimAnswer, UNAUTHORIZED } from '../../support/fake-nvidia.ts'
import { CRYPTO, NOW, nvidiaWorld } from '../../support/nvidia.ts'

const HOUR = 60 * 60 * 1000
const query = { feed: 'standard', crypto: CRYPTO } as const
const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const { pki, device, good } = nvidiaWorld()
const lists = nvidiaWorld('LS10')
const driver = { kind: 'nvidia-rim', id: 'NV_GPU_DRIVER_GH100_590.12' } as const
const { rom } = device
const [issuer] = pki.device
const dates = {
  thisUpdate: new Date(NOW.getTime() - HOUR),
  nextUpdate: new Date(NOW.getTime() + 24 * HOUR),
}
const answer = mintOcspResponse({ about: rom.der, issuer, ...dates })
const needs = async (known: EndorsementSet = NO_ENDORSEMENTS) =>
  needsOf({ format: 'nvidia-gpu', evidence: good.evidence }, known, query)
const about = async (): Promise<EndorsementNeed> => {
  const found = (await needs()).find(({ kind }) => kind === 'ocsp')
  if (found === undefined) throw new Error('no OCSP need')
  return found
}
const ids = (all: readonly EndorsementNeed[]) =>
  all.map((need) => (need.kind === 'nvidia-rim' ? need.id : need.kind))

describe('needsOf NVIDIA', () => {
  it('wants the manifests of a GPU by name, and answers about the device', async () => {
    const all = await needs()
    expect(ids(all)).toEqual([
      driver.id,
      'NV_GPU_VBIOS_G520_0200_885_9600A50001',
      ...['ocsp', 'ocsp', 'ocsp'],
    ])
    expect(all.map((need) => urlOf(need, VENDOR_ENDPOINTS)).slice(0, 3)).toEqual([
      'https://rim.attestation.nvidia.com/v1/rim/NV_GPU_DRIVER_GH100_590.12',
      'https://rim.attestation.nvidia.com/v1/rim/NV_GPU_VBIOS_G520_0200_885_9600A50001',
      'https://ocsp.ndis.nvidia.com',
    ])
    const bodies = all.map((need) => bodyOf(need, new Uint8Array(32)))
    expect(bodies.map((body) => body === undefined)).toEqual([true, true, false, false, false])
    expect(all.map(describeNeed).slice(1, 3)).toEqual([
      'manifest NV_GPU_VBIOS_G520_0200_885_9600A50001',
      expect.stringMatching(/^OCSP response about serial [0-9a-f]+ of issuer [0-9a-f]{16}…$/),
    ])
  })

  it('wants the one manifest of a switch', async () => {
    const switchNeeds = await needsOf(
      { format: 'nvidia-switch', evidence: lists.good.evidence },
      NO_ENDORSEMENTS,
      query,
    )
    expect(ids(switchNeeds)).toEqual([
      'NV_SWITCH_BIOS_5612_0002_890_9610550001',
      ...['ocsp', 'ocsp', 'ocsp'],
    ])
  })

  it('wants answers about a manifest’s signers once it is there, and about no stranger’s', async () => {
    const { rims = [] } = good.endorsements
    expect(await needs({ ...NO_ENDORSEMENTS, rims })).toHaveLength(2 + 6)
    const other = mintRim(mintNvidiaPki({ at: NOW }), { kind: 'driver', version: '590.13' })
    expect(await needs({ ...NO_ENDORSEMENTS, rims: [other, utf8('<x/>')] })).toHaveLength(2 + 3)
  })

  it('asks about so many certificates and no more, whoever brings manifests', async () => {
    const rims = Array.from({ length: 12 }, () =>
      mintRim(mintNvidiaPki({ at: NOW }), { kind: 'driver' }),
    )
    const all = await needs({ ...NO_ENDORSEMENTS, rims })
    expect(all).toHaveLength(2 + 24)
    // The device's own come first.
    expect(all.slice(0, 5)).toEqual(await needs())
  })

  it('asks about a bare report by the chain that came besides', async () => {
    const report = { format: 'nvidia-gpu', evidence: mintNvidiaReport({ device }) } as const
    expect(ids(await needsOf(report, NO_ENDORSEMENTS, query))).toHaveLength(2)
    const known = { ...NO_ENDORSEMENTS, certificates: device.chain }
    expect(await needsOf(report, known, query)).toEqual(await needs())
  })
})

describe('what a stranger may put into a URL', () => {
  const ocsp = {
    kind: 'ocsp',
    issuerNameHash: 'ab'.repeat(48),
    issuerKeyHash: 'cd'.repeat(48),
    serial: '01',
  }
  it.each([
    { kind: 'nvidia-rim', id: '' },
    { kind: 'nvidia-rim', id: '..' },
    { kind: 'nvidia-rim', id: 'NV_GPU_DRIVER_GH100_' },
    { kind: 'nvidia-rim', id: 'NV_GPU_DRIVER_GH100_../590' },
    { kind: 'nvidia-rim', id: 'NV_GPU_DRIVER_GH100_590.12?x=1' },
    { kind: 'nvidia-rim', id: 'NV_GPU_DRIVER_GH100_590.12\n' },
    { kind: 'nvidia-rim', id: 'NV_GPU_DRIVER_GH100_590%2e12' },
    { kind: 'nvidia-rim', id: `NV_GPU_DRIVER_GH100_${'5'.repeat(33)}` },
    { kind: 'nvidia-rim', id: 'NV_GPU_VBIOS_G520_0200_885_96' },
    { kind: 'nvidia-rim', id: 'NV_SWITCH_BIOS_5612_0002_891_9610550001' },
    { kind: 'nvidia-rim', id: driver.id, more: 1 },
    { ...ocsp, serial: '' },
    { ...ocsp, serial: '1' },
    { ...ocsp, serial: '00'.repeat(22) },
    { ...ocsp, issuerKeyHash: 'cd'.repeat(32) },
    { ...ocsp, issuerNameHash: 'AB'.repeat(48) },
    { ...ocsp, url: 'https://elsewhere.example' },
  ])('is no %j', (need) => {
    expect(() => parseNeed(need, blame)).toThrow(expect.objectContaining({ code: blame.code }))
  })

  it('garbage-is-typed', async () => {
    const flipped = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.boolean())
    const report = mintNvidiaReport({ device })
    await fc.assert(
      fc.asyncProperty(flipped, async ([at, byte, bare]) => {
        const bytes = bare ? report : good.evidence
        const evidence = bytes.with(at % bytes.length, byte)
        const known = { ...NO_ENDORSEMENTS, certificates: device.chain }
        try {
          for (const need of await needsOf({ format: 'nvidia-gpu', evidence }, known, query)) {
            expect(parseNeed(JSON.parse(needKey(need)), blame)).toEqual(need)
            expect(urlOf(need, VENDOR_ENDPOINTS)).toMatch(
              /^https:\/\/[a-z.]+(\/v1\/rim\/NV_[0-9A-Za-z._-]+)?$/,
            )
          }
        } catch (error) {
          expect(error).toBeInstanceOf(VouchsafeError)
        }
      }),
      { numRuns: 500, interruptAfterTimeLimit: 8_000 },
    )
  })
})

describe('requireMatch', () => {
  const rims = (...all: readonly Uint8Array[]) => ({ ...NO_ENDORSEMENTS, rims: all })
  const answers = (...all: readonly Uint8Array[]) => ({ ...NO_ENDORSEMENTS, ocspResponses: all })
  const rim = mintRim(pki, { kind: 'driver' })

  it('takes the manifest for as long as whoever signed it lasts', async () => {
    const until = await requireMatch(driver, rims(rim), blame)
    expect(until?.getTime()).toBeGreaterThan(NOW.getTime() + 24 * HOUR)
    expect(await isMet(driver, rims(utf8('<x/>'), rim), NOW)).toBe(true)
    expect(await isMet(driver, rims(rim), new Date((until?.getTime() ?? 0) + 1000))).toBe(false)
  })

  it.each<[string, EndorsementNeed, EndorsementSet]>([
    ['another version', driver, rims(mintRim(pki, { kind: 'driver', version: '590.13' }))],
    ['another chip', driver, rims(mintRim(pki, { kind: 'driver', product: 'GB100' }))],
    ['another edition', driver, rims(mintRim(pki, { kind: 'driver', edition: 'SWITCH' }))],
    ['another kind', driver, rims(mintRim(pki, { kind: 'vbios' }))],
    [
      'a VBIOS of another version',
      { kind: 'nvidia-rim', id: 'NV_GPU_VBIOS_G520_0200_885_9600A50002' },
      rims(mintRim(pki, { kind: 'vbios' })),
    ],
    [
      'a switch for a GPU',
      { kind: 'nvidia-rim', id: 'NV_GPU_VBIOS_G520_0200_885_9610550001' },
      rims(mintRim(lists.pki, { kind: 'bios' })),
    ],
    ['some other XML', driver, rims(utf8('<SoftwareIdentity/>'))],
    ['two manifests', driver, rims(rim, rim)],
    ['something besides', driver, { ...rims(rim), ocspResponses: [answer] }],
    ['nothing', driver, NO_ENDORSEMENTS],
  ])('refuses %s', async (_, need, set) => {
    await expect(requireMatch(need, set, blame)).rejects.toMatchObject({ code: blame.code })
  })

  it('takes the answer about this certificate until its nextUpdate', async () => {
    const need = await about()
    expect(await requireMatch(need, answers(answer), blame)).toEqual(dates.nextUpdate)
    expect(await isMet(need, answers(answer), dates.nextUpdate)).toBe(true)
    expect(await isMet(need, answers(answer), new Date(dates.nextUpdate.getTime() + 1))).toBe(false)
    expect(await isMet(need, answers(answer), new Date(dates.thisUpdate.getTime() - 1))).toBe(false)
  })

  it('keeps bad news as it keeps good', async () => {
    const bad = mintOcspResponse({ about: rom.der, issuer, ...dates, status: 'revoked', reason: 1 })
    expect(await requireMatch(await about(), answers(bad), blame)).toEqual(dates.nextUpdate)
  })

  const neighbour = mintNvidiaDevice(pki, { leaf: { serial: 9 } })
  it.each<[string, EndorsementSet]>([
    ['another certificate', answers(mintOcspResponse({ about: issuer.der, issuer, ...dates }))],
    [
      'another hash',
      answers(mintOcspResponse({ about: rom.der, issuer, ...dates, hash: 'sha256' })),
    ],
    [
      'another issuer',
      answers(mintOcspResponse({ about: rom.der, issuer: neighbour.rom, ...dates })),
    ],
    [
      'no nextUpdate',
      answers(mintOcspResponse({ about: rom.der, issuer, thisUpdate: dates.thisUpdate })),
    ],
    ['a refusal', answers(UNAUTHORIZED)],
    ['two answers', answers(answer, answer)],
    ['half an answer', answers(answer.subarray(0, answer.length - 1))],
    ['a certificate besides', { ...answers(answer), crls: [rom.der] }],
  ])('refuses %s', async (_, set) => {
    await expect(requireMatch(await about(), set, blame)).rejects.toMatchObject({
      code: blame.code,
    })
  })
})

describe('takeAnswer', () => {
  const from = { service: 'x', url: 'https://x.example/', now: NOW }
  const take = async (need: EndorsementNeed, body: Uint8Array | string, now = NOW) =>
    takeAnswer(
      need,
      { status: 200, headers: {}, body: typeof body === 'string' ? utf8(body) : body },
      { ...from, now },
    )

  it('reads what both services answer', async () => {
    const rim = mintRim(pki, { kind: 'driver' })
    const taken = await take(driver, rimAnswer(driver.id, rim))
    expect(taken.endorsements).toEqual({ ...NO_ENDORSEMENTS, rims: [rim] })
    expect((await take(await about(), answer)).endorsements.ocspResponses).toEqual([answer])
  })

  it.each([
    ['another name', rimAnswer('NV_GPU_DRIVER_GH100_590.13', mintRim(pki, { kind: 'driver' }))],
    ['another manifest', rimAnswer(driver.id, mintRim(pki, { kind: 'vbios' }))],
    ['no name', '{"rim":"PHgvPg=="}'],
    ['no manifest', `{"id":"${driver.id}"}`],
    ['no text', `{"id":"${driver.id}","rim":1}`],
    ['no base64', `{"id":"${driver.id}","rim":"<x/>"}`],
    ['two manifests', `{"id":"${driver.id}","rim":"PHgvPg==","rim":"PHgvPg=="}`],
    ['a list', '[]'],
  ])('refuses a manifest under %s', async (_, body) => {
    await expect(take(driver, body)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
  })

  it('says what a responder that refuses means', async () => {
    const need = await about()
    const refused = async (status: number) => take(need, UNAUTHORIZED.with(4, status))
    const unavailable = { code: 'ERR_ENDORSEMENT_UNAVAILABLE' }
    await expect(refused(6)).rejects.toMatchObject({
      ...unavailable,
      at: 'endorsements.x.not_found',
    })
    for (const status of [1, 2, 3, 5, 255]) {
      await expect(refused(status)).rejects.toMatchObject({
        ...unavailable,
        at: 'endorsements.x.refused',
      })
    }
    await expect(refused(0)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
  })

  it('refuses an answer that is past its date when it comes', async () => {
    const late = new Date(dates.nextUpdate.getTime() + 1000)
    await expect(take(await about(), answer, late)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'endorsements.x.stale',
    })
  })
})

it('what is not NVIDIA’s evidence is refused as its parser does', async () => {
  const evidence = mintNvidiaEvidence({ device: lists.device })
  await expect(
    needsOf({ format: 'nvidia-gpu', evidence }, NO_ENDORSEMENTS, query),
  ).rejects.toMatchObject({ code: 'ERR_EVIDENCE_MALFORMED' })
})
