/** All vendors' drivers over real HTTP on loopback. The vendors' own services are not reached. */
import { setTimeout } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { toHex } from '../../src/core/bytes/hex.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../../src/core/endorsements/needs.ts'
import { needsOf } from '../../src/core/endorsements/needs-of.ts'
import type { EndorsementService } from '../../src/core/ports/endorsement-service.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createAmdKds } from '../../src/drivers/endorsements/amd-kds.ts'
import { createIntelPcs } from '../../src/drivers/endorsements/intel-pcs.ts'
import { createNvidia } from '../../src/drivers/endorsements/nvidia.ts'
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
  mintNvidiaDevice,
  mintNvidiaEvidence,
  mintNvidiaPki,
  mintOcspAnswers,
  mintRim,
  mintVek,
} from '../../src/testing/index.ts'
import { startFakeKds } from './fake-kds.ts'
import { type FakeNvidia, type NvidiaPublications, startFakeNvidia } from './fake-nvidia.ts'
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

export const nvidia = mintNvidiaPki({ at: NOW })
export const gpu = mintNvidiaDevice(nvidia)
export const driverRim = {
  kind: 'nvidia-rim',
  id: 'NV_GPU_DRIVER_GH100_590.12',
} as const satisfies EndorsementNeed
export const published: NvidiaPublications = {
  rims: {
    [driverRim.id]: mintRim(nvidia, { kind: 'driver' }),
    NV_GPU_VBIOS_G520_0200_885_9600A50001: mintRim(nvidia, { kind: 'vbios' }),
  },
  answers: (nonce) => mintOcspAnswers(nvidia, gpu, () => ({ nonce })),
}
const [romStatus] = (
  await needsOf(
    { format: 'nvidia-gpu', evidence: mintNvidiaEvidence({ device: gpu }) },
    NO_ENDORSEMENTS,
    { feed: 'standard', crypto: createCrypto() },
  )
).filter(({ kind }) => kind === 'ocsp')
if (romStatus === undefined) throw new Error('nothing to ask of OCSP')
/** About the boot ROM's certificate of {@link gpu}. */
export const ocsp: EndorsementNeed = romStatus

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
export const vendors: {
  pki: IntelPki
  pcs: FakeVendor
  kds: FakeVendor
  nvidia: FakeNvidia
  published: NvidiaPublications
} = {
  pki: good,
  pcs: undefined as never,
  kds: undefined as never,
  nvidia: undefined as never,
  published,
}
/** Every fake service. */
export const allVendors = (): readonly FakeVendor[] => [
  vendors.pcs,
  vendors.kds,
  vendors.nvidia.rim,
  vendors.nvidia.ocsp,
]
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
  vendors.nvidia = await startFakeNvidia(() => vendors.published)
})
afterAll(async () => {
  await vendors.pcs.close()
  await vendors.kds.close()
  await vendors.nvidia.close()
  await client.close()
})
beforeEach(() => {
  started = performance.now()
})
afterEach(() => {
  // Every outcome, good or bad, comes in bounded time.
  expect(performance.now() - started).toBeLessThan(5_000)
  vendors.pki = good
  vendors.published = published
  for (const vendor of allVendors()) {
    vendor.misbehave(undefined)
    vendor.requests.length = 0
    vendor.headers.length = 0
  }
})

interface Services {
  readonly intel: EndorsementService
  readonly amd: EndorsementService
  readonly nvidia: EndorsementService
}

export const services = (
  limits: Partial<PoliteLimits> = {},
  ocspNonce: 'required' | 'optional' = 'required',
): Services => {
  const tools = {
    http: client,
    clock: () => new Date(NOW.getTime() + performance.now()),
    random: systemRandom,
    sleep: async (ms: number) => setTimeout(ms),
  }
  const { pcs, kds } = vendors
  const endpoints = {
    pcs: pcs.url,
    intelRootCrl: pcs.url + ROOT_CRL_PATH,
    kds: kds.url,
    nvidiaRim: vendors.nvidia.rim.url,
    nvidiaOcsp: vendors.nvidia.ocsp.url,
  }
  const { clock } = tools
  const getter = (name: string) => createPoliteGetter(name, { ...LIMITS, ...limits }, tools)
  return {
    intel: createIntelPcs({ http: getter('intel-pcs'), endpoints, clock, apiKey: 'k3y' }),
    amd: createAmdKds({ http: getter('amd-kds'), endpoints, clock }),
    nvidia: createNvidia({
      rim: getter('nvidia-rim'),
      ocsp: getter('nvidia-ocsp'),
      endpoints,
      clock,
      random: systemRandom,
      ocspNonce,
    }),
  }
}

export const refusal = (at: string, code = 'ERR_ENDORSEMENT_UNAVAILABLE') => ({ code, at })
