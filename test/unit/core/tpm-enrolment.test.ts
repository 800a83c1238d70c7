/** Credentials for TPMs: what is examined before one is made, and that only the TPM's side can open it. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import type { AuthenticationContext } from '../../../src/core/evidence/common/format.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import {
  type Candidate,
  challenge,
  ENROLMENT_CHECK_IDS,
  examine,
  isAnswer,
} from '../../../src/core/evidence/tpm/enrolment.ts'
import { createCredentialCrypto } from '../../../src/drivers/credential/node.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { systemRandom } from '../../../src/drivers/random.ts'
import {
  AK_ATTRIBUTES,
  mintAkCertificate,
  mintEkCertificate,
  mintPublicArea,
  mintTpmKey,
  mintTpmPki,
} from '../../../src/testing/index.ts'
import { crls, NOW, PKI } from '../../support/tpm.ts'
import { activate, rsaSide } from '../../support/tpm-side.ts'

const crypto = { ...createCrypto(), ...createCredentialCrypto() }
const EK = mintTpmKey('RS256')
const AK = mintTpmKey()
const DAY = 24 * 60 * 60 * 1000

const candidate = (change: Partial<Candidate> = {}): Candidate => ({
  ekCertificate: mintEkCertificate(PKI, { spki: EK.spki }),
  issuers: [PKI.issuing.der, PKI.root.der],
  akPublic: mintPublicArea(AK),
  withoutCrl: undefined,
  ...change,
})
const context = (change: Partial<AuthenticationContext> = {}): AuthenticationContext => ({
  endorsements: crls(),
  anchors: { ...VENDOR_ANCHORS, tpm: [PKI.anchor] },
  now: NOW,
  crypto,
  memo: createMemo(10),
  ...change,
})
const failing = async (change: Partial<Candidate>, around: Partial<AuthenticationContext> = {}) => {
  const examined = await examine(candidate(change), context(around))
  const failed = examined.checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id)
  expect(examined.good).toBe(failed.length === 0)
  return failed
}
const ek = (change: Partial<Parameters<typeof mintEkCertificate>[1]>) => ({
  ekCertificate: mintEkCertificate(PKI, { spki: EK.spki, ...change }),
})

describe('examine', () => {
  it('passes a TPM whose maker is trusted, and names both keys', async () => {
    const { checks, good, ak, ek: found } = await examine(candidate(), context())
    expect(good).toBe(true)
    expect(checks.map(({ id, outcome }) => [id, outcome])).toEqual(
      ENROLMENT_CHECK_IDS.map((id) => [id, 'pass']),
    )
    const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
    expect(ak).toEqual({ pin: sha256(AK.spki), name: `000b${sha256(mintPublicArea(AK))}` })
    expect(found).toMatchObject({ key: sha256(EK.spki), root: PKI.anchor })
  })

  it.each([
    ['no extKeyUsage', ek({ extendedKeyUsage: undefined }), ['tpm.ek.usage']],
    ['that of an attestation key', ek({ extendedKeyUsage: ['2.23.133.8.3'] }), ['tpm.ek.usage']],
    ['a key that signs', ek({ keyUsage: ['digitalSignature'] }), ['tpm.ek.usage']],
    ['the other kind of encryption', ek({ keyUsage: ['keyAgreement'] }), ['tpm.ek.usage']],
    ['ended', ek({ notAfter: new Date(NOW.getTime() - DAY) }), ['tpm.ek.validity']],
    ['not begun', ek({ notBefore: new Date(NOW.getTime() + DAY) }), ['tpm.ek.validity']],
    [
      'the certificate of an attestation key',
      { ekCertificate: mintAkCertificate(PKI, { spki: AK.spki }) },
      ['tpm.ek.usage'],
    ],
    ['a CA', { ekCertificate: PKI.issuing.der }, ['tpm.ek.usage']],
    [
      'signed by another key of the same name',
      ek({ issuer: { name: PKI.issuing.name, key: mintTpmKey('ES384') } }),
      ['tpm.ek.path', 'tpm.ek.revocation'],
    ],
  ] as const)('EK certificate: %s', async (_, change, failed) => {
    expect(await failing(change)).toEqual(failed)
  })

  it.each([
    [['2.23.133.8.1'], []],
    [['2.23.133.8.3'], ['tpm.ek.usage']],
    [['1.3.6.1.5.5.7.3.1'], ['tpm.ek.usage']],
  ])('a CA that is for %s', async (issuingUsages, failed) => {
    const pki = mintTpmPki({ at: NOW, issuingUsages })
    const change = {
      ekCertificate: mintEkCertificate(pki, { spki: EK.spki }),
      issuers: [pki.issuing.der, pki.root.der],
      withoutCrl: 'not asked here',
    }
    const anchors = { ...VENDOR_ANCHORS, tpm: [pki.anchor] }
    expect(await failing(change, { anchors, endorsements: NO_ENDORSEMENTS })).toEqual(failed)
  })

  it.each([
    ['fixedTPM', 1],
    ['fixedParent', 4],
    ['sensitiveDataOrigin', 5],
    ['restricted', 16],
    ['sign', 18],
  ])('AK without %s', async (_, bit) => {
    const akPublic = mintPublicArea(AK, { attributes: AK_ATTRIBUTES & ~(1 << bit) })
    expect(await failing({ akPublic })).toEqual(['tpm.ak.attributes'])
  })

  it('AK that also decrypts', async () => {
    const akPublic = mintPublicArea(AK, { attributes: AK_ATTRIBUTES | (1 << 17) })
    expect(await failing({ akPublic })).toEqual(['tpm.ak.attributes'])
  })

  it('another root, no root, and no issuers at hand', async () => {
    const others = mintTpmPki({ at: NOW })
    const anchors = { ...VENDOR_ANCHORS, tpm: [others.anchor] }
    expect(await failing({}, { anchors })).toEqual(['tpm.ek.anchor', 'tpm.ek.revocation'])
    expect(await failing({}, { anchors: VENDOR_ANCHORS })).toEqual([
      'tpm.ek.anchor',
      'tpm.ek.revocation',
    ])
    await expect(examine(candidate({ issuers: [] }), context())).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'tpm.ek.path',
    })
  })

  it('a pin of an attestation key is no root', async () => {
    const digest = createHash('sha256').update(PKI.root.der).digest('hex')
    const anchors = { ...VENDOR_ANCHORS, tpmKeys: [digest] }
    expect(await failing({}, { anchors })).toContain('tpm.ek.anchor')
  })

  it('a list for every issuer, unless somebody says why not; one that is there always counts', async () => {
    const none = { endorsements: NO_ENDORSEMENTS }
    expect(await failing({}, none)).toEqual(['tpm.ek.revocation'])
    const waived = await examine(candidate({ withoutCrl: 'none published' }), context(none))
    expect(waived.good).toBe(true)
    expect(waived.checks.find(({ id }) => id === 'tpm.ek.revocation')).toMatchObject({
      outcome: 'waived',
      expected: 'any (none published)',
    })
    const half = { ...NO_ENDORSEMENTS, crls: crls().crls.slice(0, 1) }
    expect(await failing({}, { endorsements: half })).toEqual(['tpm.ek.revocation'])
    for (const withoutCrl of [undefined, 'none published']) {
      const revoked = { endorsements: crls([1000]) }
      expect(await failing({ withoutCrl }, revoked)).toEqual(['tpm.ek.revocation'])
      const stale = crls([], { thisUpdate: new Date(0), nextUpdate: new Date(DAY) })
      expect(await failing({ withoutCrl }, { endorsements: stale })).toEqual(['tpm.ek.revocation'])
    }
  })

  it('garbage-is-typed: certificates and public areas cut off anywhere', async () => {
    const { ekCertificate, akPublic } = candidate()
    for (const [name, bytes] of Object.entries({ ekCertificate, akPublic })) {
      for (let length = 0; length < bytes.length; length += 7) {
        const cut = candidate({ [name]: bytes.slice(0, length) })
        await expect(examine(cut, context()), `${name} ${length}`).rejects.toMatchObject({
          name: 'VouchsafeError',
          code: expect.stringMatching(/^ERR_EVIDENCE_(MALFORMED|UNSUPPORTED)$/) as string,
        })
      }
    }
  })
})

describe('challenge', () => {
  it('is not made for a TPM that failed', async () => {
    const failed = await examine(candidate(ek({ keyUsage: ['digitalSignature'] })), context())
    await expect(challenge(failed, crypto, systemRandom)).rejects.toMatchObject({
      code: 'ERR_RESULT_NOT_AFFIRMING',
      at: 'tpm.ek.usage',
    })
  })

  it('is answered by the secret in it, and by nothing else', async () => {
    const examined = await examine(candidate(), context())
    const { credential, secretDigest } = await challenge(examined, crypto, systemRandom)
    const name = Buffer.from(examined.ak.name, 'hex')
    const secret = activate(credential, name, rsaSide(EK.privateKey, 'sha256'))
    const digest = Uint8Array.from(Buffer.from(secretDigest, 'hex'))
    expect(await isAnswer(secret, digest, { crypto })).toBe(true)
    for (const wrong of [
      secret.with(31, (secret[31] ?? 0) ^ 1),
      secret.slice(1),
      new Uint8Array(),
    ]) {
      expect(await isAnswer(wrong, digest, { crypto })).toBe(false)
    }
    const again = await challenge(examined, crypto, systemRandom)
    expect(again.secretDigest).not.toBe(secretDigest)
  })
})
