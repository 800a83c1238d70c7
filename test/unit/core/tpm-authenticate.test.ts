/** One thing wrong at a time, in otherwise validly signed evidence. */
import { describe, expect, it } from 'vitest'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import { ATTRIBUTES } from '../../../src/core/evidence/tpm/public-area.ts'
import {
  AK_ATTRIBUTES,
  goodPcrs,
  mintAkCertificate,
  mintName,
  mintPublicArea,
  mintTpmCertify,
  mintTpmCrls,
  mintTpmKey,
  mintTpmPki,
  mintTpmSignature,
  type TpmEvidenceOptions,
} from '../../../src/testing/index.ts'
import {
  AK,
  AK_CERTIFICATE,
  ANCHORS,
  appraiseTpmEvidence,
  crls,
  evidence,
  failures,
  NOW,
  PKI,
  type TpmCase,
  tpmPolicy,
} from '../../support/tpm.ts'

const OTHER = mintTpmKey()
const RSA = mintTpmKey('RS256')
const P384 = mintTpmKey('ES384')
const CHAIN = [PKI.issuing.der, PKI.root.der]
const DAY = 24 * 60 * 60 * 1000
const zeros = (length: number) => new Uint8Array(length)
const certified = (change: Partial<TpmEvidenceOptions> = {}) => {
  const name = mintName(mintPublicArea(OTHER))
  return evidence({ key: OTHER, certify: mintTpmCertify({ key: AK, name }), ...change })
}
const certifiedWith = (attributes: number) => {
  const akPublic = mintPublicArea(OTHER, { attributes })
  return certified({ akPublic, certify: mintTpmCertify({ key: AK, name: mintName(akPublic) }) })
}
const leaf = (change: Omit<Parameters<typeof mintAkCertificate>[1], 'spki'>) =>
  evidence({ certificates: [mintAkCertificate(PKI, { spki: AK.spki, ...change }), ...CHAIN] })

it.each<[string, Uint8Array, Partial<TpmCase>?]>([
  ['P-256', evidence()],
  [
    'RSA',
    evidence({ key: RSA, certificates: [mintAkCertificate(PKI, { spki: RSA.spki }), ...CHAIN] }),
  ],
  [
    'P-384',
    evidence({ key: P384, certificates: [mintAkCertificate(PKI, { spki: P384.spki }), ...CHAIN] }),
  ],
  ['certificates in another order', evidence({ certificates: [...CHAIN, AK_CERTIFICATE] })],
  ['the bare key', evidence({ akPublic: AK.spki })],
  [
    'a TPM2B_PUBLIC',
    evidence({ akPublic: Buffer.concat([Uint8Array.of(0, 88), mintPublicArea(AK)]) }),
  ],
  ['a leaf that does not say what it is for', leaf({ extendedKeyUsage: undefined })],
  ['a key certified by one with a certificate', certified()],
  [
    'values beside the selected ones',
    evidence({ values: { sha256: { ...goodPcrs()['sha256'], 23: zeros(32) } } }),
  ],
  [
    'a root among the endorsements',
    evidence({ certificates: [AK_CERTIFICATE] }),
    {
      endorsements: { ...crls(), certificates: CHAIN },
    },
  ],
])('accepts %s', async (_, given, change) => {
  const result = await appraiseTpmEvidence({ evidence: given, ...change })
  expect(failures(result)).toEqual([])
  expect(result.tier).toBe('affirming')
})

