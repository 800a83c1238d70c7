/** Real HTTP on loopback. NVIDIA's own services are not reached by any test. */
import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/core/bytes/hex.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import { needsOf } from '../../src/core/endorsements/needs-of.ts'
import { parseOcspResponse } from '../../src/core/x509/ocsp.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createOnlineSource } from '../../src/drivers/endorsements/online.ts'
import { mintNvidiaEvidence, mintOcspAnswers, mintRim } from '../../src/testing/index.ts'
import { type Misbehaviour, respond } from '../support/fake-vendor.ts'
import {
  driverRim,
  gpu,
  NOW,
  nvidia,
  ocsp,
  published,
  refusal,
  services,
  tcbInfo,
  vendors,
} from '../support/vendor-services.ts'

const query = { feed: 'standard', crypto: createCrypto() } as const
const subject = {
  format: 'nvidia-gpu',
  evidence: mintNvidiaEvidence({ device: gpu }),
} as const
const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const nothing = { endorsementsFor: async () => NO_ENDORSEMENTS }

describe('nvidia', () => {
  it('gets a manifest exactly as it was signed, and an answer about one certificate', async () => {
    const { nvidia: service } = services()
    const rim = await service.fetchEndorsement(driverRim)
    expect(rim.endorsements).toEqual({ ...NO_ENDORSEMENTS, rims: [published.rims[driverRim.id]] })
    const answer = await service.fetchEndorsement(ocsp)
    expect(answer.endorsements.ocspResponses).toHaveLength(1)
    expect(answer.validUntil).toEqual(new Date(NOW.getTime() + 24 * 60 * 60 * 1000))
    expect(vendors.nvidia.rim.requests).toEqual([`/v1/rim/${driverRim.id}`])
    expect(vendors.nvidia.ocsp.headers[0]).toMatchObject({
      'content-type': 'application/ocsp-request',
    })
  })

  it('asks twice: for manifests and about the device, then about whoever signed the manifests', async () => {
    const { nvidia: service } = services()
    const source = createOnlineSource({ service, local: nothing, clock: () => NOW, needs: query })
    const set = await source.endorsementsFor({ ...subject, given: NO_ENDORSEMENTS })
    expect(set.rims).toHaveLength(2)
    expect(set.ocspResponses).toHaveLength(6)
    expect(vendors.nvidia.rim.requests).toHaveLength(2)
    expect(vendors.nvidia.ocsp.requests).toHaveLength(6)
  })

  it('is not missed where everything came along and is current', async () => {
    for (const fake of [vendors.nvidia.rim, vendors.nvidia.ocsp]) {
      fake.misbehave((response) => response.destroy())
    }
    const { nvidia: service } = services({ attempts: 1, breakAfter: 50 })
    const given = {
      ...NO_ENDORSEMENTS,
      rims: Object.values(published.rims),
      ocspResponses: published.answers(new Uint8Array(32)),
    }
    const at = (now: Date) =>
      createOnlineSource({ service, local: nothing, clock: () => now, needs: query })
    await at(NOW).endorsementsFor({ ...subject, given })
    const late = new Date(NOW.getTime() + 25 * 60 * 60 * 1000)
    await expect(at(late).endorsementsFor({ ...subject, given })).rejects.toMatchObject(
      refusal('endorsements.nvidia-ocsp.unreachable'),
    )
  })

  it('says that a manifest or a certificate is unknown, and asks once for that', async () => {
    vendors.published = { rims: {}, answers: () => [] }
    const { nvidia: service } = services()
    await expect(service.fetchEndorsement(driverRim)).rejects.toMatchObject(
      refusal('endorsements.nvidia-rim.not_found'),
    )
    await expect(service.fetchEndorsement(ocsp)).rejects.toMatchObject(
      refusal('endorsements.nvidia-ocsp.not_found'),
    )
    expect(vendors.nvidia.rim.requests).toHaveLength(1)
    expect(vendors.nvidia.ocsp.requests).toHaveLength(1)
  })

  it('comes back: a POST is asked again after 5xx and 429, with the same body', async () => {
    const { nvidia: service } = services({ attempts: 3, retryAfterCapMs: 50 })
    for (const code of [500, 429]) {
      let left = 2
      const failing: Misbehaviour = (response, answer) => {
        if (left-- > 0) response.writeHead(code, { 'retry-after': '60' }).end()
        else respond(response, answer)
      }
      vendors.nvidia.ocsp.misbehave(failing)
      const { endorsements } = await service.fetchEndorsement(ocsp)
      expect(endorsements.ocspResponses).toHaveLength(1)
    }
    expect(vendors.nvidia.ocsp.requests).toHaveLength(6)
  })

  it('one of its services being down does not close the other', async () => {
    const { nvidia: service } = services({ attempts: 1, breakAfter: 1, breakMs: 60_000 })
    vendors.nvidia.ocsp.misbehave((response) => response.writeHead(500).end())
    for (const what of ['failing', 'circuit']) {
      await expect(service.fetchEndorsement(ocsp)).rejects.toMatchObject(
        refusal(`endorsements.nvidia-ocsp.${what}`),
      )
    }
    await service.fetchEndorsement(driverRim)
  })

  it('lies: another manifest, another certificate’s answer, one that is out of date', async () => {
    const { nvidia: service } = services()
    vendors.published = {
      rims: { [driverRim.id]: mintRim(nvidia, { kind: 'driver', version: '590.11' }) },
      answers: published.answers,
    }
    await expect(service.fetchEndorsement(driverRim)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
      at: 'endorsements.nvidia-rim.nvidia-rim',
    })
    const [, other = new Uint8Array()] = published.answers(new Uint8Array(32))
    vendors.nvidia.ocsp.misbehave((response) => {
      respond(response, { body: other })
    })
    await expect(service.fetchEndorsement(ocsp)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
      at: 'endorsements.nvidia-ocsp.ocsp',
    })
    vendors.nvidia.ocsp.misbehave((response) => {
      respond(response, { body: Uint8Array.of(0x30, 3, 0x0a, 1, 3) })
    })
    await expect(service.fetchEndorsement(ocsp)).rejects.toMatchObject(
      refusal('endorsements.nvidia-ocsp.refused'),
    )
  })

  it('answers with the nonce of each question, which is another each time', async () => {
    const nonces: string[] = []
    const answers = (nonce: Uint8Array) => {
      nonces.push(toHex(nonce))
      return published.answers(nonce)
    }
    vendors.published = { ...published, answers }
    for (const mode of ['required', 'optional'] as const) {
      const { nvidia: service } = services({}, mode)
      const { endorsements } = await service.fetchEndorsement(ocsp)
      const [der = new Uint8Array()] = endorsements.ocspResponses ?? []
      expect(toHex(parseOcspResponse(der, BLAME).nonce ?? der)).toBe(nonces.at(-1))
    }
    expect(nonces.map((nonce) => nonce.length)).toEqual([64, 64])
    expect(nonces[0]).not.toBe(nonces[1])
  })

  it.each(['required', 'optional'] as const)(
    'lies: sends an answer to another question again (nonce %s)',
    async (mode) => {
      const old = published.answers(new Uint8Array(32).fill(7))
      vendors.published = { ...published, answers: () => old }
      await expect(services({}, mode).nvidia.fetchEndorsement(ocsp)).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: 'endorsements.nvidia-ocsp.nonce',
        message: expect.stringContaining('got 0707') as string,
      })
      const short = (nonce: Uint8Array) => published.answers(nonce.subarray(0, 31))
      vendors.published = { ...published, answers: short }
      await expect(services({}, mode).nvidia.fetchEndorsement(ocsp)).rejects.toMatchObject({
        at: 'endorsements.nvidia-ocsp.nonce',
      })
    },
  )

  it('without the nonce of its question is refused, unless it was said to be optional', async () => {
    const bare = mintOcspAnswers(nvidia, gpu)
    vendors.published = { ...published, answers: () => bare }
    await expect(services().nvidia.fetchEndorsement(ocsp)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
      at: 'endorsements.nvidia-ocsp.nonce',
    })
    const { endorsements } = await services({}, 'optional').nvidia.fetchEndorsement(ocsp)
    expect(endorsements.ocspResponses).toEqual([bare[0]])
  })

  it('is not asked for what is another vendor’s', async () => {
    await expect(services().nvidia.fetchEndorsement(tcbInfo)).rejects.toThrow(TypeError)
    const needs = await needsOf(subject, NO_ENDORSEMENTS, query)
    for (const need of needs) {
      await expect(services().intel.fetchEndorsement(need)).rejects.toThrow(TypeError)
      await expect(services().amd.fetchEndorsement(need)).rejects.toThrow(TypeError)
    }
  })
})
