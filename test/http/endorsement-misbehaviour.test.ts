/** Real HTTP on loopback. The vendors' own services are not reached by any test. */
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { systemRandom } from '../../src/drivers/random.ts'
import { mintVek } from '../../src/testing/index.ts'
import { type Misbehaviour, respond } from '../support/fake-vendor.ts'
import {
  after,
  allVendors,
  amd,
  amdCrl,
  chain,
  chipOf,
  DAY,
  driverRim,
  fmspc,
  good,
  hierarchy,
  LIMITS,
  ocsp,
  pckCertificate,
  pckCrl,
  qeIdentity,
  refusal,
  rootCrl,
  services,
  tcb,
  tcbInfo,
  vcek,
  vendors,
} from '../support/vendor-services.ts'

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

  it.each(ways)('%s: typed, for every vendor', async (_, how, what) => {
    for (const vendor of allVendors()) vendor.misbehave(how)
    const { intel, amd: second, nvidia } = services({ breakAfter: 50 })
    await expect(intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject({
      ...refusal(`endorsements.intel-pcs.${what}`),
      message: expect.stringContaining(new URL(vendors.pcs.url).host) as string,
    })
    await expect(second.fetchEndorsement(vcek())).rejects.toMatchObject({
      ...refusal(`endorsements.amd-kds.${what}`),
      message: expect.stringContaining(new URL(vendors.kds.url).host) as string,
    })
    await expect(nvidia.fetchEndorsement(driverRim)).rejects.toMatchObject({
      ...refusal(`endorsements.nvidia-rim.${what}`),
      message: expect.stringContaining(new URL(vendors.nvidia.rim.url).host) as string,
    })
    await expect(nvidia.fetchEndorsement(ocsp)).rejects.toMatchObject({
      ...refusal(`endorsements.nvidia-ocsp.${what}`),
      message: expect.stringContaining(new URL(vendors.nvidia.ocsp.url).host) as string,
    })
    for (const { requests } of allVendors()) {
      expect(requests.length).toBeLessThanOrEqual(LIMITS.attempts)
    }
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
    for (const vendor of allVendors()) vendor.misbehave(how)
    const both = services()
    const intelNeeds = [tcbInfo, qeIdentity, pckCrl, rootCrl, pckCertificate]
    for (const need of intelNeeds) {
      await expect(both.intel.fetchEndorsement(need)).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: expect.stringMatching(`^endorsements\\.intel-pcs\\.${need.kind}`) as string,
        message: expect.stringContaining(new URL(vendors.pcs.url).host) as string,
      })
    }
    for (const need of [vcek(), chain, amdCrl]) {
      await expect(both.amd.fetchEndorsement(need)).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: expect.stringMatching(`^endorsements\\.amd-kds\\.${need.kind}`) as string,
      })
    }
    for (const [need, name] of [
      [driverRim, 'rim'],
      [ocsp, 'ocsp'],
    ] as const) {
      await expect(both.nvidia.fetchEndorsement(need)).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: expect.stringMatching(`^endorsements\\.nvidia-${name}\\.${need.kind}`) as string,
        message: expect.stringContaining(new URL(vendors.nvidia[name].url).host) as string,
      })
      expect(vendors.nvidia[name].requests).toHaveLength(1)
    }
    expect(vendors.pcs.requests).toHaveLength(intelNeeds.length)
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
      vendors.kds.misbehave(lie(der))
      await expect(both.amd.fetchEndorsement(vcek())).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
      })
    }
    const { tcbInfos, crls } = good.endorsements()
    const text = new TextDecoder().decode(tcbInfos[0]?.body)
    vendors.pcs.misbehave((response, answer) => {
      const body = `{"tcbInfo":${text.replace(fmspc, '00806f050000')},"signature":"00"}`
      respond(response, { ...answer, body })
    })
    await expect(both.intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
    vendors.pcs.misbehave(lie(crls[1] ?? ''))
    await expect(both.intel.fetchEndorsement(rootCrl)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
  })

  it('leaves the issuer chain out, or sends one that is none: refused', async () => {
    const { intel } = services()
    for (const value of [undefined, '', 'hello', '%', `-----BEGIN CERTIFICATE-----`]) {
      vendors.pcs.misbehave((response, answer) => {
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
    vendors.pcs.misbehave(failing(500, {}))
    await intel.fetchEndorsement(tcbInfo)
    expect(vendors.pcs.requests).toHaveLength(3)
    left = 1
    vendors.pcs.misbehave(failing(429, { 'retry-after': '60' }))
    const begun = performance.now()
    await intel.fetchEndorsement(tcbInfo)
    expect(performance.now() - begun).toBeGreaterThanOrEqual(199)
  })

  it('is down: after so many failures nobody asks it, until one finds it well again', async () => {
    const { intel } = services({ attempts: 1, breakAfter: 3, breakMs: 200 })
    vendors.pcs.misbehave(status(500))
    for (let i = 0; i < 3; i++) {
      await expect(intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject(
        refusal('endorsements.intel-pcs.failing'),
      )
    }
    await expect(intel.fetchEndorsement(qeIdentity)).rejects.toMatchObject(
      refusal('endorsements.intel-pcs.circuit'),
    )
    expect(vendors.pcs.requests).toHaveLength(3)
    await setTimeout(260)
    await expect(intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject(
      refusal('endorsements.intel-pcs.failing'),
    )
    await expect(intel.fetchEndorsement(tcbInfo)).rejects.toMatchObject(
      refusal('endorsements.intel-pcs.circuit'),
    )
    vendors.pcs.misbehave(undefined)
    await setTimeout(260)
    await intel.fetchEndorsement(tcbInfo)
    await intel.fetchEndorsement(qeIdentity)
    expect(vendors.pcs.requests).toHaveLength(6)
  })

  it('is slow: only so many wait for it', async () => {
    const { intel } = services({ attempts: 1, concurrency: 1, queue: 1, attemptMs: 200 })
    vendors.pcs.misbehave(() => undefined)
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
