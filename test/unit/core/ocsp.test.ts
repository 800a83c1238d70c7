import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import {
  contextTag,
  DerCursor,
  readChildren,
  readDer,
  readOctets,
  TAG,
} from '../../../src/core/encoding/der.ts'
import { parseCertificate, readExtensions } from '../../../src/core/x509/certificate.ts'
import { parseOcspResponse } from '../../../src/core/x509/ocsp.ts'
import { certIdOf, checkOcspSignature } from '../../../src/core/x509/ocsp-check.ts'
import { encodeOcspRequest } from '../../../src/core/x509/ocsp-request.ts'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  mintNvidiaPki,
  mintOcspAnswers,
  mintOcspResponse,
  mintResponder,
  type OcspOptions,
} from '../../../src/testing/index.ts'
import { appraiseNvidia, CRYPTO, failures, NOW, nvidiaWorld } from '../../support/nvidia.ts'

const { pki, device, good } = nvidiaWorld()
const HOUR = 60 * 60 * 1000
const hours = (count: number) => new Date(NOW.getTime() + count * HOUR)
const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const others = mintOcspAnswers(pki, device, (about) => (about.endsWith('BROM') ? undefined : {}))
/** An answer about the boot ROM, which the provisioner issued. */
const answer = (options: Partial<OcspOptions> = {}) =>
  mintOcspResponse({
    about: device.rom.der,
    issuer: pki.device[0],
    thisUpdate: hours(-1),
    nextUpdate: hours(24),
    ...options,
  })
const ask = async (...answers: readonly Uint8Array[]) =>
  failures(
    await appraiseNvidia({
      ...good,
      endorsements: { ...good.endorsements, ocspResponses: [...answers, ...others] },
    }),
  )
const REVOKED = ['nvgpu.chain.revocation']

