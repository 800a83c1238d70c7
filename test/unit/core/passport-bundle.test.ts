import { describe, expect, it } from 'vitest'
import { type AppraisalInput, appraise } from '../../../src/core/appraisal/appraise.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import type { PassportKind } from '../../../src/core/endorsements/passport-trust.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  mintJwk,
  mintPassport,
  mintPassportIssuer,
  type PassportOptions,
} from '../../../src/testing/index.ts'
import { passportIssuer } from '../../support/mint-case.ts'
import { failures, NOW, passportInput, trusting, verdictOf } from '../../support/passports.ts'

const CRYPTO = createCrypto()
const SECONDS = Math.floor(NOW.getTime() / 1000)

async function failing(
  kind: PassportKind,
  token: Partial<PassportOptions> = {},
  input: Partial<AppraisalInput> = {},
): Promise<readonly string[]> {
  const result = await verdictOf(passportInput(kind, token, input))
  expect(result.claims === null).toBe(result.tier === 'contraindicated')
  return failures(result)
}

describe('NRAS bundles', () => {
  const kind = 'nvidia-nras'
  const issuer = passportIssuer(kind)
  const bundle = (change: (parts: Record<string, string>, whole: string) => unknown) => {
    const good = JSON.parse(Buffer.from(mintPassport({ issuer, at: NOW })).toString()) as [
      [string, string],
      Record<string, string>,
    ]
    return { evidence: Uint8Array.from(Buffer.from(JSON.stringify(change(good[1], good[0][1])))) }
  }
  const other = JSON.parse(
    Buffer.from(
      mintPassport({ issuer, at: NOW, devices: { 'GPU-0': { measres: 'success', ueid: '9' } } }),
    ).toString(),
  ) as [[string, string], Record<string, string>]

  it('refuses a token whose digest is another, though its signature is good', async () => {
    const swapped = bundle((_, whole) => [['JWT', whole], other[1]])
    expect(await failing(kind, {}, swapped)).toEqual(['binding.devices'])
  })

  it('refuses a token that is not listed, and the lack of one that is', async () => {
    const more = bundle((parts, whole) => [['JWT', whole], { ...parts, 'GPU-1': parts['GPU-0'] }])
    expect(await failing(kind, {}, more)).toEqual(['binding.devices'])
    const renamed = bundle((parts, whole) => [['JWT', whole], { 'GPU-1': parts['GPU-0'] }])
    expect(await failing(kind, {}, renamed)).toEqual(['binding.devices'])
  })

  it.each<[string, Json | undefined]>([
    ['no submodules', undefined],
    ['no submodules in it', {}],
    ['a digest of another kind', { 'GPU-0': ['DIGEST', ['SHA-1', '00'.repeat(20)]] }],
    ['a digest that is none', { 'GPU-0': ['DIGEST', ['SHA-256', null]] }],
    ['claims in place of a digest', { 'GPU-0': { measres: 'success' } }],
    ['more than a digest', { 'GPU-0': ['DIGEST', ['SHA-256', '00'.repeat(32), 'x']] }],
  ])('refuses %s', async (_, submods) => {
    expect(await failing(kind, { claims: { submods } })).toEqual(['binding.devices'])
  })

  it('refuses a device that answers another nonce, or is of another issuer', async () => {
    const nonce = { devices: { 'GPU-0': { eat_nonce: '00'.repeat(32) } } }
    expect(await failing(kind, nonce)).toEqual(['binding.devices'])
    const found = await failing(kind, { devices: { 'GPU-0': { iss: 'https://x.example' } } })
    expect(found).toContain('token.issuer')
    expect(found).toContain('binding.devices')
  })

  it.each<[string, Json, readonly string[]]>([
    ['none', null, []],
    ['an empty list', [], []],
    ['one', [{ index: 9 }], ['device.measres']],
    ['something else', {}, ['device.measres']],
    ['a word', 'none', ['device.measres']],
  ])('records that differ beside success: %s', async (_, records, failed) => {
    for (const kindOf of ['measurement', 'opaque-data']) {
      const device = { [`x-nvidia-mismatch-${kindOf}-records`]: records }
      const input = passportInput(kind, { devices: { 'GPU-0': device } })
      expect(failures(await verdictOf(input)), kindOf).toEqual(failed)
    }
  })

  it('judges every token by itself: one device expired, one from the future', async () => {
    const expired = { devices: { 'GPU-0': {}, 'GPU-1': { ueid: '2', exp: SECONDS } } }
    expect(await failing(kind, expired)).toEqual(['freshness.expiry', 'token.lifetime'])
    const early = { devices: { 'GPU-0': {}, 'GPU-1': { ueid: '2', nbf: SECONDS + 61 } } }
    expect(await failing(kind, early)).toEqual(['freshness.not_before'])
  })

  it('costs a verification each at best, and one bad token ends it', async () => {
    const strangers = Array.from({ length: 31 }, () => mintJwk(mintKey('ES384')))
    const keys = [...strangers, mintJwk(issuer.key)]
    // Nothing says which of them it is.
    const pinned = mintPassportIssuer({ kind, at: NOW, key: issuer.key, trust: { keys: { keys } } })
    const names = Array.from({ length: 32 }, (_, i) => `GPU-${i}`)
    const good = mintPassport({
      issuer: pinned,
      at: NOW,
      devices: Object.fromEntries(names.map((name, i) => [name, { ueid: `${i + 1}` }])),
      header: { kid: undefined },
    })
    const [[, whole], parts] = JSON.parse(Buffer.from(good).toString()) as [
      [string, string],
      Record<string, string>,
    ]
    const cost = async (bundled: unknown) => {
      let verified = 0
      const crypto = {
        ...CRYPTO,
        verify: async (...args: Parameters<typeof CRYPTO.verify>) => {
          verified++
          return CRYPTO.verify(...args)
        },
      }
      const evidence = Uint8Array.from(Buffer.from(JSON.stringify(bundled)))
      const input = passportInput(kind, { issuer: pinned }, { evidence })
      const trusted = { ...input, anchors: trusting(pinned.trust) }
      const result = await appraise(trusted, { crypto, memo: createMemo(0) })
      return [verified, failures(result)]
    }
    expect(await cost([['JWT', whole], parts])).toEqual([32 + 32, []])
    const forged = Object.fromEntries(names.map((name) => [name, parts[name] ?? '']))
    for (const name of names) forged[name] = forged[name]?.replace(/.{20}$/, 'A'.repeat(20)) ?? ''
    const failed = ['signature.token', 'binding.devices']
    expect(await cost([['JWT', whole], forged])).toEqual([32 + 32, failed])
    const broken = whole.replace(/.{20}$/, 'A'.repeat(20))
    expect(await cost([['JWT', broken], parts])).toEqual([32, ['signature.token']])
  })

  it('is taken from what NVIDIA’s tools print, whose other members nobody signed', async () => {
    const printed = bundle((parts, whole) => ({
      claims: [{ measres: 'fail' }],
      detached_eat: [['JWT', whole], parts],
      result_code: 0,
    }))
    expect(await failing(kind, {}, printed)).toEqual([])
  })
})