const SELECTED = { sha256: [0, 1, 2, 3, 4, 5, 6, 7] }
it.each<[string, Uint8Array, readonly string[], Partial<TpmCase>?]>([
  [
    'another key’s signature',
    evidence({ key: OTHER, akPublic: mintPublicArea(AK) }),
    ['tpm.signature.quote'],
  ],
  [
    'an RSA signature under an EC key',
    evidence({ signature: mintTpmSignature(RSA, zeros(8)) }),
    ['tpm.signature.quote'],
  ],
  ['a digest of other values', evidence({ pcrDigest: zeros(32) }), ['tpm.pcrs.digest']],
  [
    'one value changed',
    evidence({ values: { sha256: { ...goodPcrs()['sha256'], 3: zeros(32) } } }),
    ['tpm.pcrs.digest'],
  ],
  [
    'a selected value left out',
    evidence({ values: { sha256: { 0: zeros(32) } } }),
    ['tpm.pcrs.digest'],
  ],
  [
    'values of another bank',
    evidence({ values: { sha384: { 0: zeros(48) } }, selection: SELECTED, pcrDigest: zeros(32) }),
    ['tpm.pcrs.digest'],
  ],
  [
    'no certificate and no pin',
    evidence({ certificates: [] }),
    ['tpm.ak.anchor', 'tpm.ak.path', 'tpm.ak.validity', 'tpm.ak.revocation'],
  ],
  [
    'another key’s certificate',
    evidence({ certificates: [mintAkCertificate(PKI, { spki: OTHER.spki }), ...CHAIN] }),
    ['tpm.ak.anchor', 'tpm.ak.path', 'tpm.ak.validity', 'tpm.ak.revocation'],
  ],
  ['a root that nobody pinned', evidence(), ['tpm.ak.anchor'], { anchors: VENDOR_ANCHORS }],
  [
    'a CA that a leaf plays',
    leaf({ issuer: { name: 'Minted TPM AK CA', key: OTHER } }),
    ['tpm.ak.path'],
  ],
  ['a leaf for encryption', leaf({ keyUsage: ['nonRepudiation'] }), ['tpm.ak.path']],
  [
    'the certificate of an endorsement key',
    leaf({ extendedKeyUsage: ['2.23.133.8.1'] }),
    ['tpm.ak.path'],
  ],
  [
    'an unknown critical extension',
    leaf({ extensions: [{ oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }] }),
    ['tpm.ak.path'],
  ],
  ['an expired leaf', leaf({ notAfter: new Date(NOW.getTime() - DAY) }), ['tpm.ak.validity']],
  ['a leaf from tomorrow', leaf({ notBefore: new Date(NOW.getTime() + DAY) }), ['tpm.ak.validity']],
  ['a revoked leaf', evidence(), ['tpm.ak.revocation'], { endorsements: crls([1000]) }],
  [
    'a stale list',
    evidence(),
    ['tpm.ak.revocation'],
    {
      endorsements: crls([], {
        thisUpdate: new Date(NOW.getTime() - 9 * DAY),
        nextUpdate: new Date(NOW.getTime() - DAY),
      }),
    },
  ],
  [
    'a stale list that names the leaf',
    evidence(),
    ['tpm.ak.revocation'],
    {
      endorsements: crls([1000], {
        thisUpdate: new Date(NOW.getTime() - 9 * DAY),
        nextUpdate: new Date(NOW.getTime() - DAY),
      }),
    },
  ],
  [
    'the certification of another name',
    certified({ certify: mintTpmCertify({ key: AK, name: mintName(mintPublicArea(RSA)) }) }),
    ['tpm.ak.certified'],
  ],
  // TPM2_Certify certifies whatever is loaded, keys from outside of the TPM as well.
  ...(['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign'] as const).map(
    (name): [string, Uint8Array, readonly string[]] => [
      `the certification of a key without ${name}`,
      certifiedWith(AK_ATTRIBUTES & ~(1 << ATTRIBUTES[name])),
      ['tpm.ak.certified'],
    ],
  ),
  [
    'the certification of a key that decrypts',
    certifiedWith(AK_ATTRIBUTES | 0x20000),
    ['tpm.ak.certified'],
  ],
  ['a certification of the bare key', certified({ akPublic: OTHER.spki }), ['tpm.ak.certified']],
  [
    'a certification by a key that does not say what it is',
    certified({
      certificates: [
        mintAkCertificate(PKI, { spki: AK.spki, extendedKeyUsage: undefined }),
        ...CHAIN,
      ],
    }),
    ['tpm.ak.path'],
  ],
  [
    'a certification that nobody signed',
    certified({
      certify: {
        ...mintTpmCertify({ key: AK, name: mintName(mintPublicArea(OTHER)) }),
        signature: mintTpmSignature(OTHER, zeros(8)),
      },
    }),
    ['tpm.ak.anchor', 'tpm.ak.path', 'tpm.ak.validity', 'tpm.ak.revocation'],
  ],
])('refuses %s', async (...[, given, failing, change]) => {
  const result = await appraiseTpmEvidence({ evidence: given, ...change })
  expect(failures(result).filter((id) => !id.startsWith('tpm.policy'))).toEqual(failing)
  expect(result).toMatchObject({ tier: 'contraindicated', claims: null })
})

