/** CoRIMs whose signer is known by a certificate. */
import { describe, expect, it } from 'vitest'
import type { CborValue } from '../../../src/core/encoding/cbor.ts'
import type { ChainTrust } from '../../../src/core/reference-values/corim/chain-signer.ts'
import { importFile } from '../../../src/core/reference-values/import.ts'
import { parseCertificate } from '../../../src/core/x509/certificate.ts'
import { parseCrl } from '../../../src/core/x509/crl.ts'
import {
  type CertificateOptions,
  type CrlOptions,
  mintCertificate,
  mintCrl,
  mintKey,
} from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { ccaPlatform, NOW, type SignOptions, signCorim } from '../../support/corim.ts'

const DAY = 86_400_000
const day = (n: number): Date => new Date(NOW.getTime() + n * DAY)
const BLAME = { code: 'ERR_USAGE_INVALID', at: 'test' } as const
const keys = { root: mintKey('ES384'), ca: mintKey('ES384'), leaf: mintKey('ES256') }
const period = { notBefore: day(-10), notAfter: day(10) }
const rootIssuer = { name: 'Maker Root', key: keys.root }
const caIssuer = { name: 'Maker CA', key: keys.ca }

const root = mintCertificate({
  subject: 'Maker Root',
  key: keys.root,
  ca: {},
  keyUsage: ['keyCertSign', 'crlSign'],
  ...period,
})
const mintCa = (options: Partial<CertificateOptions> = {}) =>
  mintCertificate({
    subject: 'Maker CA',
    key: keys.ca,
    issuer: rootIssuer,
    serial: 2,
    ca: { pathLength: 0 },
    keyUsage: ['keyCertSign', 'crlSign'],
    ...period,
    ...options,
  })
const mintLeaf = (options: Partial<CertificateOptions> = {}) =>
  mintCertificate({
    subject: 'Maker CoRIM Signer',
    key: keys.leaf,
    issuer: caIssuer,
    serial: 3,
    keyUsage: ['digitalSignature'],
    ...period,
    ...options,
  })
const ca = mintCa()
const leaf = mintLeaf()

const crl = (options: Partial<CrlOptions>) =>
  parseCrl(
    mintCrl({ issuer: rootIssuer, thisUpdate: day(-1), nextUpdate: day(1), ...options }),
    BLAME,
  )
const rootList = crl({})
const caList = crl({ issuer: caIssuer })
const trust = (crls: ChainTrust['crls'] = [rootList, caList], roots = [root]): ChainTrust => ({
  roots: roots.map((der) => parseCertificate(der, BLAME)),
  crls,
})
const signed = (chain: CborValue | undefined, options: SignOptions = {}) =>
  signCorim(ccaPlatform(), {
    key: keys.leaf,
    headers: chain === undefined ? [] : [[33, chain]],
    ...options,
  })
const read = async (corim: Uint8Array, authority = trust(), now = NOW) =>
  importFile(corim, { authority, now, crypto: createCrypto() })

