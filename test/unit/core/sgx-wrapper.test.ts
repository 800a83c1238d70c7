/** What SGX quotes come in, and what comes beside them: never unchecked. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concat, utf8, zeroPad } from '../../../src/core/bytes/bytes.ts'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { encodeCbor } from '../../../src/core/encoding/cbor.ts'
import { encodePem } from '../../../src/core/encoding/pem.ts'
import { quoteInCertificate } from '../../../src/core/evidence/common/ra-tls.ts'
import { unwrapEvidence } from '../../../src/core/evidence/common/unwrap.ts'
import { openEvidence } from '../../../src/core/evidence/formats.ts'
import { sgx } from '../../../src/core/evidence/sgx/format.ts'
import {
  mintIntelPki,
  mintKey,
  mintRaTlsCertificate,
  mintSgxPki,
  mintSgxQuote,
  mintTdxQuote,
  spkiOf,
} from '../../../src/testing/index.ts'
import { authenticateSgx, carriedOf } from '../../support/sgx.ts'
import { contextOf, failing, NOW } from '../../support/tdx.ts'

const pki = mintSgxPki({ now: NOW })
const context = contextOf(pki)
const key = mintKey()
const spki = spkiOf(key)
const sha = (bytes: Uint8Array, name = 'sha256'): Uint8Array =>
  Uint8Array.from(createHash(name).update(bytes).digest())
const quoteOver = (data: Uint8Array): Uint8Array =>
  mintSgxQuote(pki, { report: { reportData: zeroPad(sha(data), 64) } })
const u32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}
const u64 = (value: number): Uint8Array => concat(u32(value), u32(0))
const SGX_ECDSA = Uint8Array.from(Buffer.from('a3a21e871b4d4014b70aa125d2fbcd8c', 'hex'))
const reportHeader = (quote: Uint8Array): Uint8Array =>
  concat(u32(1), u32(2), u64(quote.length), quote)
const evidenceHeader = (data: Uint8Array, id = SGX_ECDSA): Uint8Array =>
  concat(u32(3), id, u64(data.length), data)
const microsoft = (quote: Uint8Array, held?: Uint8Array): Uint8Array =>
  utf8(
    JSON.stringify({
      Type: 2,
      QuoteHex: toHex(quote).toUpperCase(),
      ...(held && { EnclaveHeldDataHex: toHex(held) }),
    }),
  )
const plain = mintSgxQuote(pki)
const held = utf8('what the enclave held')
const malformed = expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }) as Error
const unsupported = expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }) as Error

describe('headers and JSON', () => {
  it.each([
    ['nothing', plain],
    ['the header of an Open Enclave report', reportHeader(plain)],
    ['the header of Open Enclave evidence, without claims', evidenceHeader(plain)],
    ['Microsoft’s JSON', microsoft(plain)],
    ['Microsoft’s JSON around an Open Enclave report', microsoft(reportHeader(plain))],
    ['hexadecimal of an Open Enclave report', utf8(toHex(reportHeader(plain)))],
    [
      'JSON with an Open Enclave report',
      utf8(JSON.stringify({ quote: toHex(reportHeader(plain)) })),
    ],
  ])('in %s: nothing is beside the quote', async (_, bytes) => {
    const { format, evidence } = openEvidence(bytes)
    expect(format.id).toBe('sgx')
    const found = await authenticateSgx(evidence, context)
    expect(failing(found.checks)).toEqual([])
    expect(carriedOf(found)).toBeNull()
  })

  const bound = quoteOver(held)
  it.each([
    ['Microsoft’s JSON', microsoft(reportHeader(bound), held)],
    ['Open Enclave evidence', evidenceHeader(concat(bound, held))],
    ['Microsoft’s JSON around evidence', microsoft(evidenceHeader(concat(bound, held)))],
  ])('held data in %s must be what REPORTDATA is the hash of', async (_, evidence) => {
    const found = await authenticateSgx(openEvidence(evidence).evidence, context)
    expect(found.checks.at(-1)).toMatchObject({ id: 'sgx.carried.binding', outcome: 'pass' })
    expect(carriedOf(found)).toEqual({
      heldData: { sha256: toHex(sha(held)), size: held.length },
    })
  })

  it.each([
    ['other held data', microsoft(bound, utf8('something else'))],
    ['no held data at all, which is some', microsoft(bound, new Uint8Array(0))],
    ['held data with a quote over nothing', microsoft(plain, held)],
    ['claims cut short', evidenceHeader(concat(bound, held.subarray(1)))],
    [
      'REPORTDATA that goes on after the hash',
      microsoft(
        mintSgxQuote(pki, { report: { reportData: zeroPad(sha(held), 64).fill(1, 63) } }),
        held,
      ),
    ],
  ])('refuses %s', async (_, evidence) => {
    const found = await authenticateSgx(evidence, context)
    expect(failing(found.checks)).toEqual(['sgx.carried.binding'])
  })

  it('what stands behind a bare quote is no held data', async () => {
    const found = await authenticateSgx(concat(bound, held), context)
    expect(carriedOf(found)).toBeNull()
  })

  it.each([
    ['a local report', concat(u32(1), u32(1), u64(plain.length), plain), unsupported],
    ['a size too large', concat(u32(1), u32(2), u64(plain.length + 1), plain), malformed],
    ['a size too small', concat(u32(1), u32(2), u64(plain.length - 1), plain), malformed],
    ['a huge size', concat(u32(1), u32(2), new Uint8Array(8).fill(0xff), plain), malformed],
    ['evidence of another format', evidenceHeader(plain, new Uint8Array(16)), unsupported],
    ['a header and nothing', concat(u32(1), u32(2), u64(0)), malformed],
    ['JSON without a quote', utf8('{"EnclaveHeldDataHex": "00"}'), malformed],
    ['a quote that is a number', utf8('{"QuoteHex": 7}'), malformed],
    ['a quote twice', utf8(`{"QuoteHex": "${toHex(plain)}", "QuoteHex": "00"}`), malformed],
    ['an odd digit', utf8('{"QuoteHex": "0"}'), malformed],
    ['held data in two places', microsoft(evidenceHeader(concat(bound, held)), held), malformed],
    ['PEM of something else', utf8(encodePem(plain, 'X509 CRL')), malformed],
  ])('refuses %s', (_, evidence, error) => {
    expect(() => sgx.parse(evidence)).toThrow(error)
    expect(typeof sgx.detects(evidence)).toBe('boolean')
  })
})

const GRAMINE = '1.2.840.113741.1337.6'
const INTEL = '1.2.840.113741.1.13.1.0'
const DICE = '2.23.133.5.4.9'
const OPEN_ENCLAVE = '1.3.6.1.4.1.311.105.1'
const certificate = (
  ...extensions: readonly { readonly oid: string; readonly value: Uint8Array }[]
): Uint8Array => mintRaTlsCertificate({ key, now: NOW, extensions })
/** Tagged evidence, and a quote over its claims. */
const tagged = (claims: Uint8Array, tag = 60000, over = claims): Uint8Array => {
  // By hand: the core reads this tag, and nothing of ours makes it.
  const head =
    tag < 0x1_0000
      ? Uint8Array.of(0xd9, tag >> 8, tag & 0xff)
      : Uint8Array.of(0xda, 0, tag >> 16, (tag >> 8) & 0xff, tag & 0xff)
  return concat(head, encodeCbor([quoteOver(over), claims]))
}
const pair = (algorithm: number, hash: Uint8Array) => [algorithm, hash] as const
const claimsOf = (algorithm: number, hash: Uint8Array, nested = true): Uint8Array => {
  const entry = pair(algorithm, hash)
  return encodeCbor(new Map([['pubkey-hash', nested ? encodeCbor([...entry]) : [...entry]]]))
}
const good = claimsOf(1, sha(spki))

