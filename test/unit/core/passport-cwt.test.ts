/** EARs as CWT: the same verdicts as on a JWT, by numbers in place of names. */
import { describe, expect, it } from 'vitest'
import { appraise } from '../../../src/core/appraisal/appraise.ts'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { type CborValue, encodeCbor } from '../../../src/core/encoding/cbor.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { detectFormat, openEvidence } from '../../../src/core/evidence/formats.ts'
import { describePassport, parsePassport } from '../../../src/core/evidence/passport/evidence.ts'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto as createWebCrypto } from '../../../src/drivers/crypto/web.ts'
import {
  type CwtMembers,
  type CwtOptions,
  mintCwt,
  mintPassportIssuer,
  PASSPORT_BOUND,
} from '../../../src/testing/index.ts'
import { passportIssuer } from '../../support/mint-case.ts'
import { failures, NOW, passportInput, trusting, verdictOf } from '../../support/passports.ts'

const issuer = passportIssuer('ear')
const SECONDS = Math.floor(NOW.getTime() / 1000)
const mint = (options: Partial<CwtOptions> = {}) => mintCwt({ issuer, at: NOW, ...options })
const judged = async (options: Partial<CwtOptions> = {}) =>
  failures(await verdictOf(passportInput('ear', {}, { evidence: mint(options) })))
const NOT_AFFIRMED = ['policy.debug', 'token.status']
const malformed = expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }) as unknown
const unsupported = expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }) as unknown

describe('a good EAR as CWT', () => {
  it.each([[[61, 18]], [[18]], [[61]]] as const)('is affirmed in tags %j', async (tags) => {
    const evidence = mint({ tags })
    expect(detectFormat(evidence).id).toBe('ear')
    expect(openEvidence(evidence).evidence).toEqual(evidence)
    expect(await judged({ tags })).toEqual([])
  })

  it('is affirmed by both crypto providers, and of P-384', async () => {
    const p384 = mintPassportIssuer({ kind: 'ear', at: NOW, key: mintKey('ES384') })
    for (const one of [issuer, p384]) {
      const evidence = mintCwt({ issuer: one, at: NOW })
      const input = { ...passportInput('ear', {}, { evidence }), anchors: trusting(one.trust) }
      expect(failures(await verdictOf(input))).toEqual([])
      const tools = { crypto: createWebCrypto(), memo: createMemo(0) }
      expect(failures(await appraise(input, tools))).toEqual([])
    }
  })

  it('binds nonce and report data', async () => {
    const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))
    const bound = async (nonce: string, data: string) => {
      const binding = {
        nonce: { require: bytes(nonce) },
        reportData: { require: bytes(data) },
      }
      return failures(await verdictOf(passportInput('ear', {}, { evidence: mint(), binding })))
    }
    expect(await bound(PASSPORT_BOUND.nonce, PASSPORT_BOUND.reportData)).toEqual([])
    expect(await bound('00'.repeat(32), '00'.repeat(64))).toEqual([
      'freshness.nonce',
      'binding.report_data',
    ])
  })

  it('has the claims of a JWT, by name, and shows them', async () => {
    const { claims } = await verdictOf(passportInput('ear', {}, { evidence: mint() }))
    expect(claims).toMatchObject({
      header: { alg: 'ES256', kid: 'ear-1', typ: 'cwt' },
      token: {
        iat: SECONDS,
        eat_nonce: PASSPORT_BOUND.nonce,
        ear_verifier_id: { developer: 'Example Verifiers', build: '2.0' },
        submods: {
          cpu0: { ear_status: 'affirming', ear_trustworthiness_vector: { executables: 3 } },
        },
      },
    })
    const fields = describePassport(parsePassport(mint(), 'ear'))
    expect(fields.map(({ name }) => name)).toContain('ear_verifier_id')
  })

  it('of Veraison’s earlier numbers is one, too', async () => {
    const evidence: CborValue = new Map([['report_data', PASSPORT_BOUND.reportData]])
    const appraisal: CwtMembers = [
      [1003, 'default'],
      [1005, undefined],
      [-70_000, evidence],
    ]
    expect(await judged({ appraisal })).toEqual([])
    expect(() => parsePassport(mint({ appraisal: [[-70_000, evidence]] }), 'ear')).toThrow(
      malformed,
    )
  })
})

