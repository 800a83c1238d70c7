import { describe, expect, it } from 'vitest'
import { concat, isZero } from '../../../src/core/bytes/bytes.ts'
import { toHex } from '../../../src/core/bytes/hex.ts'
import type { AuthenticationContext } from '../../../src/core/evidence/common/format.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { parseQuote } from '../../../src/core/evidence/intel-dcap/quote.ts'
import {
  readPckPlatform,
  SGX_EXTENSION,
} from '../../../src/core/evidence/intel-dcap/sgx-extension.ts'
import { parseSgxReport } from '../../../src/core/evidence/intel-dcap/sgx-report.ts'
import { tdx } from '../../../src/core/evidence/tdx/format.ts'
import { parseCertificate } from '../../../src/core/x509/certificate.ts'
import { createCrypto as createWebCrypto } from '../../../src/drivers/crypto/web.ts'
import { encodePemChain, mintIntelPki, mintKeys, mintTdxQuote } from '../../../src/testing/index.ts'
import { authenticate, contextOf, failing, NOW } from '../../support/tdx.ts'

const keys = mintKeys()
const pki = mintIntelPki({ now: NOW, keys })
const malformed = expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }) as unknown
const unsupported = expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }) as unknown

describe('parseQuote', () => {
  it.each([
    ['version 3', { header: { version: 3 } }],
    ['version 6', { header: { version: 6 } }],
    ['an SGX quote of version 4', { header: { teeType: 0 } }],
    ['another TEE', { header: { teeType: 0x82 } }],
    ['P-384 keys', { header: { attestationKeyType: 3 } }],
    ['body type 1 (SGX)', { version: 5, descriptor: { type: 1 } }],
    ['body type 4', { version: 5, descriptor: { type: 4 } }],
    ['outer certification data of type 5', { outerType: 5 }],
  ] as const)('does not support %s', (_, options) => {
    expect(() => parseQuote(mintTdxQuote(pki, options), 'tdx')).toThrow(unsupported)
  })

  it.each([
    ['a body size of another type', { version: 5, descriptor: { size: 584 } }],
    ['a TD 1.0 body called 1.5', { version: 5, bodyType: 'td10', descriptor: { type: 3 } }],
  ] as const)('refuses %s', (_, options) => {
    expect(() => parseQuote(mintTdxQuote(pki, options), 'tdx')).toThrow(malformed)
  })

  const good = mintTdxQuote(pki)
  const lengthAt = 48 + 584
  const patched = (at: number, change: number): Uint8Array => {
    const copy = good.slice()
    const view = new DataView(copy.buffer)
    view.setUint32(at, view.getUint32(at, true) + change, true)
    return copy
  }

  it.each([
    ['signature data longer than the quote', patched(lengthAt, 1)],
    ['signature data a byte short', patched(lengthAt, -1)],
    ['outer certification data a byte long', patched(lengthAt + 4 + 130, 1)],
    ['outer certification data a byte short', patched(lengthAt + 4 + 130, -1)],
    ['nothing after the body', good.subarray(0, lengthAt)],
  ])('refuses %s', (_, quote) => {
    expect(() => parseQuote(quote, 'tdx')).toThrow(malformed)
  })

  it('ignores what comes after the quote', () => {
    for (const length of [1, 39, 70, 307, 3065]) {
      const padded = parseQuote(concat(good, new Uint8Array(length).fill(0xee)), 'tdx')
      expect(padded).toEqual(parseQuote(good, 'tdx'))
    }
  })

  it('knows what was signed: header, descriptor in version 5, body', () => {
    expect(parseQuote(good, 'tdx').signed).toEqual(good.subarray(0, 48 + 584))
    const v5 = mintTdxQuote(pki, { version: 5 })
    expect(parseQuote(v5, 'tdx').signed).toEqual(v5.subarray(0, 48 + 6 + 648))
  })

  it('is described field by field, in the spelling of the vendor', () => {
    const v5 = tdx.describe(tdx.parse(mintTdxQuote(pki, { version: 5 })))
    const names = v5.map(({ name }) => name)
    for (const name of [
      'MRTD',
      'RTMR0',
      'RTMR3',
      'TEE_TCB_SVN',
      'TEE_TCB_SVN_2',
      'MRSERVICETD',
      'REPORTDATA',
      'XFAM',
      'QE_REPORT.MRSIGNER',
    ]) {
      expect(names).toContain(name)
    }
    expect(new Set(names).size).toBe(names.length)
    const v4 = tdx.describe(tdx.parse(good)).map(({ name }) => name)
    expect(v4).not.toContain('MRSERVICETD')
  })
})