describe('missing endorsements', () => {
  it('issuers are asked for by name', async () => {
    const given = evidence({ certificates: [AK_CERTIFICATE] })
    await expect(appraiseTpmEvidence({ evidence: given })).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'tpm.ak.path',
    })
  })

  it('lists are waived by authentication, and the policy decides', async () => {
    const input = { evidence: evidence(), endorsements: NO_ENDORSEMENTS }
    await expect(appraiseTpmEvidence(input)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'tpm.ak.crl',
    })
    const policy = tpmPolicy({ 'ak.revocation': { require: 'crl-if-present' } })
    const { tier, checks } = await appraiseTpmEvidence({ ...input, policy })
    expect(tier).toBe('affirming')
    const waived = checks.filter(({ id }) => id === 'tpm.ak.revocation' || id === 'tpm.ak.crl')
    expect(waived.map(({ outcome }) => outcome)).toEqual(['waived', 'waived'])
    // A list of one of the two issuers is not enough.
    const half = { ...NO_ENDORSEMENTS, crls: crls().crls.slice(0, 1) }
    await expect(appraiseTpmEvidence({ ...input, endorsements: half })).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
    })
  })

  it('a list that does not parse is not one that is absent, also where a policy does without', async () => {
    const policy = tpmPolicy({ 'ak.revocation': { require: 'crl-if-present' } })
    const cut = crls([1000]).crls.map((der) => der.slice(0, -1))
    const endorsements = { ...NO_ENDORSEMENTS, crls: cut }
    const given = { evidence: evidence(), endorsements, policy }
    await expect(appraiseTpmEvidence(given)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
      at: 'tpm.crl',
    })
  })

  it('a pile of lists of one issuer is refused, whichever would matter', async () => {
    const many = Array.from({ length: 17 }, () => crls().crls[0] ?? zeros(0))
    const endorsements = { ...NO_ENDORSEMENTS, crls: many }
    await expect(appraiseTpmEvidence({ evidence: evidence(), endorsements })).rejects.toMatchObject(
      {
        code: 'ERR_ENDORSEMENT_MALFORMED',
      },
    )
  })
})

it('another CA of the same name does not help', async () => {
  const twin = mintTpmPki({ at: NOW })
  const certificates = [mintAkCertificate(twin, { spki: AK.spki }), twin.issuing.der, twin.root.der]
  const result = await appraiseTpmEvidence({
    evidence: evidence({ certificates }),
    endorsements: { ...crls(), certificates: CHAIN },
    anchors: ANCHORS,
  })
  expect(result.tier).toBe('contraindicated')
})

const [AIK, EK, TLS] = ['2.23.133.8.3', '2.23.133.8.1', '1.3.6.1.5.5.7.3.1']
it.each([
  ['attestation keys', { ca: [AIK], leaf: [AIK] }, []],
  ['attestation keys, and a leaf that does not say', { ca: [AIK], leaf: undefined }, []],
  ['both kinds', { ca: [EK, AIK], leaf: undefined }, []],
  ['endorsement keys, as Google’s', { ca: [EK], leaf: [AIK] }, []],
  [
    'endorsement keys, and a leaf that does not say',
    { ca: [EK], leaf: undefined },
    ['tpm.ak.path'],
  ],
  ['endorsement keys, and such a leaf', { ca: [EK], leaf: [EK] }, ['tpm.ak.path']],
  ['something else', { ca: [TLS], leaf: [AIK] }, ['tpm.ak.path']],
  ['nothing', { ca: [], leaf: [AIK] }, ['tpm.ak.path']],
] as const)('a CA for %s', async (_, usages, failed) => {
  const pki = mintTpmPki({ at: NOW, issuingUsages: usages.ca })
  const extendedKeyUsage = usages.leaf
  const certificate = mintAkCertificate(pki, { spki: AK.spki, extendedKeyUsage })
  const dates = {
    thisUpdate: new Date(NOW.getTime() - DAY),
    nextUpdate: new Date(NOW.getTime() + DAY),
  }
  const result = await appraiseTpmEvidence({
    evidence: evidence({ certificates: [certificate, pki.issuing.der, pki.root.der] }),
    anchors: { ...VENDOR_ANCHORS, tpm: [pki.anchor] },
    endorsements: { ...NO_ENDORSEMENTS, crls: mintTpmCrls(pki, dates) },
  })
  expect(failures(result)).toEqual(failed)
})