describe('one thing wrong', () => {
  it.each<[string, Partial<CwtOptions>, readonly string[]]>([
    ['another key', { key: mintKey('ES256') }, ['signature.token']],
    ['a kid that is not pinned', { protectedHeader: [[4, utf8('x')]] }, ['key.path']],
    ['another algorithm', { key: mintKey('ES384') }, ['token.alg']],
    ['an algorithm that nobody has', { protectedHeader: [[1, -8]] }, ['token.alg']],
    ['another type', { protectedHeader: [[16, 'application/other+cwt']] }, ['token.typ']],
    ['the type of another number', { protectedHeader: [[16, 60]] }, ['token.typ']],
    ['an issuer', { claims: [[1, 'https://x.example']] }, ['token.issuer']],
    ['an audience', { claims: [[3, 'https://x.example']] }, ['token.audience']],
    ['expired', { claims: [[4, SECONDS]] }, ['freshness.expiry', 'token.lifetime']],
    ['not yet valid', { claims: [[5, SECONDS + 61]] }, ['freshness.not_before']],
    ['too old', { claims: [[6, SECONDS - 301]] }, ['freshness.expiry', 'freshness.max_age']],
    ['a status that warns', { appraisal: [[1000, 32]] }, NOT_AFFIRMED],
    ['a status that is none', { appraisal: [[1000, 3]] }, NOT_AFFIRMED],
    ['no status', { appraisal: [[1000, undefined]] }, NOT_AFFIRMED],
    ['a vector that warns', { appraisal: [[1001, new Map([[4, 96]])]] }, NOT_AFFIRMED],
    ['an element that nobody knows', { appraisal: [[1001, new Map([[9, 96]])]] }, NOT_AFFIRMED],
    ['a vector that is a list', { appraisal: [[1001, [2]]] }, NOT_AFFIRMED],
    ['debug on', { appraisal: [[263, 0]] }, ['policy.debug']],
    ['debug of a number that is none', { claims: [[263, 9]] }, ['policy.debug']],
    ['an overall status that warns', { claims: [[1000, 32]] }, NOT_AFFIRMED],
    [
      'a submodule that is a token',
      { claims: [[266, new Map([['cpu0', Uint8Array.of(1)]])]] },
      NOT_AFFIRMED,
    ],
    ['submodules that are none', { claims: [[266, 'x']] }, NOT_AFFIRMED],
  ])('%s', async (_, options, failed) => {
    const found = await judged(options)
    expect(found).toEqual(expect.arrayContaining([...failed]))
    expect(found).not.toEqual([])
  })

  it.each<[string, Partial<CwtOptions>]>([
    ['crit', { protectedHeader: [[2, [4]]] }],
    ['a header that nobody knows', { protectedHeader: [[99, 1]] }],
    ['a certificate outside the signature', { unprotectedHeader: [[33, Uint8Array.of(1)]] }],
  ])('%s is not supported', (_, options) => {
    expect(() => parsePassport(mint(options), 'ear')).toThrow(unsupported)
  })

  it.each<[string, Partial<CwtOptions>]>([
    ['a status under its name besides', { appraisal: [['ear_status', 'affirming']] }],
    [
      'a status under its name alone',
      {
        appraisal: [
          [1000, undefined],
          ['ear_status', 'affirming'],
        ],
      },
    ],
    ['an issuer under its name', { claims: [['iss', 'x']] }],
    ['__proto__', { claims: [['__proto__', 1]] }],
    ['claims that are a list', { payload: encodeCbor([1]) }],
    ['claims that are cut off', { payload: Uint8Array.of(0xa1, 0x06) }],
    ['a time with a tag', { payload: concat(Uint8Array.of(0xa1, 0x06, 0xc1, 0x01)) }],
  ])('%s is malformed', (_, options) => {
    expect(() => parsePassport(mint(options), 'ear')).toThrow(malformed)
  })

  it('a kid outside the signature chooses, and no more than that', async () => {
    const outside = (kid: string): Partial<CwtOptions> => ({
      protectedHeader: [[4, undefined]],
      unprotectedHeader: [[4, utf8(kid)]],
    })
    expect(await judged(outside(issuer.kid))).toEqual([])
    expect(await judged(outside('x'))).not.toEqual([])
  })

  it('is no token of another kind', async () => {
    const evidence = mint()
    for (const kind of ['intel-ita', 'azure-maa', 'gcp-cs', 'nvidia-nras'] as const) {
      const input = passportInput(kind, {}, { evidence })
      expect(failures(await verdictOf(input)), kind).toContain('token.issuer')
    }
  })

  it('truncation-is-typed, and no flip of a bit affirms', async () => {
    const whole = mint()
    for (let length = 0; length < whole.length; length++) {
      expect(() => parsePassport(whole.subarray(0, length), 'ear'), `${length}`).toThrow(
        expect.objectContaining({ name: 'VouchsafeError' }),
      )
    }
    for (let at = 0; at < whole.length; at++) {
      const evidence = whole.with(at, (whole[at] ?? 0) ^ (1 << (at % 8)))
      const verdict = await verdictOf(passportInput('ear', {}, { evidence })).catch(
        (error: unknown) => error,
      )
      if (verdict instanceof Error) expect(verdict.name, `${at}`).toBe('VouchsafeError')
      else expect((verdict as { readonly tier: string }).tier, `${at}`).not.toBe('affirming')
    }
  })

  it('more than 128 KiB is refused', () => {
    expect(() => parsePassport(mint({ claims: [['x', 'y'.repeat(132_000)]] }), 'ear')).toThrow(
      malformed,
    )
  })
})
