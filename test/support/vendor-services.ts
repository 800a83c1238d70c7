/** Both vendors' drivers over real HTTP on loopback. The vendors' own services are not reached. */
import { setTimeout } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { toHex } from '../../src/core/bytes/hex.ts'
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
import { startFakeKds } from './fake-kds.ts'
import { ROOT_CRL_PATH, startFakePcs } from './fake-pcs.ts'
import type { FakeVendor } from './fake-vendor.ts'

export const NOW = new Date('2026-09-01T12:00:00Z')
export const DAY = 24 * 60 * 60 * 1000
export const after = (ms: number): Date => new Date(NOW.getTime() + ms)
export const hierarchy = mintHierarchy({ now: NOW })
export const good = endorseHierarchy(hierarchy, { now: NOW })
export const amd = mintAmdPki('Milan', {
  notBefore: after(-DAY),
  notAfter: after(900 * DAY),
  rsaBits: 2048,
})
export const tcb = Uint8Array.of(4, 0, 0, 0, 0, 0, 24, 219)
export const fmspc = toHex(good.platform.fmspc)

export const tcbInfo = {
  kind: 'tdx-tcb-info',
  fmspc,
  feed: 'standard',
} as const satisfies EndorsementNeed
export const qeIdentity = {
  kind: 'td-qe-identity',
  feed: 'standard',
} as const satisfies EndorsementNeed
export const pckCrl = { kind: 'pck-crl', ca: 'platform' } as const satisfies EndorsementNeed
export const rootCrl = { kind: 'intel-root-crl' } as const satisfies EndorsementNeed
export const pckCertificate = {
  kind: 'pck-certificate',
  encryptedPpid: '07'.repeat(384),
  cpuSvn: toHex(good.platform.cpuSvn),
  pceSvn: 13,
  pceId: '0000',
} as const satisfies EndorsementNeed
export const vcek = (n = 0): EndorsementNeed => ({
  kind: 'vcek',
  product: 'Milan',
  hwid: toHex(chipOf(n)),
  tcb: toHex(tcb),
})
export const chipOf = (n: number): Uint8Array => mintChipId('Milan').with(0, n)
export const chain = {
  kind: 'vek-chain',
  product: 'Milan',
  key: 'VCEK',
} as const satisfies EndorsementNeed
export const amdCrl = {
  kind: 'amd-crl',
  product: 'Milan',
  key: 'VCEK',
} as const satisfies EndorsementNeed

export const LIMITS: PoliteLimits = {
  ...DEFAULT_POLITE_LIMITS,
  attemptMs: 300,
  attempts: 2,
  backoffMs: 10,
  maxBackoffMs: 20,
  retryAfterCapMs: 200,
  maxWaitMs: 500,
}

export const client = createHttpClient()
/** What the fake services are, started for each file that imports this. */
export const vendors: { pki: IntelPki; pcs: FakeVendor; kds: FakeVendor } = {
  pki: good,
  pcs: undefined as never,
  kds: undefined as never,
}
let started = 0

beforeAll(async () => {
  const dates = { notBefore: after(-DAY), notAfter: after(900 * DAY) }
  const chips = [0, 1, 2, 3, 4].map((n) => {
    const chipId = chipOf(n)
    return { hwid: chipId, tcb, vcek: mintVek(amd, { kind: 'VCEK', ...dates, tcb, chipId }).der }
  })
  const crl = { thisUpdate: after(-DAY), nextUpdate: after(30 * DAY) }
  vendors.pcs = await startFakePcs(() => vendors.pki)
  vendors.kds = await startFakeKds({ pki: amd, chips, crl })
})
afterAll(async () => {
  await vendors.pcs.close()
  await vendors.kds.close()
  await client.close()
})
beforeEach(() => {
  started = performance.now()
})
afterEach(() => {
  // Every outcome, good or bad, comes in bounded time.
  expect(performance.now() - started).toBeLessThan(5_000)
  vendors.pki = good
  for (const vendor of [vendors.pcs, vendors.kds]) {
    vendor.misbehave(undefined)
    vendor.requests.length = 0
    vendor.headers.length = 0
  }
})

interface Both {
  readonly intel: EndorsementService
  readonly amd: EndorsementService
}

export const services = (limits: Partial<PoliteLimits> = {}): Both => {
  const tools = {
    http: client,
    clock: () => new Date(NOW.getTime() + performance.now()),
    random: systemRandom,
    sleep: async (ms: number) => setTimeout(ms),
  }
  const { pcs, kds } = vendors
  const endpoints = { pcs: pcs.url, intelRootCrl: pcs.url + ROOT_CRL_PATH, kds: kds.url }
  const { clock } = tools
  const getter = (name: string) => createPoliteGetter(name, { ...LIMITS, ...limits }, tools)
  return {
    intel: createIntelPcs({ http: getter('intel-pcs'), endpoints, clock, apiKey: 'k3y' }),
    amd: createAmdKds({ http: getter('amd-kds'), endpoints, clock }),
  }
}

export const refusal = (at: string, code = 'ERR_ENDORSEMENT_UNAVAILABLE') => ({ code, at })
