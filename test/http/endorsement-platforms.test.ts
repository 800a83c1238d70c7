/** Genuine certificates of other platforms: what a service that mixes them up can do, and for how long. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import { systemRandom } from '../../src/drivers/random.ts'
import {
  defaultEndorsementSettings,
  type EndorsementServices,
  openEndorsementServices,
} from '../../src/main/endorsements.ts'
import {
  endorseHierarchy,
  type IntelPki,
  mintHierarchy,
  mintTdxQuote,
} from '../../src/testing/index.ts'
import { ROOT_CRL_PATH, startFakePcs } from '../support/fake-pcs.ts'
import type { FakeVendor } from '../support/fake-vendor.ts'

const START = new Date('2026-09-01T12:00:00Z')
const MINUTE = 60_000
const ours = mintHierarchy({ now: START, platform: { cpuSvn: new Uint8Array(16).fill(5) } })
const mine = endorseHierarchy(ours, { now: START })
/** A certificate of the same CA, for another key. */
const issued = (platform: Partial<IntelPki['platform']> = {}): IntelPki => {
  const { pck } = mintHierarchy({ now: START }).keys
  const keys = { ...ours.keys, pck }
  const made = mintHierarchy({ now: START, keys, platform: { ...ours.platform, ...platform } })
  const certificates = { ...ours.certificates, pck: made.certificates.pck }
  return { ...mine, keys, certificates, platform: made.platform }
}
/** Of the same model and TCB: nothing in their certificates tells them apart that a quote has in clear. */
const theirs = issued()
const { cpuSvn, pceSvn, pceId } = ours.platform
const data = Uint8Array.from([...new Uint8Array(384).fill(7), ...cpuSvn, pceSvn, 0, ...pceId])
const certification = { type: 3, data }
const quote = mintTdxQuote(mine, { certification })
/** By the key of a platform of one's own, and by no key that anybody certified. */
const otherQuote = mintTdxQuote(theirs, { certification })
const forged = mintTdxQuote(mine, { certification, pckKey: issued().keys.pck })

let directory: string
let pcs: FakeVendor
let services: EndorsementServices
let now: number
let answer: IntelPki
let faults: unknown[]

const open = (use: 'online' | 'cache' = 'online'): EndorsementServices =>
  openEndorsementServices(
    {
      ...defaultEndorsementSettings(),
      ...{ use, pcs: pcs.url, intelRootCrl: pcs.url + ROOT_CRL_PATH, attemptSeconds: 1 },
    },
    {
      cachePath: join(directory, 'endorsements.sqlite'),
      clock: () => new Date(now),
      random: systemRandom,
      onFault: (fault) => faults.push(fault),
      anchors: { ...VENDOR_ANCHORS, intel: [mine.anchor] },
    },
  )
/** Whose certificate is handed out for a quote. */
const certified = async (evidence: Uint8Array, by = services): Promise<string> => {
  const local = { endorsementsFor: async () => Promise.resolve(NO_ENDORSEMENTS) }
  const found = await by.sourceOver(local, {}).endorsementsFor({ format: 'tdx', evidence })
  const has = ({ certificates }: IntelPki) =>
    found.certificates.some((der) => Buffer.compare(der, certificates.pck) === 0)
  return [has(mine) ? 'mine' : '', has(theirs) ? 'theirs' : ''].join('')
}
const asked = (): number => pcs.requests.filter((path) => path.includes('pckcert?')).length

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-platforms-'))
  pcs = await startFakePcs(() => answer)
  now = START.getTime()
  answer = mine
  faults = []
  services = open()
})
afterEach(async () => {
  await services.close()
  await pcs.close()
  rmSync(directory, { recursive: true })
})

describe('a PCK certificate of another platform', () => {
  it('goes as soon as the service has the right one, and for good', async () => {
    answer = theirs
    expect(await certified(quote)).toBe('theirs')
    answer = mine
    expect(await certified(quote)).toBe('mine')
    expect(asked()).toBe(2)
    now += 20 * 24 * 60 * MINUTE
    expect(await certified(quote)).toBe('mine')
    expect(asked()).toBe(2)
    await services.close()
    services = open('cache')
    expect(await certified(quote)).toBe('mine')
  })

  it('is also noticed after a restart', async () => {
    answer = theirs
    await certified(quote)
    await services.close()
    services = open()
    answer = mine
    expect(await certified(quote)).toBe('mine')
  })

  it('is asked about once for many, and then once a minute', async () => {
    answer = theirs
    await certified(quote)
    const many = async () => Promise.all([1, 2, 3, 4].map(async () => certified(quote)))
    expect(await many()).toEqual(['theirs', 'theirs', 'theirs', 'theirs'])
    expect(asked()).toBe(2)
    answer = mine
    now += MINUTE - 1
    expect(await certified(quote)).toBe('theirs')
    now += 1
    expect(await many()).toEqual(['mine', 'mine', 'mine', 'mine'])
    expect(asked()).toBe(3)
  })

  it('stays while the service is away, and the fault is told', async () => {
    answer = theirs
    await certified(quote)
    pcs.misbehave((response) => {
      response.writeHead(404).end()
    })
    expect(await certified(quote)).toBe('theirs')
    expect(faults).toMatchObject([{ at: 'endorsements.intel-pcs.not_found' }])
  })

  it('does not take the place of the right one, whatever somebody sends', async () => {
    expect(await certified(quote)).toBe('mine')
    for (const evidence of [forged, otherQuote, forged]) {
      now += MINUTE
      answer = evidence === forged ? theirs : mine
      expect(await certified(evidence)).toBe('mine')
    }
    expect(await certified(quote)).toBe('mine')
    expect(asked()).toBe(4)
  })

  it('is no reason to ask where nobody may be asked', async () => {
    answer = theirs
    await certified(quote)
    await services.close()
    services = open('cache')
    expect(await certified(quote)).toBe('theirs')
    expect(faults).toEqual([])
  })
})

describe('a PCK certificate that cannot be this platform’s', () => {
  it.each([
    ['of another PCE', { pceId: Uint8Array.of(1, 0) }],
    ['of a later PCESVN', { pceSvn: pceSvn + 1 }],
    ['with a higher SVN', { cpuSvn: cpuSvn.with(3, 255) }],
  ])('is refused: %s', async (_, platform) => {
    answer = issued(platform)
    await expect(certified(quote)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
      at: expect.stringContaining('pck-certificate') as unknown,
    })
  })

  it('of an earlier TCB is what Intel answers where it has no better one, and is asked for again', async () => {
    answer = issued({ pceSvn: pceSvn - 1 })
    expect(await certified(quote)).toBe('')
    answer = mine
    expect(await certified(quote)).toBe('mine')
  })
})
