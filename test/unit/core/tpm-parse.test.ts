/** TPM structures and the JSON around them: what is read, and what is refused for what. */
import { expect, it } from 'vitest'
import { tpm } from '../../../src/core/evidence/tpm/format.ts'
import { parsePublicArea, wrongAttributes } from '../../../src/core/evidence/tpm/public-area.ts'
import { parseSignature } from '../../../src/core/evidence/tpm/signature.ts'
import {
  goodPcrs,
  mintPublicArea,
  mintTpmQuote,
  type TpmQuoteOptions,
} from '../../../src/testing/index.ts'
import { AK, evidence } from '../../support/tpm.ts'

const MALFORMED = 'ERR_EVIDENCE_MALFORMED'
const UNSUPPORTED = 'ERR_EVIDENCE_UNSUPPORTED'
const error = (code: string, at?: string) =>
  expect.objectContaining({ code, ...(at !== undefined && { at }) }) as Error
const sha1 = { sha1: { 0: new Uint8Array(20) } }

it.each<[string, Partial<TpmQuoteOptions>, string, string]>([
  ['another magic', { magic: 0xff544346 }, MALFORMED, 'tpm.quote.magic'],
  ['a certification for a quote', { type: 0x8017 }, MALFORMED, 'tpm.quote.type'],
  ['bytes left over', { trailer: Uint8Array.of(0) }, MALFORMED, 'tpm.quote.end'],
  ['a safe of two', { safe: 2 }, MALFORMED, 'tpm.quote.safe'],
  ['too much extra data', { extraData: new Uint8Array(67) }, MALFORMED, 'tpm.quote.extraData'],
  [
    'an endless signer',
    { qualifiedSigner: new Uint8Array(67) },
    MALFORMED,
    'tpm.quote.qualifiedSigner',
  ],
  [
    'a SHA-1 bank',
    { pcrs: sha1, selection: { sha1: [0] } },
    UNSUPPORTED,
    'tpm.quote.pcrSelect.hash',
  ],
])('refuses a quote with %s', (...[, change, code, at]) => {
  expect(() => tpm.parse(evidence({ values: goodPcrs(), ...change }))).toThrow(error(code, at))
})

it('refuses a bank twice, and PCRs that are none', () => {
  const { message } = mintTpmQuote({ key: AK })
  const one = Buffer.from('000b03ff0000', 'hex')
  const at = Buffer.from(message).indexOf(one)
  expect(at).toBeGreaterThan(0)
  const tail = message.subarray(at + one.length)
  const head = Buffer.from(message.subarray(0, at))
  head.writeUInt32BE(2, at - 4)
  const twice = Buffer.concat([head, one, one, tail])
  const above = Buffer.from(
    Buffer.concat([message.subarray(0, at), Buffer.from('000b0400000001', 'hex'), tail]),
  )
  const json = JSON.parse(new TextDecoder().decode(evidence())) as { tpm_quote: object }
  for (const [bytes, code] of [
    [twice, MALFORMED],
    [above, UNSUPPORTED],
  ] as const) {
    const tpm_quote = { ...json.tpm_quote, message: bytes.toString('base64') }
    const text = new TextEncoder().encode(JSON.stringify({ ...json, tpm_quote }))
    expect(() => tpm.parse(text)).toThrow(error(code))
  }
})

it.each<[string, string, string]>([
  ['SHA-1', '0014000400020102', UNSUPPORTED],
  ['ECDAA', '001a000b00010100010200', UNSUPPORTED],
  ['no scheme', '0010', UNSUPPORTED],
  ['a length beyond its end', '0014000b01000102', MALFORMED],
  ['bytes left over', '0014000b0002010200', MALFORMED],
  ['nothing', '', MALFORMED],
])('refuses a signature with %s', (_, hex, code) => {
  expect(() => parseSignature(Buffer.from(hex, 'hex'), 'sig')).toThrow(error(code))
})

it.each<[number, readonly string[]]>([
  [0x00050072, []],
  [0x00050070, ['no fixedTPM']],
  [0x00050062, ['no fixedParent']],
  [0x00050052, ['no sensitiveDataOrigin']],
  [0x00040072, ['no restricted']],
  [0x00010072, ['no sign']],
  [0x00070072, ['decrypt']],
  [0, ['no fixedTPM', 'no fixedParent', 'no sensitiveDataOrigin', 'no restricted', 'no sign']],
])('attributes 0x%s', (attributes, wrong) => {
  const area = parsePublicArea(mintPublicArea(AK, { attributes }), 'public')
  expect(wrongAttributes(area)).toEqual(wrong)
  expect(area.key.spki).toEqual(AK.spki)
})

it.each<[string, (json: Record<string, unknown>) => unknown]>([
  ['a list', () => []],
  ['an unknown member', (json) => ({ ...json, ek_certificate: '' })],
  ['no quote', ({ ak_public }) => ({ ak_public })],
  ['no key', ({ tpm_quote }) => ({ tpm_quote })],
  ['a key that is none', (json) => ({ ...json, ak_public: 'AAEC' })],
  ['base64url', (json) => ({ ...json, ak_public: '_-8=' })],
  ['too many certificates', (json) => ({ ...json, ak_certificates: Array(9).fill('') })],
  ['a certificate that is none', (json) => ({ ...json, ak_certificates: ['AAEC'] })],
  ['an empty certification', (json) => ({ ...json, ak_certify: {} })],
  ['an event log that is none', (json) => ({ ...json, event_log: 'AAEC' })],
  ['a PCR by two names', (json) => quote(json, { sha256: { '00': '00'.repeat(32) } })],
  ['a PCR that is none', (json) => quote(json, { sha256: { '24': '00'.repeat(32) } })],
  ['a value of another size', (json) => quote(json, { sha256: { '0': '00'.repeat(48) } })],
  ['an unknown bank', (json) => quote(json, { sha1: { '0': '00'.repeat(20) } })],
  ['values of two sizes', (json) => quote(json, ['00'.repeat(32), '00'.repeat(48)])],
  ['no values', (json) => quote(json, [])],
  ['too many values', (json) => quote(json, Array(25).fill('00'.repeat(32)))],
])('refuses JSON with %s', (_, change) => {
  const json = JSON.parse(new TextDecoder().decode(evidence())) as Record<string, unknown>
  const bytes = new TextEncoder().encode(JSON.stringify(change(json)))
  expect(() => tpm.parse(bytes)).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/^ERR_EVIDENCE_/) as string }) as Error,
  )
})

it('describes every field', () => {
  const names = tpm.describe(tpm.parse(evidence())).map(({ name }) => name)
  expect(names).toEqual(
    expect.arrayContaining(['extraData', 'clock', 'pcrDigest', 'AK attributes']),
  )
  expect(new Set(names).size).toBe(names.length)
})

function quote(json: Record<string, unknown>, pcrs: unknown): unknown {
  return { ...json, tpm_quote: { ...(json['tpm_quote'] as object), pcrs } }
}
