import { generateKeyPairSync, type JsonWebKey } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { JWK } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AttestationResult } from '../../../src/core/appraisal/result.ts'
import { encodeEar } from '../../../src/core/attestation-result/ear.ts'
import { parseConfig } from '../../../src/main/config.ts'
import { createEarReader, loadTrustedIssuers, productionReader } from '../../../src/main/trust.ts'

const NOW = new Date('2026-11-23T12:00:00Z')
const digest = `sha256:${'ab'.repeat(32)}`

interface Pair {
  readonly kid: string
  readonly privateJwk: JWK
  readonly publicJwk: JWK
}

const pair = (kid: string): Pair => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = (key: JsonWebKey): JWK => ({ ...(key as JWK), kty: 'EC', kid })
  return {
    kid,
    privateJwk: jwk(privateKey.export({ format: 'jwk' })),
    publicJwk: jwk(publicKey.export({ format: 'jwk' })),
  }
}

const [one, two] = [pair('one'), pair('two')]

const result: AttestationResult = {
  format: 'tdx',
  tier: 'affirming',
  policyId: 'p',
  policyDigest: digest,
  checks: [{ id: 'tdx.a', outcome: 'pass', expected: 'x', actual: 'x' }],
  tcb: null,
  claims: null,
}

const earOf = async (
  issuer: string,
  { privateJwk, kid }: Pair,
  {
    issuedAt = NOW,
    results = { cpu0: result },
  }: {
    readonly issuedAt?: Date
    readonly results?: Readonly<Record<string, AttestationResult>>
  } = {},
): Promise<string> =>
  encodeEar(
    {
      issuer,
      id: 'id',
      issuedAt,
      expiresAt: new Date(issuedAt.getTime() + 300_000),
      nonce: 'ab'.repeat(32),
      verifier: { developer: 'd', build: 'b' },
      results,
      keysetDigest: digest,
      statementDigest: digest,
      evidenceDigests: Object.keys(results).map(() => digest),
      logIndex: Object.keys(results).length - 1,
      ...(Object.keys(results).length > 1 && {
        logIndexes: Object.fromEntries(Object.keys(results).map((name, i) => [name, i])),
      }),
    },
    { key: privateJwk, kid },
  )

const read = createEarReader([
  { issuer: 'urn:one', keys: [one.publicJwk] },
  { issuer: 'urn:two', keys: [two.publicJwk] },
])

describe('createEarReader', () => {
  it('believes each issuer with its own keys', async () => {
    expect((await read(await earOf('urn:one', one), NOW)).issuer).toBe('urn:one')
    expect((await read(await earOf('urn:two', two), NOW)).issuer).toBe('urn:two')
  })

  it('lets no issuer speak for another', async () => {
    const untrusted = { code: 'ERR_RESULT_UNTRUSTED' }
    await expect(read(await earOf('urn:two', one), NOW)).rejects.toMatchObject(untrusted)
    await expect(read(await earOf('urn:one', two), NOW)).rejects.toMatchObject(untrusted)
    await expect(read(await earOf('urn:three', pair('x')), NOW)).rejects.toMatchObject(untrusted)
    const imposter = { ...pair('one'), kid: 'one' }
    await expect(read(await earOf('urn:one', imposter), NOW)).rejects.toMatchObject(untrusted)
  })

  it('believes nobody when nobody is configured', async () => {
    const nobody = createEarReader([])
    await expect(nobody(await earOf('urn:one', one), NOW)).rejects.toMatchObject({
      code: 'ERR_RESULT_UNTRUSTED',
      at: 'ear.iss',
    })
  })

  it.each([
    ['urn:one', one],
    ['urn:two', two],
  ])('gives the reason of %s itself, whichever place it has', async (issuer, key) => {
    const old = await earOf(issuer, key, { issuedAt: new Date(NOW.getTime() - 3_600_000) })
    await expect(read(old, NOW)).rejects.toMatchObject({ at: 'ear.exp' })
  })
})

describe('productionReader', () => {
  const simulated: AttestationResult = { ...result, format: 'simulated' }

  it('believes nothing simulated, however well it is signed, alone or beside real hardware', async () => {
    const reader = productionReader(read)
    expect((await reader(await earOf('urn:one', one), NOW)).issuer).toBe('urn:one')
    for (const results of [{ cpu0: simulated }, { cpu0: result, cpu1: simulated }]) {
      const ear = await earOf('urn:one', one, { results })
      expect((await read(ear, NOW)).issuer).toBe('urn:one')
      await expect(reader(ear, NOW)).rejects.toMatchObject({
        code: 'ERR_RESULT_UNTRUSTED',
        at: 'ear.submods',
      })
    }
  })
})

describe('loadTrustedIssuers', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vouchsafe-'))
  })
  afterEach(() => {
    rmSync(directory, { recursive: true })
  })

  const load = async (...sets: readonly unknown[]) => {
    const trustedVerifiers = sets.map((set, i) => {
      writeFileSync(join(directory, `${i}.json`), JSON.stringify(set))
      return { issuer: 'urn:one', jwks: `${i}.json` }
    })
    const text = JSON.stringify({ trustedVerifiers })
    return loadTrustedIssuers(parseConfig({ file: join(directory, 'f.json'), text }))
  }

  it('reads a JWK set', async () => {
    const trusted = await load({ keys: [one.publicJwk] })
    const reader = createEarReader(trusted)
    expect((await reader(await earOf('urn:one', one), NOW)).issuer).toBe('urn:one')
  })

  it.each([
    ['a private key', { keys: [one.privateJwk] }],
    ['no key', { keys: [] }],
    ['another curve', { keys: [{ ...one.publicJwk, crv: 'P-384' }] }],
    ['a URL to fetch keys from', { keys: [{ ...one.publicJwk, x5u: 'https://x' }] }],
    ['nothing of the kind', []],
  ])('refuses %s', async (_, set) => {
    await expect(load(set)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })

  it('refuses an issuer that is there twice', async () => {
    const set = { keys: [one.publicJwk] }
    await expect(load(set, set)).rejects.toMatchObject({ at: 'trustedVerifiers' })
  })
})