describe('RA-TLS certificates', () => {
  const naming: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['Gramine’s extension', certificate({ oid: GRAMINE, value: quoteOver(spki) }), /key$/],
    ['Intel’s extension', certificate({ oid: INTEL, value: quoteOver(spki) }), /key$/],
    [
      'Open Enclave’s extension, key in PEM',
      certificate({
        oid: OPEN_ENCLAVE,
        value: reportHeader(quoteOver(utf8(`${encodePem(spki, 'PUBLIC KEY')}\0`))),
      }),
      /PEM$/,
    ],
    [
      'Open Enclave’s evidence, with its key behind it',
      certificate({
        oid: '1.3.6.1.4.1.311.105.2',
        value: evidenceHeader(
          concat(
            quoteOver(utf8(`${encodePem(spki, 'PUBLIC KEY')}\0`)),
            utf8(`${encodePem(spki, 'PUBLIC KEY')}\0`),
          ),
        ),
      }),
      /PEM$/,
    ],
    ['tagged evidence', certificate({ oid: DICE, value: tagged(good) }), /claims/],
    [
      'tagged evidence with a tag of before',
      certificate({ oid: DICE, value: tagged(good, 0x1a7501) }),
      /claims/,
    ],
    [
      'claims with SHA-384',
      certificate({ oid: DICE, value: tagged(claimsOf(7, sha(spki, 'sha384'))) }),
      /claims/,
    ],
    [
      'claims with the pair itself',
      certificate({ oid: DICE, value: tagged(claimsOf(8, sha(spki, 'sha512'), false)) }),
      /claims/,
    ],
    [
      'both, as Gramine writes them: the tagged one counts',
      certificate({ oid: GRAMINE, value: plain }, { oid: DICE, value: tagged(good) }),
      /claims/,
    ],
  ]
  it.each(naming)('%s: the quote names the key', async (_, der, how) => {
    for (const bytes of [der, utf8(encodePem(der, 'CERTIFICATE'))]) {
      const { format, evidence } = openEvidence(bytes)
      expect(format.id).toBe('sgx')
      const found = await authenticateSgx(evidence, context)
      expect(failing(found.checks)).toEqual([])
      const binding = expect.stringMatching(how) as string
      expect(carriedOf(found)).toEqual({
        certificate: { keySha256: toHex(sha(spki)), binding },
      })
    }
  })

  const other = spkiOf(mintKey())
  const strangers: readonly (readonly [string, Uint8Array])[] = [
    ['a quote over another key', certificate({ oid: GRAMINE, value: quoteOver(other) })],
    ['a quote over nothing', certificate({ oid: GRAMINE, value: plain })],
    [
      'claims that name another key',
      certificate({ oid: DICE, value: tagged(claimsOf(1, sha(other))) }),
    ],
    [
      'claims that the quote is not over',
      certificate({ oid: DICE, value: tagged(good, 60000, held) }),
    ],
    ['claims without a key', certificate({ oid: DICE, value: tagged(encodeCbor(new Map())) })],
    ['a hash that is not known', certificate({ oid: DICE, value: tagged(claimsOf(2, sha(spki))) })],
    [
      'tagged evidence whose quote is over the key itself',
      certificate({ oid: DICE, value: tagged(good, 60000, spki) }),
    ],
    [
      'a good quote in the place that does not count',
      certificate(
        { oid: GRAMINE, value: quoteOver(spki) },
        { oid: DICE, value: tagged(claimsOf(1, sha(other))) },
      ),
    ],
  ]
  it.each(strangers)('refuses %s', async (_, der) => {
    const found = await authenticateSgx(der, context)
    expect(found.authentic).toBe(true)
    expect(failing(found.checks)).toEqual(['sgx.carried.binding'])
    expect(carriedOf(found)).toMatchObject({ certificate: { binding: null } })
  })

  it('another certificate around the same quote is refused', async () => {
    const value = quoteOver(spki)
    const stolen = mintRaTlsCertificate({
      key: mintKey(),
      now: NOW,
      extensions: [{ oid: GRAMINE, value }],
    })
    const found = await authenticateSgx(stolen, context)
    expect(failing(found.checks)).toEqual(['sgx.carried.binding'])
  })

  it.each([
    ['no extension of these', certificate({ oid: '1.2.3', value: plain })],
    ['an extension twice', certificate(...[1, 2].map(() => ({ oid: GRAMINE, value: plain })))],
    ['another tag', certificate({ oid: DICE, value: tagged(good, 60001) })],
    ['a PCK certificate', pki.certificates.pck],
    [
      'tagged evidence of one part',
      certificate({
        oid: DICE,
        value: concat(Uint8Array.of(0xd9, 0xea, 0x60), encodeCbor([plain])),
      }),
    ],
  ])('%s: carries no quote', (_, der) => {
    expect(quoteInCertificate(der)).toBeUndefined()
    expect(sgx.detects(der)).toBe(false)
  })

  it('a TDX quote is taken out for its own format', () => {
    const quote = mintTdxQuote(mintIntelPki({ now: NOW }), {
      header: { userData: new Uint8Array(20) },
    })
    const der = certificate({ oid: INTEL, value: quote })
    expect(unwrapEvidence(der)).toEqual(quote)
    expect(openEvidence(der).format.id).toBe('tdx')
  })
})
