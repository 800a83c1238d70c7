/** Strangers who send much along: what a verifier keeps of them, on disk and in memory. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { VerifierFixture } from '../support/verifier.ts'

const MEBIBYTE = 1024 * 1024
const ALLOWED = 4
const RATE = 1000

let verifier: VerifierFixture

beforeEach(async () => {
  verifier = await VerifierFixture.start({ failedMebibytesPerHour: ALLOWED, ratePerMinute: RATE })
})
afterEach(async () => {
  await verifier.end()
})

interface Answer {
  readonly tier?: string
  readonly code?: string
  readonly at?: string
}

/** One appraisal, answered as `{status, ...body}`; `bytes` of endorsements that nobody had before. */
async function ask(options: { readonly debug: boolean; readonly bytes?: number }) {
  const nonce = await verifier.challenge()
  const body = await verifier.bodyFor(nonce, await verifier.attester({ debug: options.debug }))
  const junk = Array.from({ length: (options.bytes ?? 0) / 65_536 }, () =>
    randomBytes(65_536).toString('base64'),
  )
  const given = body['endorsements'] as { readonly certificates: readonly string[] }
  const endorsements = { ...given, certificates: [...given.certificates, ...junk] }
  const res = await verifier.post({ ...body, endorsements })
  return { status: res.statusCode, after: res.headers['retry-after'], ...res.json<Answer>() }
}

describe('a flood of appraisals that do not affirm', () => {
  it('stops at the allowance: no verdict, no leaf, nothing kept, and what ran out', async () => {
    const answers: Awaited<ReturnType<typeof ask>>[] = []
    for (let i = 0; i < 12; i++) answers.push(await ask({ debug: true, bytes: MEBIBYTE / 2 }))
    const judged = answers.filter(({ status }) => status === 200)
    expect(judged.map(({ tier }) => tier)).toEqual(judged.map(() => 'contraindicated'))
    // Base64 makes two thirds of a mebibyte of each half.
    expect(judged.length).toBe(5)
    expect(answers.slice(5)).toEqual(
      Array.from(
        { length: 7 },
        () =>
          expect.objectContaining({ status: 503, code: 'ERR_OVERLOADED', after: '5' }) as unknown,
      ),
    )
    expect(answers.at(-1)?.at).toBe('verifier.failedMebibytesPerHour')
    expect(verifier.leaves.filter(({ type }) => type === 'appraisal')).toHaveLength(5)
    expect(verifier.blobBytes()).toBeLessThan(ALLOWED * MEBIBYTE + 65_536)
  })

  it('leaves machines that affirm alone, and ends with the hour', async () => {
    for (let i = 0; i < 6; i++) await ask({ debug: true, bytes: MEBIBYTE / 2 })
    expect(await ask({ debug: true, bytes: MEBIBYTE })).toMatchObject({ status: 503 })
    expect(await ask({ debug: false })).toMatchObject({ status: 200, tier: 'affirming' })
    verifier.now = new Date(verifier.now.getTime() + 3_600_000)
    const next = await ask({ debug: true, bytes: MEBIBYTE })
    expect(next).toMatchObject({ status: 200, tier: 'contraindicated' })
  })

  it('counts what they all send alike once', async () => {
    // Each brings the hierarchy's 9 kB; a hundred times that would be a quarter of the allowance.
    for (let i = 0; i < 3; i++) await ask({ debug: true })
    const before = verifier.blobBytes()
    for (let i = 0; i < 40; i++) expect(await ask({ debug: true })).toMatchObject({ status: 200 })
    expect(verifier.blobBytes() - before).toBeLessThan(MEBIBYTE)
  })
})
