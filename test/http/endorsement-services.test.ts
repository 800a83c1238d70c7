/** Real HTTP on loopback. The vendors' own services are not reached by any test. */
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../../src/core/endorsements/needs.ts'
import { VENDOR_ENDPOINTS } from '../../src/core/endorsements/urls.ts'
import { createIntelPcs } from '../../src/drivers/endorsements/intel-pcs.ts'
import { createPoliteGetter } from '../../src/drivers/endorsements/polite.ts'
import { systemRandom } from '../../src/drivers/random.ts'
import { endorseHierarchy } from '../../src/testing/index.ts'
import { ROOT_CRL_PATH, startFakePcs } from '../support/fake-pcs.ts'
import {
  after,
  amd,
  amdCrl,
  chain,
  client,
  DAY,
  good,
  hierarchy,
  LIMITS,
  NOW,
  pckCertificate,
  pckCrl,
  qeIdentity,
  refusal,
  rootCrl,
  services,
  tcbInfo,
  vcek,
  vendors,
} from '../support/vendor-services.ts'

describe('intel-pcs', () => {
  it('gets every document exactly as it was signed, with its issuer chain', async () => {
    const { intel } = services()
    const info = await intel.fetchEndorsement(tcbInfo)
    const { tcbInfos, qeIdentities, crls } = good.endorsements()
    const signers = [hierarchy.certificates.tcbSigning, hierarchy.certificates.root]
    expect(info.endorsements).toEqual({ ...NO_ENDORSEMENTS, tcbInfos, certificates: signers })
    expect(info.validUntil).toEqual(after(30 * DAY))
    expect((await intel.fetchEndorsement(qeIdentity)).endorsements).toEqual({
      ...NO_ENDORSEMENTS,
      qeIdentities,
      certificates: signers,
    })
    expect((await intel.fetchEndorsement(pckCrl)).endorsements.crls).toEqual([crls[1]])
    expect(await intel.fetchEndorsement(rootCrl)).toMatchObject({
      endorsements: { ...NO_ENDORSEMENTS, crls: [crls[0]] },
      validUntil: after(30 * DAY),
    })
    const pck = await intel.fetchEndorsement(pckCertificate)
    expect(pck.validUntil).toBeUndefined()
    expect(pck.endorsements.certificates[0]).toEqual(hierarchy.certificates.pck)
  })

  it('reads the hexadecimal lists of a PCCS', async () => {
    const pccs = await startFakePcs(() => good, { hexCrls: true })
    try {
      const tools = { http: client, clock: () => NOW, random: systemRandom, sleep: setTimeout }
      const http = createPoliteGetter('intel-pcs', LIMITS, {
        ...tools,
        sleep: async (ms) => setTimeout(ms),
      })
      const endpoints = {
        ...VENDOR_ENDPOINTS,
        pcs: pccs.url,
        intelRootCrl: pccs.url + ROOT_CRL_PATH,
      }
      const intel = createIntelPcs({ http, endpoints, clock: () => NOW, apiKey: undefined })
      for (const need of [pckCrl, rootCrl]) {
        expect((await intel.fetchEndorsement(need)).endorsements.crls).toHaveLength(1)
      }
    } finally {
      await pccs.close()
    }
  })

  it('sends the API key for PCK certificates and with nothing else', async () => {
    const { intel } = services()
    for (const need of [tcbInfo, qeIdentity, pckCrl, rootCrl, pckCertificate]) {
      await intel.fetchEndorsement(need)
    }
    const keys = vendors.pcs.headers.map((headers) => headers['ocp-apim-subscription-key'])
    expect(keys).toEqual([undefined, undefined, undefined, undefined, 'k3y'])
  })

  it('says that a platform is unknown, and asks once for that', async () => {
    const { intel } = services()
    const other: EndorsementNeed = { ...tcbInfo, fmspc: '00806f050000' }
    await expect(intel.fetchEndorsement(other)).rejects.toMatchObject(
      refusal('endorsements.intel-pcs.not_found'),
    )
    expect(vendors.pcs.requests).toHaveLength(1)
  })

  it('refuses documents that are past their date when they come', async () => {
    vendors.pki = endorseHierarchy(hierarchy, { now: after(-60 * DAY) })
    const { intel } = services()
    for (const need of [tcbInfo, qeIdentity, pckCrl, rootCrl]) {
      await expect(intel.fetchEndorsement(need)).rejects.toMatchObject(
        refusal('endorsements.intel-pcs.stale'),
      )
    }
  })
})

describe('amd-kds', () => {
  it('gets a VCEK that names the chip and the TCB, its chain, and the list', async () => {
    const services_ = services()
    const answer = await services_.amd.fetchEndorsement(vcek(1))
    expect(answer.validUntil).toBeUndefined()
    expect(answer.endorsements.certificates).toHaveLength(1)
    const path = await services_.amd.fetchEndorsement(chain)
    expect(path.endorsements.certificates).toEqual([amd.ask.der, amd.ark.der])
    const list = await services_.amd.fetchEndorsement(amdCrl)
    expect(list.validUntil).toEqual(after(30 * DAY))
  })

  it('gets the provider’s chain for VLEKs', async () => {
    const answer = await services().amd.fetchEndorsement({ ...chain, key: 'VLEK' })
    expect(answer.endorsements.certificates).toEqual([amd.asvk.der, amd.ark.der])
  })

  it('asks for one VCEK in so long, and for everything else at once', async () => {
    const { amd: paced } = services({ scarceEveryMs: 150 })
    const begun = performance.now()
    const times: number[] = []
    const done = async (need: EndorsementNeed) => {
      await paced.fetchEndorsement(need)
      times.push(performance.now() - begun)
    }
    const others = Promise.all([done(chain), done(amdCrl)])
    await Promise.all([done(vcek(0)), done(vcek(1)), done(vcek(2)), others])
    times.sort((a, b) => a - b)
    expect(times[2]).toBeLessThan(140)
    expect(times[3]).toBeGreaterThanOrEqual(149)
    expect(times[4]).toBeGreaterThanOrEqual(299)
  })

  it('refuses at once what would wait longer than is allowed', async () => {
    const { amd: paced } = services({ scarceEveryMs: 10_000 })
    await paced.fetchEndorsement(vcek(0))
    await expect(paced.fetchEndorsement(vcek(1))).rejects.toMatchObject(
      refusal('endorsements.amd-kds.throttled'),
    )
    expect(vendors.kds.requests).toHaveLength(1)
  })
})
