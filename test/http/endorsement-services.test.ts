/** Real HTTP on loopback. The vendors' own services are not reached by any test. */
import { setTimeout } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { toHex } from '../../src/core/bytes/hex.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../../src/core/endorsements/needs.ts'
import type { EndorsementService } from '../../src/core/ports/endorsement-service.ts'
import { createAmdKds } from '../../src/drivers/endorsements/amd-kds.ts'
import { createIntelPcs } from '../../src/drivers/endorsements/intel-pcs.ts'
import {
  createPoliteGetter,
  DEFAULT_POLITE_LIMITS,
  type PoliteLimits,
} from '../../src/drivers/endorsements/polite.ts'
import { createHttpClient } from '../../src/drivers/http.ts'
import { systemRandom } from '../../src/drivers/random.ts'
import {
  endorseHierarchy,
  type IntelPki,
  mintAmdPki,
  mintChipId,
  mintHierarchy,
  mintVek,
} from '../../src/testing/index.ts'
import { startFakeKds } from '../support/fake-kds.ts'
import { ROOT_CRL_PATH, startFakePcs } from '../support/fake-pcs.ts'
import { type FakeVendor, type Misbehaviour, respond } from '../support/fake-vendor.ts'

const NOW = new Date('2026-09-01T12:00:00Z')
const DAY = 24 * 60 * 60 * 1000
const after = (ms: number): Date => new Date(NOW.getTime() + ms)
const hierarchy = mintHierarchy({ now: NOW })
const good = endorseHierarchy(hierarchy, { now: NOW })
const amd = mintAmdPki('Milan', {
  notBefore: after(-DAY),
  notAfter: after(900 * DAY),
  rsaBits: 2048,
})
const tcb = Uint8Array.of(4, 0, 0, 0, 0, 0, 24, 219)
const fmspc = toHex(good.platform.fmspc)

const tcbInfo: EndorsementNeed = { kind: 'tdx-tcb-info', fmspc, feed: 'standard' }
const qeIdentity: EndorsementNeed = { kind: 'td-qe-identity', feed: 'standard' }
const pckCrl: EndorsementNeed = { kind: 'pck-crl', ca: 'platform' }
const rootCrl: EndorsementNeed = { kind: 'intel-root-crl' }
const pckCertificate: EndorsementNeed = {
  kind: 'pck-certificate',
  encryptedPpid: '07'.repeat(384),
  cpuSvn: toHex(good.platform.cpuSvn),
  pceSvn: 13,
  pceId: '0000',
}
const vcek = (n = 0): EndorsementNeed => ({
  kind: 'vcek',
  product: 'Milan',
  hwid: toHex(chipOf(n)),
  tcb: toHex(tcb),
})
const chipOf = (n: number): Uint8Array => mintChipId('Milan').with(0, n)
const chain: EndorsementNeed = { kind: 'vek-chain', product: 'Milan', key: 'VCEK' }
const amdCrl: EndorsementNeed = { kind: 'amd-crl', product: 'Milan', key: 'VCEK' }

const LIMITS: PoliteLimits = {
  ...DEFAULT_POLITE_LIMITS,
  attemptMs: 300,
  attempts: 2,
  backoffMs: 10,
  maxBackoffMs: 20,
  retryAfterCapMs: 200,
  maxWaitMs: 500,
}

const client = createHttpClient()
let pki: IntelPki = good
let pcs: FakeVendor
let kds: FakeVendor
let started = 0

beforeAll(async () => {
  const dates = { notBefore: after(-DAY), notAfter: after(900 * DAY) }
  const chips = [0, 1, 2, 3, 4].map((n) => {
    const chipId = chipOf(n)
    return { hwid: chipId, tcb, vcek: mintVek(amd, { kind: 'VCEK', ...dates, tcb, chipId }).der }
  })
  const crl = { thisUpdate: after(-DAY), nextUpdate: after(30 * DAY) }
  pcs = await startFakePcs(() => pki)
  kds = await startFakeKds({ pki: amd, chips, crl })
})
afterAll(async () => {
  await pcs.close()
  await kds.close()
  await client.close()
})
beforeEach(() => {
  started = performance.now()
})
afterEach(() => {
  // Every outcome, good or bad, comes in bounded time.
  expect(performance.now() - started).toBeLessThan(5_000)
  pki = good
  for (const vendor of [pcs, kds]) {
    vendor.misbehave(undefined)
    vendor.requests.length = 0
    vendor.headers.length = 0
  }
})

interface Both {
  readonly intel: EndorsementService
  readonly amd: EndorsementService
}

const services = (limits: Partial<PoliteLimits> = {}): Both => {
  const tools = {
    http: client,
    clock: () => new Date(NOW.getTime() + performance.now()),
    random: systemRandom,
    sleep: async (ms: number) => setTimeout(ms),
  }
  const endpoints = { pcs: pcs.url, intelRootCrl: pcs.url + ROOT_CRL_PATH, kds: kds.url }
  const { clock } = tools
  const getter = (name: string) => createPoliteGetter(name, { ...LIMITS, ...limits }, tools)
  return {
    intel: createIntelPcs({ http: getter('intel-pcs'), endpoints, clock, apiKey: 'k3y' }),
    amd: createAmdKds({ http: getter('amd-kds'), endpoints, clock }),
  }
}