it('an SGX report is 384 bytes and nothing else', () => {
  expect(parseSgxReport(new Uint8Array(384), 'test').isvSvn).toBe(0)
  for (const size of [0, 383, 385]) {
    expect(() => parseSgxReport(new Uint8Array(size), 'test')).toThrow(malformed)
  }
})

describe('the SGX extension of a PCK', () => {
  const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'test' } as const
  const read = (der: Uint8Array) => readPckPlatform(parseCertificate(der, blame))

  it('is read whole', () => {
    const platform = read(pki.certificates.pck)
    expect(platform).toEqual({
      fmspc: toHex(pki.platform.fmspc),
      pceId: '0000',
      ppid: toHex(pki.platform.ppid),
      sgxComponents: pki.platform.sgxComponents,
      pceSvn: 13,
      cpuSvn: toHex(pki.platform.cpuSvn),
      platformInstanceId: toHex(pki.platform.platformInstanceId ?? new Uint8Array()),
      smtEnabled: true,
    })
  })

  it.each([
    ['FMSPC of 5 bytes', { fmspc: new Uint8Array(5) }],
    ['PCEID of 3 bytes', { pceId: new Uint8Array(3) }],
    ['PPID of 15 bytes', { ppid: new Uint8Array(15) }],
    ['CPUSVN of 17 bytes', { cpuSvn: new Uint8Array(17) }],
    ['15 components', { sgxComponents: new Array<number>(15).fill(0) }],
    ['18 components, so that two have an arc', { sgxComponents: new Array<number>(18).fill(0) }],
    ['an instance of no bytes', { platformInstanceId: new Uint8Array() }],
  ])('is refused with %s', (_, platform) => {
    const broken = mintIntelPki({ now: NOW, keys, platform })
    expect(() => read(broken.certificates.pck)).toThrow(malformed)
  })

  it.each([
    ['absent', []],
    ['an empty list', [{ oid: SGX_EXTENSION, critical: false, value: Uint8Array.of(0x30, 0) }]],
    ['no list', [{ oid: SGX_EXTENSION, critical: false, value: Uint8Array.of(5, 0) }]],
    ['nested without end', [{ oid: SGX_EXTENSION, critical: false, value: nested(60) }]],
  ])('in a signed chain is refused if it is %s', async (_, extensions) => {
    const broken = mintIntelPki({ now: NOW, keys, certificates: { pck: { extensions } } })
    await expect(authenticate(mintTdxQuote(broken), contextOf(broken))).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_MALFORMED',
      at: expect.stringMatching(/^dcap[.]pck[.]sgx_extension/) as string,
    })
  })

  it('of a certificate of the Processor CA has no instance', async () => {
    const processor = mintIntelPki({
      now: NOW,
      keys,
      platform: { platformInstanceId: undefined },
      certificates: {
        platformCa: { subject: PROCESSOR },
        pck: { issuer: PROCESSOR },
      },
      crls: { pck: { issuer: PROCESSOR } },
    })
    const found = await authenticate(mintTdxQuote(processor), contextOf(processor))
    if (!found.authentic) throw new Error(failing(found.checks).join())
    expect(found.claims.platform.platformInstanceId).toBeUndefined()
    expect(found.claims.printable).toMatchObject({ platform: { ca: 'processor' } })
  })

  it('and a CRL of the other CA is none for this one', async () => {
    const other = mintIntelPki({ now: NOW, keys, crls: { pck: { issuer: PROCESSOR } } })
    await expect(authenticate(mintTdxQuote(other), contextOf(other))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'dcap.endorsements.crl',
    })
  })
})

const PROCESSOR = { commonName: 'Intel SGX PCK Processor CA', organization: 'x' }

function nested(depth: number): Uint8Array {
  let bytes = Uint8Array.of(0x30, 0)
  for (let i = 0; i < depth; i++) bytes = Uint8Array.of(0x30, bytes.length, ...bytes)
  return bytes
}

