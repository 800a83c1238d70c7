import { CompactSign, exportJWK, generateKeyPair, type JWK } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { decodeEar, type EarSigner, encodeEar } from '../../../src/core/attestation-result/ear.ts'
import { resultOf } from '../../support/release.ts'

const ISSUER = 'https://verifier.example'
const AT = new Date('2026-03-01T12:00:00Z')
const digest = `sha256:${'ab'.repeat(32)}`
type Claims = Readonly<Record<string, unknown>>
let signer: EarSigner
let key: JWK
let payload: Claims

beforeAll(async () => {
  const pair = await generateKeyPair('ES256', { extractable: true })
  signer = { key: pair.privateKey, kid: 'k1' }
  key = { ...(await exportJWK(pair.publicKey)), kid: 'k1' }
  const token = await encodeEar(
    {
      issuer: ISSUER,
      id: 'ear-1',
      issuedAt: AT,
      expiresAt: new Date(AT.getTime() + 300_000),
      nonce: '01'.repeat(32),
      verifier: { developer: 'https://vouchsafe.example', build: 'vouchsafe 0.1.0' },
      results: { cpu0: resultOf() },
      keysetDigest: digest,
      statementDigest: digest,
      evidenceDigests: [digest],
      logIndex: 7,
    },
    signer,
  )
  payload = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Claims
})

const sign = async (text: string | Uint8Array): Promise<string> =>
  new CompactSign(typeof text === 'string' ? new TextEncoder().encode(text) : text)
    .setProtectedHeader({ alg: 'ES256', typ: 'eat+jwt', kid: 'k1' })
    .sign(signer.key)
const decode = async (token: string) => decodeEar(token, { issuer: ISSUER, keys: [key], now: AT })
const withSubmodules = async (names: readonly string[], change: Claims = {}) => {
  const { cpu0 } = payload['submods'] as { readonly cpu0: Claims }
  const submods = Object.fromEntries(names.map((name) => [name, cpu0]))
  const evidence = names.map(() => digest)
  const log_indexes = Object.fromEntries(names.map((name, i) => [name, 7 - i]))
  const several = names.length > 1 && { 'vouchsafe.log_indexes': log_indexes }
  const claims = { ...payload, submods, 'vouchsafe.evidence': evidence, ...several, ...change }
  return decode(await sign(JSON.stringify(claims)))
}

describe('a signed EAR that two readers could read differently', () => {
  it.each([
    ['of a device that the evidence is not of', ['gpu0']],
    ['numbered from one', ['cpu1']],
    ['numbered with a gap', ['cpu0', 'cpu2']],
    ['numbered in two ways', ['cpu0', 'cpu00']],
    ['of nobody', ['constructor']],
  ])('has submodules with a name %s', async (_, names) => {
    const refused = { code: 'ERR_RESULT_MALFORMED', at: 'ear.submods' }
    await expect(withSubmodules(names)).rejects.toMatchObject(refused)
  })

  it('has none of that', async () => {
    const decoded = await withSubmodules(['cpu0', 'cpu1'])
    expect(Object.keys(decoded.results)).toEqual(['cpu0', 'cpu1'])
    expect(decoded).toMatchObject({ logIndex: 7, logIndexes: { cpu0: 7, cpu1: 6 } })
    expect(await withSubmodules(['cpu0'])).not.toHaveProperty('logIndexes')
  })

  it.each<[string, readonly string[], unknown]>([
    ['of one', ['cpu0'], { cpu0: 7 }],
    ['absent', ['cpu0', 'cpu1'], undefined],
    ['a list', ['cpu0', 'cpu1'], [7, 6]],
    ['one less', ['cpu0', 'cpu1'], { cpu0: 7 }],
    ['one more', ['cpu0', 'cpu1'], { cpu0: 7, cpu1: 6, cpu2: 5 }],
    ['of another submodule', ['cpu0', 'cpu1'], { cpu0: 7, gpu0: 6 }],
    ['one leaf for two', ['cpu0', 'cpu1'], { cpu0: 7, cpu1: 7 }],
    ['no leaf', ['cpu0', 'cpu1'], { cpu0: 7, cpu1: -1 }],
    ['none of them the log_index', ['cpu0', 'cpu1'], { cpu0: 5, cpu1: 6 }],
    ['one after the log_index', ['cpu0', 'cpu1'], { cpu0: 7, cpu1: 8 }],
  ])('has log indexes that are %s', async (_, names, indexes) => {
    const refused = { code: 'ERR_RESULT_MALFORMED', at: 'ear.vouchsafe.log_indexes' }
    const change = { 'vouchsafe.log_indexes': indexes }
    await expect(withSubmodules(names, change)).rejects.toMatchObject(refused)
  })

  it.each([
    ['a keyset digest twice', '{"vouchsafe.keyset_digest":"sha256:00",'],
    ['all submodules twice', '{"submods":{"cpu0":{}},'],
    ['a prototype', '{"__proto__":{},'],
  ])('has %s', async (_, head) => {
    const token = await sign(JSON.stringify(payload).replace('{', head))
    const refused = { code: 'ERR_RESULT_MALFORMED', at: 'ear.payload' }
    await expect(decode(token)).rejects.toMatchObject(refused)
  })

  it('is not UTF-8', async () => {
    const text = JSON.stringify({ ...payload, x: 'x' })
    const bytes = new TextEncoder().encode(text)
    bytes[text.indexOf('"x":"x"') + 5] = 0xff
    await expect(decode(await sign(bytes))).rejects.toMatchObject({ code: 'ERR_RESULT_MALFORMED' })
  })
})