describe('a CoRIM signed by a certificate', () => {
  it.each([
    ['with its root', [leaf, ca, root]],
    ['without its root', [leaf, ca]],
    ['with what is above the root', [leaf, ca, root, mintCa()]],
  ])('is read %s', async (_, chain) => {
    const found = await read(signed(chain))
    expect(found).toMatchObject({ kind: 'signed-corim' })
    expect(found.signer).toContain('Maker CoRIM Signer')
    expect(found.fragments).toHaveLength(1)
  })

  it('is read by one certificate that a root made, by an intermediate that is trusted, and by a pinned one', async () => {
    const direct = mintLeaf({ issuer: rootIssuer })
    expect((await read(signed(direct), trust([rootList]))).fragments).toHaveLength(1)
    expect((await read(signed([leaf, ca]), trust([caList], [ca]))).fragments).toHaveLength(1)
    expect((await read(signed(leaf), trust([], [leaf]))).fragments).toHaveLength(1)
  })

  it('is read without lists only if that is said', async () => {
    const corim = signed([leaf, ca])
    expect((await read(corim, trust('waived'))).fragments).toHaveLength(1)
    await expect(read(corim, trust([]))).rejects.toMatchObject({ at: 'corim.x5chain.revocation' })
  })

  it('takes the key of the root that signed, where two have one name', async () => {
    const key = mintKey('ES384')
    const other = mintCertificate({
      subject: 'Maker Root',
      key,
      ca: {},
      keyUsage: ['keyCertSign', 'crlSign'],
      ...period,
    })
    expect((await read(signed([leaf, ca]), trust(undefined, [other, root]))).signer).toBeDefined()
    await expect(read(signed([leaf, ca]), trust(undefined, [other]))).rejects.toMatchObject({
      code: 'ERR_REFERENCE_VALUES_UNTRUSTED',
      at: 'corim.x5chain.path',
    })
  })

  const x = 'corim.x5chain'
  const stranger = mintKey('ES384')
  const refused: readonly (readonly [string, string, Uint8Array, ChainTrust?])[] = [
    ['without a chain', x, signed(undefined)],
    [
      'with a chain outside the signature',
      x,
      signed(undefined, { unprotected: [[33, [leaf, ca]]] }),
    ],
    ['with a chain that breaks off', `${x}.anchor`, signed(leaf)],
    [
      'under another root',
      `${x}.anchor`,
      signed([leaf, ca]),
      trust(
        undefined,
        [leaf.slice()].map(() =>
          mintLeaf({ subject: 'Other', issuer: { name: 'Other', key: keys.leaf } }),
        ),
      ),
    ],
    ['under no root', `${x}.anchor`, signed([leaf, ca]), trust(undefined, [])],
    [
      'by a certificate that somebody else made',
      `${x}.path`,
      signed([mintLeaf({ issuer: { name: 'Maker CA', key: stranger } }), ca]),
    ],
    ['in another order', `${x}.path`, signed([ca, leaf, root])],
    [
      'under an intermediate that is no CA',
      `${x}.path`,
      signed([
        leaf,
        mintCertificate({
          subject: 'Maker CA',
          key: keys.ca,
          issuer: rootIssuer,
          keyUsage: ['keyCertSign'],
          ...period,
        }),
      ]),
    ],
    [
      'under an intermediate without keyCertSign',
      `${x}.path`,
      signed([leaf, mintCa({ keyUsage: ['crlSign'] })]),
    ],
    [
      'with a critical extension of nobody’s',
      `${x}.path`,
      signed([
        mintLeaf({ extensions: [{ oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }] }),
        ca,
      ]),
    ],
    ['by a CA', `${x}.leaf`, signed([ca, root], { key: keys.ca, algorithm: -35 })],
    [
      'by a key for something else',
      `${x}.leaf`,
      signed([mintLeaf({ keyUsage: ['keyCertSign'] }), ca]),
    ],
    ['no longer', `${x}.validity`, signed([mintLeaf({ notAfter: day(-1) }), ca])],
    ['not yet', `${x}.validity`, signed([mintLeaf({ notBefore: day(1) }), ca])],
    [
      'by one that was revoked',
      `${x}.revocation`,
      signed([leaf, ca]),
      trust([rootList, crl({ issuer: caIssuer, revoked: [3] })]),
    ],
    [
      'by one that was revoked by an old list, with a new one beside it',
      `${x}.revocation`,
      signed([leaf, ca]),
      trust([
        rootList,
        caList,
        crl({ issuer: caIssuer, revoked: [3], thisUpdate: day(-9), nextUpdate: day(-8) }),
      ]),
    ],
    [
      'below one that was revoked',
      `${x}.revocation`,
      signed([leaf, ca]),
      trust([crl({ revoked: [2] }), caList]),
    ],
    ['without a list of the root', `${x}.revocation`, signed([leaf, ca]), trust([caList])],
    [
      'with a list that has ended',
      `${x}.revocation`,
      signed([leaf, ca]),
      trust([rootList, crl({ issuer: caIssuer, thisUpdate: day(-3), nextUpdate: day(-2) })]),
    ],
    [
      'with a list by somebody else',
      `${x}.revocation`,
      signed([leaf, ca]),
      trust([rootList, crl({ issuer: { name: 'Maker CA', key: stranger } })]),
    ],
    [
      'by another key than its certificate’s',
      'corim.signature',
      signed([leaf, ca], { key: mintKey('ES256') }),
    ],
    ['by another algorithm', 'corim.signature', signed([leaf, ca], { algorithm: -35 })],
  ]
  it('is of the certificate that its thumbprint names, where it has one', async () => {
    const x5t = async (algorithm: number, name: 'SHA-256' | 'SHA-512', of: Uint8Array) =>
      signed(undefined, {
        headers: [
          [33, [leaf, ca]],
          [34, [algorithm, await createCrypto().digest(name, of)]],
        ],
      })
    for (const [algorithm, name] of [
      [-16, 'SHA-256'],
      [-44, 'SHA-512'],
    ] as const) {
      expect((await read(await x5t(algorithm, name, leaf))).signer).toBeDefined()
      await expect(read(await x5t(algorithm, name, ca))).rejects.toMatchObject({
        code: 'ERR_REFERENCE_VALUES_UNTRUSTED',
        at: 'corim.x5chain.leaf',
      })
    }
    // Cut to 64 bits, which is too few.
    await expect(read(await x5t(-15, 'SHA-256', leaf))).rejects.toMatchObject({
      code: 'ERR_REFERENCE_VALUES_INVALID',
      at: 'corim.x5t',
    })
  })

  const cases = refused.map(([name, at, corim, authority = trust()]) => ({
    ...{ name, at, corim, authority },
  }))
  it.each(cases)('is refused $name', async ({ at, corim, authority }) => {
    const error = { code: 'ERR_REFERENCE_VALUES_UNTRUSTED', at }
    await expect(read(corim, authority)).rejects.toMatchObject(error)
  })

  it.each([
    ['a text', 'chain', x],
    ['an empty list', [], x],
    ['a list of nine', Array.from({ length: 9 }, () => leaf), x],
    ['a list of texts', ['a', 'b'], `${x}[0]`],
    ['a certificate cut short', leaf.slice(0, -1), `${x}[0]`],
  ] satisfies readonly (readonly [string, CborValue, string])[])(
    'is malformed with %s for a chain',
    async (_, chain, at) => {
      const corim = signed(chain)
      await expect(read(corim)).rejects.toMatchObject({ code: 'ERR_REFERENCE_VALUES_INVALID' })
      await expect(read(corim)).rejects.toMatchObject({ at: expect.stringContaining(at) as string })
    },
  )

  it('is unknown unsigned', async () => {
    await expect(read(ccaPlatform())).rejects.toMatchObject({ at: 'corim.signature' })
    const json = new TextEncoder().encode('{"platform": []}')
    await expect(read(json)).rejects.toMatchObject({ at: 'corim.signature' })
  })
})
