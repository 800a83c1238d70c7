import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { unwrapEvidence } from '../../../src/core/evidence/common/unwrap.ts'
import { openEvidence } from '../../../src/core/evidence/formats.ts'
import { sharedDir } from '../../support/shared.ts'

const evidence = Uint8Array.from({ length: 600 }, (_, i) => (i * 37) % 256)
const hex = Buffer.from(evidence).toString('hex')
const base64 = Buffer.from(evidence).toString('base64')
const base64url = Buffer.from(evidence).toString('base64url')
const text = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))

const malformed = expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }) as Error

describe('spellings of the same evidence', () => {
  it.each([
    ['raw', evidence],
    ['hex', text(hex)],
    ['upper-case hex with a prefix and line breaks', text(`0x${hex.toUpperCase()}\n`)],
    ['hex over several lines', text(hex.replaceAll(/(.{64})/g, '$1\n'))],
    ['hex that ends in NUL', text(`${hex}\0`)],
    ['base64', text(base64)],
    ['base64 with line breaks', text(base64.replaceAll(/(.{76})/g, '$1\r\n'))],
    ['base64url without padding', text(base64url)],
    ['a JSON text', text(hex)],
    ['quote', text({ quote: hex, event_log: '[]', report_data: '00' })],
    ['0x in JSON', text({ quote: `0x${hex}` })],
    ['tdx_quote beside other things', text({ nonce: 'ab', tdx_quote: base64 })],
    ['camel case', text({ tdxQuote: base64url })],
    ['a list of byte values', text({ td_quote: [...evidence] })],
    ['type and data', text({ type: 'base64url', data: base64url })],
    ['nested objects', text({ attestation: { evidence: { quote: hex } } })],
    ['JSON inside JSON', text({ evidence: JSON.stringify({ quote: base64 }) })],
    ['our own request', text({ evidence: [{ format: 'tdx', evidence: base64url }] })],
  ])('%s', (_, wrapped) => {
    expect(unwrapEvidence(wrapped)).toEqual(evidence)
  })
})

describe('refusals are typed', () => {
  it.each([
    ['nothing', new Uint8Array()],
    ['blanks', text(' \n')],
    ['over 2 MiB', new Uint8Array(2 * 1024 * 1024 + 1)],
    ['prose', text('this is not evidence')],
    ['an odd digit', text(`{"quote": "${hex.slice(1)}!"}`)],
    ['JSON without evidence', text({ hello: 'world' })],
    ['broken JSON', text('{"quote": ')],
    ['a member twice', text(`{"quote": "${hex}", "quote": "00"}`)],
    ['two spellings of one member', text({ quote: hex, Quote: '00' })],
    ['two pieces of evidence', text({ evidence: [{ evidence: hex }, { evidence: hex }] })],
    ['bytes out of range', text({ quote: [1, 2, 256] })],
    [
      'a certificate that carries none',
      text('-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----'),
    ],
    ['depth', text(`${'{"quote":'.repeat(40)}"00"${'}'.repeat(40)}`)],
  ])('%s', (_, wrapped) => {
    expect(() => unwrapEvidence(wrapped)).toThrow(malformed)
  })

  it('garbage-is-typed', () => {
    const answers = (bytes: Uint8Array): boolean => {
      try {
        return unwrapEvidence(bytes).length > 0
      } catch (error) {
        return error instanceof VouchsafeError
      }
    }
    const options = { numRuns: 500, interruptAfterTimeLimit: 5000 }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), answers), options)
    fc.assert(
      fc.property(fc.json(), (json) => answers(text(json))),
      options,
    )
    fc.assert(
      fc.property(fc.string({ maxLength: 100 }), (s) => answers(text(s))),
      options,
    )
  })
})

it('calls a token what it is, asked for by a name or not', () => {
  const part = (value: unknown) => Buffer.from(text(value)).toString('base64url')
  // A header parameter that nobody knows may change what the signature means.
  const token = [part({ alg: 'ES256', zip: 'DEF' }), part({ iss: 'x' }), 'AAAA'].join('.')
  for (const name of ['auto', 'ear', 'tdx']) {
    expect(() => openEvidence(text(token), name), name).toThrow('a signed token (JWS)')
  }
  expect(() => unwrapEvidence(text('a.b'))).toThrow('neither hexadecimal, base64 nor JSON')
})

it('input-is-untouched', () => {
  const given = evidence.slice()
  const taken = unwrapEvidence(given)
  taken.fill(0)
  expect(given).toEqual(evidence)
})

it('takes the evidence out of every wrapper among the public captures', () => {
  const shared = sharedDir()
  if (shared === undefined) return
  const take = (file: string): string =>
    Buffer.from(unwrapEvidence(readFileSync(join(shared, 'evidence', file)))).toString('hex')
  const tdx = /^0[45]000200(81|00)000000/
  expect(take('tdx/dstack-quote-report.json')).toMatch(tdx)
  expect(take('tdx/dstack-attestation.scale.bin')).toMatch(tdx)
  expect(take('az-tdx-vtpm/trustee-evidence-v0.json')).toMatch(tdx)
  expect(take('az-tdx-vtpm/trustee-evidence-v1.json')).toMatch(tdx)
  const certificates = readdirSync(join(shared, 'evidence/nitro')).filter((f) =>
    f.includes('cert-containing'),
  )
  expect(certificates.length).toBeGreaterThanOrEqual(3)
  for (const file of ['evervault-valid-ga.b64.txt', ...certificates]) {
    expect(take(`nitro/${file}`)).toMatch(/^8444a1013822/)
  }
})