describe('certificates in a quote', () => {
  const chain = [pki.certificates.pck, pki.certificates.platformCa, pki.certificates.root]
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
  it.each([
    ['nothing', new Uint8Array()],
    ['no PEM', encode('hello')],
    ['an empty block', encode('-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n')],
    ['four of them', encodePemChain([...chain, pki.certificates.tcbSigning])],
    ['one of them broken', encodePemChain([...chain.slice(1), Uint8Array.of(0x30, 0)])],
    ['DER that is cut off', chain[0]?.subarray(0, 99) ?? new Uint8Array()],
    ['DER with something after it', concat(...chain, Uint8Array.of(1, 2, 3, 4))],
    ['over 64 KiB', new Uint8Array(64 * 1024 + 1).fill(0x41)],
  ])('are refused if there is %s', async (_, data) => {
    const quote = mintTdxQuote(pki, { certification: { data } })
    await expect(authenticate(quote, contextOf(pki))).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_MALFORMED',
    })
  })

  it('a platform identity that is too short is malformed', async () => {
    const quote = mintTdxQuote(pki, { certification: { type: 1, data: new Uint8Array(19) } })
    await expect(authenticate(quote, contextOf(pki))).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_MALFORMED',
    })
  })
})

describe('a point that is on no curve', () => {
  it.each([
    ['node:crypto', undefined],
    ['WebCrypto', createWebCrypto()],
  ])('as attestation key is malformed evidence: %s', async (_, crypto) => {
    const quote = mintTdxQuote(pki, { attestationKey: new Uint8Array(64).fill(1) })
    const context = contextOf(pki, crypto === undefined ? {} : { crypto })
    await expect(authenticate(quote, context)).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_MALFORMED',
    })
  })
})

it('replay-is-identical: WebCrypto and node:crypto give the same result', async () => {
  const quote = mintTdxQuote(pki, { version: 5 })
  const web = await authenticate(quote, contextOf(pki, { crypto: createWebCrypto() }))
  expect(web).toEqual(await authenticate(quote, contextOf(pki)))
})

describe('what is remembered', () => {
  it('is signatures: a warm quote costs one, and dates are asked again', async () => {
    const context = contextOf(pki, { memo: createMemo(100) })
    const quote = mintTdxQuote(pki)
    let verified = 0
    const counting: AuthenticationContext = {
      ...context,
      crypto: {
        digest: async (hash, data) => context.crypto.digest(hash, data),
        verify: async (...args) => {
          verified++
          return context.crypto.verify(...args)
        },
      },
    }
    expect((await authenticate(quote, counting)).authentic).toBe(true)
    expect(verified).toBe(9)
    expect((await authenticate(quote, counting)).authentic).toBe(true)
    expect(verified).toBe(10)
    const later = { ...counting, now: new Date('2027-01-01') }
    expect(failing((await authenticate(quote, later)).checks)).toEqual([
      'dcap.crl.root.validity',
      'dcap.crl.pck.validity',
      'dcap.tcb_info.validity',
      'dcap.qe_identity.validity',
    ])
    expect(verified).toBe(11)
  })

  it('is not the verdict on another root: the same chain under other anchors fails', async () => {
    const context = contextOf(pki)
    const quote = mintTdxQuote(pki)
    expect((await authenticate(quote, context)).authentic).toBe(true)
    const anchors = { ...context.anchors, intel: ['00'.repeat(32)] }
    expect(failing((await authenticate(quote, { ...context, anchors })).checks)).toEqual([
      'dcap.pck.anchor',
    ])
  })

  it('is nothing of a body and signature cut elsewhere', async () => {
    const context = contextOf(pki)
    const quote = mintTdxQuote(pki)
    expect((await authenticate(quote, context)).authentic).toBe(true)
    const set = context.endorsements
    const endorsements = {
      ...set,
      tcbInfos: set.tcbInfos.map(({ body, signature }) => ({
        body: concat(body, new Uint8Array([0x20])),
        signature: concat(signature),
      })),
    }
    expect(isZero(endorsements.tcbInfos[0]?.signature ?? new Uint8Array())).toBe(false)
    const found = await authenticate(quote, { ...context, endorsements })
    expect(failing(found.checks)).toEqual(['dcap.tcb_info.signature'])
  })
})