describe('revocation by OCSP', () => {
  it('good is good', async () => {
    expect(await ask(answer())).toEqual([])
    expect(await ask(answer({ hash: 'sha256' }))).toEqual([])
    expect(await ask(answer({ nonce: new Uint8Array(32) }))).toEqual([])
    const own = { key: pki.device[0].key, certificates: [] }
    expect(await ask(answer({ responder: own }))).toEqual([])
  })

  it.each<[string, Partial<OcspOptions>]>([
    ['revoked', { status: 'revoked', reason: 1 }],
    ['revoked without a reason', { status: 'revoked' }],
    ['on hold', { status: 'revoked', reason: 6 }],
    ['unknown', { status: 'unknown' }],
    ['out of date', { thisUpdate: hours(-48), nextUpdate: hours(-1) }],
    ['of tomorrow', { thisUpdate: hours(1), nextUpdate: hours(24) }],
  ])('%s is not', async (_, options) => {
    expect(await ask(answer(options))).toEqual(REVOKED)
  })

  it('nor is an answer that never ends', async () => {
    const [issuer] = pki.device
    const endless = mintOcspResponse({ about: device.rom.der, issuer, thisUpdate: hours(-1) })
    expect(await ask(endless)).toEqual(REVOKED)
  })

  it('what was revoked stays so, beside whatever says otherwise', async () => {
    const old = answer({
      status: 'revoked',
      reason: 1,
      thisUpdate: hours(-500),
      nextUpdate: hours(-400),
    })
    expect(await ask(old, answer())).toEqual(REVOKED)
    expect(await ask(answer(), old)).toEqual(REVOKED)
  })

  it('a hold ends with a newer answer, and not with an older one', async () => {
    const hold = (at: Date) => answer({ status: 'revoked', reason: 6, thisUpdate: at })
    expect(await ask(hold(hours(-3)), answer())).toEqual([])
    expect(await ask(hold(hours(-0.5)), answer())).toEqual(REVOKED)
    expect(await ask(hold(hours(-1)), answer())).toEqual(REVOKED)
  })

  it.each<[string, () => NonNullable<OcspOptions['responder']>]>([
    ['a stranger', () => ({ key: mintKey('ES384'), certificates: [] })],
    ['another CA’s responder', () => mintResponder(pki.device[1], { at: NOW })],
    [
      'another maker’s responder',
      () => mintResponder(mintNvidiaPki({ at: NOW }).device[0], { at: NOW }),
    ],
    [
      'one that is for TLS servers',
      () => mintResponder(pki.device[0], { at: NOW, usage: '1.3.6.1.5.5.7.3.1' }),
    ],
    ['one for nothing in particular', () => mintResponder(pki.device[0], { at: NOW, usage: '' })],
    ['one that ended', () => mintResponder(pki.device[0], { at: NOW, notAfter: hours(-1) })],
    [
      'one that may not sign',
      () => mintResponder(pki.device[0], { at: NOW, keyUsage: ['keyCertSign'] }),
    ],
    [
      // Issued by the very certificate that it vouches for.
      'the device itself',
      () => mintResponder(device.rom, { at: NOW }),
    ],
    ['the device’s own key', () => ({ key: device.rom.key, certificates: [device.rom.der] })],
  ])('an answer by %s is none', async (_, responder) => {
    expect(await ask(answer({ responder: responder() }))).toEqual(REVOKED)
  })

  it('bad answers beside a good one change nothing, unless they are believed', async () => {
    const stranger = { key: mintKey('ES384'), certificates: [] }
    const forged = answer({ status: 'revoked', reason: 1, responder: stranger })
    expect(await ask(forged, answer())).toEqual([])
  })

  it.each<[string, readonly Uint8Array[]]>([
    ['no answer', []],
    ['a refusal', [answer({ refusal: 3 })]],
    ['an answer by SHA-1', [answer({ hash: 'sha1' })]],
    ['an answer about another certificate', [answer({ about: device.leaf.der })]],
    ['an answer of another issuer', [answer({ issuer: pki.device[1] })]],
    ['garbage', [Uint8Array.of(0x30, 0)]],
  ])('%s is unavailable, and not good', async (_, answers) => {
    await expect(ask(...answers)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'nvidia.ocsp',
    })
  })

  it.each(['NVIDIA GH100 Provisioner ICA 1', 'NVIDIA GH100 Identity'])(
    '%s is asked about too',
    async (name) => {
      const answers = mintOcspAnswers(pki, device, (about) =>
        about === name ? { status: 'revoked', reason: 2 } : {},
      )
      const endorsements = { ...good.endorsements, ocspResponses: answers }
      expect(failures(await appraiseNvidia({ ...good, endorsements }))).toEqual(REVOKED)
    },
  )

  it.each([
    'RIM L4 Signer',
    'NVIDIA Reference Value L3 GH100 001',
    'NVIDIA Reference Value GH100 CA',
  ])('%s is asked about, for each manifest', async (name) => {
    const answers = mintOcspAnswers(pki, device, (about) =>
      about === name ? { status: 'revoked', reason: 6 } : {},
    )
    const endorsements = { ...good.endorsements, ocspResponses: answers }
    expect(failures(await appraiseNvidia({ ...good, endorsements }))).toEqual([
      'nvgpu.driver_rim.revocation',
      'nvgpu.vbios_rim.revocation',
    ])
  })

  it('whatever comes beside a response, few signatures are verified', async () => {
    const good = mintResponder(pki.device[0], { at: NOW })
    const junk = (count: number) =>
      Array.from({ length: count }, () => mintResponder(pki.device[1], { at: NOW }).certificates[0])
    const certificates = (list: readonly (Uint8Array | undefined)[]) =>
      list.filter((one) => one !== undefined)
    // The one that the issuer could have meant is found wherever it stands.
    for (const at of [0, 1, 2, 3]) {
      const list = certificates(junk(3).toSpliced(at, 0, good.certificates[0]))
      const responder = { key: good.key, certificates: list }
      expect(await ask(answer({ responder }))).toEqual([])
    }
    let verified = 0
    const crypto = {
      ...CRYPTO,
      verify: async (...args: Parameters<typeof CRYPTO.verify>) => {
        verified++
        return CRYPTO.verify(...args)
      },
    }
    const issuer = parseCertificate(pki.device[0].der, blame)
    const like = Array.from({ length: 4 }, () => mintResponder(pki.device[0], { at: NOW }))
    const responder = {
      key: mintKey('ES384'),
      certificates: certificates(like.map((one) => one.certificates[0])),
    }
    const forged = parseOcspResponse(answer({ responder }), blame)
    expect(forged.certificates).toHaveLength(4)
    const { problem } = await checkOcspSignature(forged, issuer, crypto)
    expect(problem).toMatchObject({ actual: 'signature does not verify' })
    expect(verified).toBe(3)
  })

  it('a responder whose usage cannot be read is none', async () => {
    const usage = { oid: '2.5.29.37', critical: true, value: Uint8Array.of(0x05, 0) }
    const responder = mintResponder(pki.device[0], { at: NOW, extensions: [usage] })
    expect(await ask(answer({ responder }))).toEqual(REVOKED)
  })

  it('a flood of answers is refused', async () => {
    const flood = Array.from({ length: 9 }, (_, i) => answer({ thisUpdate: hours(-2 - i) }))
    await expect(ask(...flood)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
    const more = Array.from({ length: 1100 }, () => Uint8Array.of(0))
    await expect(ask(...more)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
  })
})

describe('parseOcspResponse', () => {
  it('reads what was minted', () => {
    const nonce = new Uint8Array(32).fill(3)
    const parsed = parseOcspResponse(answer({ nonce, status: 'revoked', reason: 6 }), blame)
    expect(parsed.nonce).toEqual(nonce)
    expect(parsed.certificates).toHaveLength(1)
    expect(parsed.responses).toMatchObject([
      { status: 'revoked', reason: 6, thisUpdate: hours(-1), nextUpdate: hours(24) },
    ])
  })

  it('truncation-is-typed, and no flip of a bit is anything but typed', () => {
    const whole = answer()
    for (let length = 0; length < whole.length; length++) {
      expect(() => parseOcspResponse(whole.subarray(0, length), blame)).toThrow(
        expect.objectContaining({ code: 'ERR_ENDORSEMENT_MALFORMED' }),
      )
    }
    for (let at = 0; at < whole.length; at++) {
      const flipped = whole.with(at, (whole[at] ?? 0) ^ (1 << (at % 8)))
      try {
        parseOcspResponse(flipped, blame)
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
      }
    }
    const huge = new Uint8Array(70_000)
    expect(() => parseOcspResponse(huge, blame)).toThrow(/bytes/)
  })
})

describe('encodeOcspRequest', () => {
  it('asks about one certificate, as a strict reader reads it', async () => {
    const certificate = parseCertificate(device.rom.der, blame)
    const issuer = parseCertificate(pki.device[0].der, blame)
    const id = await certIdOf({ certificate, issuer }, 'SHA-384', CRYPTO)
    const nonce = new Uint8Array(32).fill(0xa5)
    const request = readChildren(readDer(encodeOcspRequest(id, nonce), blame), blame)
    const [tbs, ...unsigned] = request
    if (tbs === undefined) throw new Error('no tbsRequest')
    expect(unsigned).toEqual([])
    const cursor = new DerCursor(tbs, TAG.sequence, blame)
    let inner = cursor.take('requestList', TAG.sequence)
    const extensions = readExtensions(cursor.take('requestExtensions', contextTag(2)), blame)
    cursor.end()
    expect([...extensions.keys()]).toEqual(['1.3.6.1.5.5.7.48.1.2'])
    const value = extensions.get('1.3.6.1.5.5.7.48.1.2')?.value ?? new Uint8Array()
    expect(readOctets(readDer(value, blame), blame)).toEqual(nonce)
    for (let depth = 0; depth < 2; depth++) {
      const one = new DerCursor(inner, TAG.sequence, blame)
      inner = one.take('inner', TAG.sequence)
      one.end()
    }
    // The very bytes that come back in an answer.
    const echoed = toHex(answer())
    expect(echoed).toContain(toHex(inner.bytes))
  })
})