const refusal = (at: string, code = 'ERR_ENDORSEMENT_UNAVAILABLE') => ({ code, at })

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
      const endpoints = { pcs: pccs.url, intelRootCrl: pccs.url + ROOT_CRL_PATH, kds: '' }
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
    const keys = pcs.headers.map((headers) => headers['ocp-apim-subscription-key'])
    expect(keys).toEqual([undefined, undefined, undefined, undefined, 'k3y'])
  })

  it('says that a platform is unknown, and asks once for that', async () => {
    const { intel } = services()
    const other: EndorsementNeed = { ...tcbInfo, fmspc: '00806f050000' }
    await expect(intel.fetchEndorsement(other)).rejects.toMatchObject(
      refusal('endorsements.intel-pcs.not_found'),
    )
    expect(pcs.requests).toHaveLength(1)
  })

  it('refuses documents that are past their date when they come', async () => {
    pki = endorseHierarchy(hierarchy, { now: after(-60 * DAY) })
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
    expect(kds.requests).toHaveLength(1)
  })
})

describe('a service that misbehaves', () => {
  const status =
    (code: number, headers: Readonly<Record<string, string>> = {}): Misbehaviour =>
    (response) => {
      response.writeHead(code, headers).end('no')
    }
  const page: Misbehaviour = (response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><h1>Sign in</h1>')
  }
  const ways: readonly (readonly [string, Misbehaviour, string])[] = [
    ['stalls before the headers', () => undefined, 'unreachable'],
    [
      'stalls in the body',
      (response) => {
        response.writeHead(200).write('{"tcb')
      },
      'unreachable',
    ],
    [
      'hangs up',
      (response) => {
        response.destroy()
      },
      'unreachable',
    ],
    [
      'truncates the body',
      (response, answer) => {
        const body = Buffer.from(answer?.body ?? '')
        response.writeHead(200, { ...answer?.headers, 'content-length': `${body.length}` })
        response.write(body.subarray(0, body.length / 2), () => response.destroy())
      },
      'unreachable',
    ],
    [
      'sends 100 MB',
      (response) => {
        response.writeHead(200)
        const part = Buffer.alloc(1 << 20)
        let left = 100
        const more = (): void => {
          if (response.destroyed) return
          if (left-- === 0) response.end()
          else if (response.write(part)) setImmediate(more)
          else response.once('drain', more)
        }
        more()
      },
      'unreachable',
    ],
    ['redirects', status(302, { location: 'http://127.0.0.1:1/' }), 'redirected'],
    ['throttles', status(429, { 'retry-after': '1' }), 'throttled'],
    ['throttles for a day', status(429, { 'retry-after': '86400' }), 'throttled'],
    ['throttles in words', status(429, { 'retry-after': 'soon' }), 'throttled'],
    ['wants credentials', status(401), 'refused'],
    ['fails', status(500), 'failing'],
    ['is in maintenance', status(503, { 'retry-after': '1' }), 'failing'],
    ['does not know', status(404), 'not_found'],
  ]

  it.each(ways)('%s: typed, for both vendors', async (_, how, what) => {
    for (const vendor of [pcs, kds]) vendor.misbehave(how)
    const { intel, amd: second } = services({ breakAfter: 50 })
    await expect(intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject({
      ...refusal(`endorsements.intel-pcs.${what}`),
      message: expect.stringContaining(new URL(pcs.url).host) as string,
    })
    await expect(second.fetchEndorsement(vcek())).rejects.toMatchObject({
      ...refusal(`endorsements.amd-kds.${what}`),
      message: expect.stringContaining(new URL(kds.url).host) as string,
    })
    expect(pcs.requests.length).toBeLessThanOrEqual(LIMITS.attempts)
  })

  const bodies: readonly (readonly [string, Misbehaviour])[] = [
    ['a page of HTML', page],
    [
      'other JSON',
      (response, answer) => {
        respond(response, { ...answer, body: '{"error":"quota"}' })
      },
    ],
    [
      'nothing',
      (response, answer) => {
        respond(response, { ...answer, body: '' })
      },
    ],
    [
      'half of it as if it were all',
      (response, answer) => {
        const body = Buffer.from(answer?.body ?? '')
        respond(response, { ...answer, body: body.subarray(0, body.length >> 1) })
      },
    ],
    [
      'random bytes',
      (response, answer) => {
        respond(response, { ...answer, body: systemRandom(2_000) })
      },
    ],
  ]

  it.each(bodies)('answers with %s: refused, never retried', async (_, how) => {
    for (const vendor of [pcs, kds]) vendor.misbehave(how)
    const both = services()
    const intelNeeds = [tcbInfo, qeIdentity, pckCrl, rootCrl, pckCertificate]
    for (const need of intelNeeds) {
      await expect(both.intel.fetchEndorsement(need)).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: expect.stringMatching(`^endorsements\\.intel-pcs\\.${need.kind}`) as string,
        message: expect.stringContaining(new URL(pcs.url).host) as string,
      })
    }
    for (const need of [vcek(), chain, amdCrl]) {
      await expect(both.amd.fetchEndorsement(need)).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: expect.stringMatching(`^endorsements\\.amd-kds\\.${need.kind}`) as string,
      })
    }
    expect(pcs.requests).toHaveLength(intelNeeds.length)
  })

  it('answers for another platform: refused', async () => {
    const lie =
      (body: Uint8Array | string): Misbehaviour =>
      (response, answer) => {
        respond(response, { ...answer, body })
      }
    const both = services()
    const other = mintVek(amd, {
      kind: 'VCEK',
      notBefore: after(-DAY),
      notAfter: after(DAY),
      tcb,
      chipId: chipOf(77),
    }).der
    const older = mintVek(amd, {
      kind: 'VCEK',
      notBefore: after(-DAY),
      notAfter: after(DAY),
      tcb: tcb.with(7, 218),
      chipId: chipOf(0),
    }).der
    for (const der of [other, older, amd.ask.der, hierarchy.certificates.pck]) {
      kds.misbehave(lie(der))
      await expect(both.amd.fetchEndorsement(vcek())).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
      })
    }
    const { tcbInfos, crls } = good.endorsements()
    const text = new TextDecoder().decode(tcbInfos[0]?.body)
    pcs.misbehave((response, answer) => {
      const body = `{"tcbInfo":${text.replace(fmspc, '00806f050000')},"signature":"00"}`
      respond(response, { ...answer, body })
    })
    await expect(both.intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
    pcs.misbehave(lie(crls[1] ?? ''))
    await expect(both.intel.fetchEndorsement(rootCrl)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
  })

  it('leaves the issuer chain out, or sends one that is none: refused', async () => {
    const { intel } = services()
    for (const value of [undefined, '', 'hello', '%', `-----BEGIN CERTIFICATE-----`]) {
      pcs.misbehave((response, answer) => {
        const headers = value === undefined ? {} : { 'TCB-Info-Issuer-Chain': value }
        respond(response, { body: answer?.body ?? '', headers })
      })
      await expect(intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: 'endorsements.intel-pcs.tdx-tcb-info.issuer_chain',
      })
    }
  })

  it('comes back: retried after 5xx, and after a 429 no earlier than it said', async () => {
    const { intel } = services({ attempts: 3, retryAfterCapMs: 200 })
    let left = 2
    const failing =
      (code: number, headers: Readonly<Record<string, string>>): Misbehaviour =>
      (response, answer) => {
        if (left-- > 0) response.writeHead(code, headers).end()
        else respond(response, answer)
      }
    pcs.misbehave(failing(500, {}))
    await intel.fetchEndorsement(tcbInfo)
    expect(pcs.requests).toHaveLength(3)
    left = 1
    pcs.misbehave(failing(429, { 'retry-after': '60' }))
    const begun = performance.now()
    await intel.fetchEndorsement(tcbInfo)
    expect(performance.now() - begun).toBeGreaterThanOrEqual(199)
  })

  it('is down: after so many failures nobody asks it, until one finds it well again', async () => {
    const { intel } = services({ attempts: 1, breakAfter: 3, breakMs: 200 })
    pcs.misbehave(status(500))
    for (let i = 0; i < 3; i++) {
      await expect(intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject(
        refusal('endorsements.intel-pcs.failing'),
      )
    }
    await expect(intel.fetchEndorsement(qeIdentity)).rejects.toMatchObject(
      refusal('endorsements.intel-pcs.circuit'),
    )
    expect(pcs.requests).toHaveLength(3)
    await setTimeout(260)
    await expect(intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject(
      refusal('endorsements.intel-pcs.failing'),
    )
    await expect(intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject(
      refusal('endorsements.intel-pcs.circuit'),
    )
    pcs.misbehave(undefined)
    await setTimeout(260)
    await intel.fetchEndorsement(tcbInfo)
    await intel.fetchEndorsement(qeIdentity)
    expect(pcs.requests).toHaveLength(6)
  })

  it('is slow: only so many wait for it', async () => {
    const { intel } = services({ attempts: 1, concurrency: 1, queue: 1, attemptMs: 200 })
    pcs.misbehave(() => undefined)
    const outcomes = await Promise.allSettled(
      [tcbInfo, qeIdentity, pckCrl].map(async (need) => intel.fetchEndorsement(need)),
    )
    const ats = outcomes.map((outcome) =>
      outcome.status === 'rejected' ? (outcome.reason as { at: string }).at : 'fulfilled',
    )
    expect(ats).toEqual([
      'endorsements.intel-pcs.unreachable',
      'endorsements.intel-pcs.unreachable',
      'endorsements.intel-pcs.busy',
    ])
  })
})
