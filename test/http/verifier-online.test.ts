/** A verifier that fetches endorsements by itself, over real HTTP on loopback. */
import type { LightMyRequestResponse } from 'fastify'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { endorsementsToJson, NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import { reportData, statementText } from '../../src/core/sealing/statement.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { defaultEndorsementSettings } from '../../src/main/endorsements.ts'
import {
  mintAmdCrl,
  mintAmdPki,
  mintChipId,
  mintIntelPki,
  mintSnpReport,
  mintTdxQuote,
  mintVek,
} from '../../src/testing/index.ts'
import { startFakeKds } from '../support/fake-kds.ts'
import { ROOT_CRL_PATH, startFakePcs } from '../support/fake-pcs.ts'
import type { FakeVendor } from '../support/fake-vendor.ts'
import { KEYSET, NOW, VerifierFixture } from '../support/verifier.ts'

const DAY = 24 * 60 * 60 * 1000
const dates = {
  notBefore: new Date(NOW.getTime() - DAY),
  notAfter: new Date(NOW.getTime() + 900 * DAY),
}
const LIST = { thisUpdate: dates.notBefore, nextUpdate: new Date(NOW.getTime() + 30 * DAY) }
const intel = mintIntelPki({ now: NOW })
const amd = mintAmdPki('Genoa', { ...dates, rsaBits: 2048 })
const vcek = mintVek(amd, { kind: 'VCEK', ...dates })

let pcs: FakeVendor
let kds: FakeVendor
let verifier: VerifierFixture

beforeEach(async () => {
  const report = mintSnpReport({ product: 'Genoa' })
  const chips = [
    { hwid: report.slice(0x1a0, 0x1e0), tcb: report.slice(0x180, 0x188), vcek: vcek.der },
  ]
  pcs = await startFakePcs(() => intel)
  kds = await startFakeKds({ pki: amd, chips, crl: LIST })
  verifier = await VerifierFixture.start({ endorsementServices: services() })
})
afterEach(async () => {
  await verifier.end()
  await pcs.close()
  await kds.close()
})

const services = () =>
  ({
    ...defaultEndorsementSettings(),
    use: 'online',
    pcs: pcs.url,
    intelRootCrl: pcs.url + ROOT_CRL_PATH,
    kds: kds.url,
    attemptSeconds: 1,
    // The clock of the fixture stands still, so a turn in ten seconds would never come.
    waitSeconds: 1,
  }) as const

const snpBody = async (nonce: string): Promise<Record<string, unknown>> => {
  const statement = statementText({ keysetDigest: KEYSET, nonce })
  const data = await reportData(statement, createCrypto())
  const fields = { reportData: data }
  const evidence = mintSnpReport({ product: 'Genoa', key: vcek.key, fields })
  return bodyOf(nonce, statement, { format: 'sev-snp', evidence })
}
const bodyOf = (
  nonce: string,
  statement: string,
  { format, evidence }: { readonly format: string; readonly evidence: Uint8Array },
): Record<string, unknown> => ({
  nonce,
  statement,
  policy: `${format}-strict`,
  evidence: [{ format, evidence: toBase64url(evidence) }],
  endorsements: endorsementsToJson(NO_ENDORSEMENTS),
})
/** What the last answer says of `<prefix>.endorsements.age`, and what the log has for its replay. */
const ageIn = (answer: LightMyRequestResponse): unknown => {
  const { checks } = answer.json<{ checks: readonly { id: string; actual: string }[] }>()
  return checks.find(({ id }) => id.endsWith('.endorsements.age'))?.actual
}
const logged = async (): Promise<string> => {
  const leaf = verifier.leaves.at(-1)
  if (leaf?.type !== 'appraisal') throw new Error('no appraisal')
  return new TextDecoder().decode(await verifier.blobs.get(leaf.endorsements))
}

describe('a verifier with services', () => {
  it('asks for what a report needs, judges by it, and logs it for replay', async () => {
    const answer = await verifier.post(await snpBody(await verifier.challenge()))
    expect(answer.statusCode).toBe(200)
    const { checks } = answer.json<{ checks: readonly { id: string; outcome: string }[] }>()
    const of = (id: string) => checks.find((check) => check.id === id)?.outcome
    expect(of('snp.signature.report')).toBe('pass')
    // Its root is minted, and production pins AMD's: fetched is not trusted.
    expect(answer.json()).toMatchObject({ tier: 'contraindicated' })
    // AMD's own signing certificates ship, but the service's answer is asked for all the same.
    expect(kds.requests.map((path) => path.split(/[/?]/)[4]?.slice(0, 10)).sort()).toEqual(
      [Buffer.from(mintChipId('Genoa')).toString('hex').slice(0, 10), 'cert_chain', 'crl'].sort(),
    )
    expect(await logged()).toContain(Buffer.from(vcek.der).toString('base64'))
  })

  it('says in the verdict when it asked, and in the log for the replay', async () => {
    const at = NOW.getTime() / 1000
    const post = async () => verifier.post(await snpBody(await verifier.challenge()))
    expect(ageIn(await post())).toBe('asked for at 2026-11-23T12:00:00Z, 0 s before')
    expect(JSON.parse(await logged())).toMatchObject({ asked: { at, expired: [] } })
    verifier.now = new Date(NOW.getTime() + 50_000)
    expect(ageIn(await post())).toBe('asked for at 2026-11-23T12:00:00Z, 50 s before')
  })

  it('takes nobody else’s word for when it was', async () => {
    const body = await snpBody(await verifier.challenge())
    const asked = { at: NOW.getTime() / 1000, expired: [] }
    const endorsements = { ...(body['endorsements'] as object), asked }
    const answer = await verifier.post({ ...body, endorsements })
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({ code: 'ERR_REQUEST_INVALID', at: 'body.endorsements' })
  })

  it('says that it could not ask, where what came along had to do', async () => {
    const body = await snpBody(await verifier.challenge())
    kds.misbehave((response) => {
      response.writeHead(500).end()
    })
    const crl = mintAmdCrl(amd, LIST)
    const certificates = [vcek.der, amd.ask.der, amd.ark.der]
    const endorsements = endorsementsToJson({ ...NO_ENDORSEMENTS, certificates, crls: [crl] })
    const answer = await verifier.post({ ...body, endorsements })
    expect(answer.statusCode).toBe(200)
    expect(ageIn(answer)).toBe('not known when they were asked for')
    expect(JSON.parse(await logged())).toMatchObject({ asked: { at: 0, expired: [] } })
  })

  it('says what it handed out past its date, where the operator allows that', async () => {
    await verifier.end()
    verifier = await VerifierFixture.start({
      endorsementServices: { ...services(), allowExpiredSeconds: 2 * 24 * 60 * 60 },
    })
    // What is no pinned root's is asked for again in the background, and AMD is away by then.
    verifier.onFault = () => undefined
    const post = async () => verifier.post(await snpBody(await verifier.challenge()))
    expect((await post()).statusCode).toBe(200)
    kds.misbehave((response) => {
      response.writeHead(500).end()
    })
    verifier.now = new Date(LIST.nextUpdate.getTime() + DAY)
    const answer = await post()
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toMatchObject({ tier: 'contraindicated' })
    expect(ageIn(answer)).toBe(
      `asked for at 2026-11-23T12:00:00Z, ${31 * 24 * 60 * 60} s before; handed out past their date: VCEK CRL of Genoa`,
    )
    expect(JSON.parse(await logged())).toMatchObject({ asked: { expired: ['VCEK CRL of Genoa'] } })
  })

  it('asks once for many, and not again after a restart', async () => {
    const post = async () => verifier.post(await snpBody(await verifier.challenge()))
    const answers = await Promise.all([post(), post(), post(), post()])
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200])
    const asked = kds.requests.length
    await verifier.restart()
    expect((await post()).statusCode).toBe(200)
    expect(kds.requests).toHaveLength(asked)
    expect(new Set(kds.requests).size).toBe(asked)
  })

  it('says 503 and whose fault it is when the vendor is away, and works when it is back', async () => {
    kds.misbehave((response) => {
      response.writeHead(500).end()
    })
    const refused = await verifier.post(await snpBody(await verifier.challenge()))
    expect(refused.statusCode).toBe(503)
    expect(refused.json()).toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'endorsements.amd-kds.failing',
    })
    expect(refused.headers['retry-after']).toBeDefined()
    expect(verifier.leaves.filter(({ type }) => type === 'appraisal')).toEqual([])
    kds.misbehave(undefined)
    verifier.now = new Date(NOW.getTime() + 60_000)
    expect((await verifier.post(await snpBody(await verifier.challenge()))).statusCode).toBe(200)
  })

  it('asks Intel for a quote, and refuses a quote that does not parse without asking', async () => {
    const nonce = await verifier.challenge()
    const statement = statementText({ keysetDigest: KEYSET, nonce })
    const header = { userData: new Uint8Array(20) }
    const evidence = mintTdxQuote(intel, { header })
    const answer = await verifier.post(bodyOf(nonce, statement, { format: 'tdx', evidence }))
    expect(answer.statusCode).toBe(200)
    expect(pcs.requests).toHaveLength(4)
    const second = await verifier.challenge()
    const other = statementText({ keysetDigest: KEYSET, nonce: second })
    const broken = { format: 'tdx', evidence: evidence.subarray(0, 700) }
    expect((await verifier.post(bodyOf(second, other, broken))).statusCode).toBe(400)
    expect(pcs.requests).toHaveLength(4)
  })
})
