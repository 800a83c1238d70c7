import { describe, expect, it } from 'vitest'
import { parseCertificate } from '../../../src/core/x509/certificate.ts'
import { checkIssued, checkPath } from '../../../src/core/x509/chain.ts'
import { checkCrlSignature, parseCrl } from '../../../src/core/x509/crl.ts'
import { derEnumerated, derInteger } from '../../../src/drivers/attester/simulated/minting/der.ts'
import {
  type CertificateOptions,
  type MintedIssuer,
  mintCertificate,
  mintCrl,
  mintKey,
} from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const crypto = createCrypto()
const dates = { notBefore: new Date('2026-01-01'), notAfter: new Date('2027-01-01') }
const caUse = ['keyCertSign', 'crlSign'] as const
const root: MintedIssuer = { name: 'root', key: mintKey('ES384') }
const ca: MintedIssuer = { name: 'ca', key: mintKey('ES384') }
const certify = (options: Partial<CertificateOptions> & { readonly issuer?: MintedIssuer }) =>
  parseCertificate(
    mintCertificate({ subject: 'leaf', key: mintKey('ES384'), issuer: ca, ...dates, ...options }),
    BLAME,
  )
const authority = (of: MintedIssuer, by: MintedIssuer, more: Partial<CertificateOptions> = {}) =>
  certify({ subject: of.name, key: of.key, issuer: by, ca: {}, keyUsage: caUse, ...more })
const rootCertificate = authority(root, root)
const caCertificate = authority(ca, root)
const leaf = certify({})

describe('a path', () => {
  it('holds, for comparison', async () => {
    expect(await checkPath([leaf, caCertificate, rootCertificate], crypto)).toBeUndefined()
  })

  it('breaks where the key is of another curve than the signature', async () => {
    const other = { name: 'ca', key: mintKey('ES256') }
    const parent = authority(other, root)
    const link = { child: leaf, parent, below: 0 }
    expect(await checkIssued(link, crypto)).toMatchObject({ actual: 'signature does not verify' })
    const byOther = { child: certify({ issuer: other }), parent: caCertificate, below: 0 }
    expect(await checkIssued(byOther, crypto)).toMatchObject({
      actual: 'signature does not verify',
    })
  })

  it('counts the CAs between, and only those', async () => {
    const between = { name: 'between', key: mintKey('ES384') }
    const under = certify({ issuer: between })
    const upper = authority(ca, root)
    const path = (limit: number) => [
      under,
      authority(between, ca),
      upper,
      authority(root, root, { ca: { pathLength: limit } }),
    ]
    expect(await checkPath(path(2), crypto)).toBeUndefined()
    expect(await checkPath(path(1), crypto)).toMatchObject({ actual: 'pathLenConstraint 1' })
    expect(await checkPath(path(0), crypto)).toMatchObject({ actual: 'pathLenConstraint 0' })
    const tight = authority(ca, root, { ca: { pathLength: 0 } })
    expect(await checkPath([leaf, tight, rootCertificate], crypto)).toBeUndefined()
    expect(
      await checkPath([under, authority(between, ca), tight, rootCertificate], crypto),
    ).toMatchObject({ actual: 'pathLenConstraint 0' })
  })

  it.each([
    ['the leaf', { 0: { extensions: [{ oid: '1.2.3', critical: true, value: derInteger(1) }] } }],
    ['a CA', { 1: { extensions: [{ oid: '1.2.3', critical: true, value: derInteger(1) }] } }],
    ['the root', { 2: { extensions: [{ oid: '1.2.3', critical: true, value: derInteger(1) }] } }],
  ])('breaks at an unknown critical extension of %s', async (_, change) => {
    const changes = change as Readonly<Record<number, Partial<CertificateOptions>>>
    const path = [
      certify(changes[0] ?? {}),
      authority(ca, root, changes[1]),
      authority(root, root, changes[2]),
    ]
    expect(await checkPath(path, crypto)).toMatchObject({ actual: '1.2.3' })
  })
})

describe('a revocation list', () => {
  const list = { issuer: ca, thisUpdate: dates.notBefore, nextUpdate: dates.notAfter, revoked: [7] }

  it.each([
    // A delta list names only what is new, a partial one only some: neither clears anybody.
    ['a delta', '2.5.29.27', true, false],
    ['of a part', '2.5.29.28', true, false],
    ['that nobody knows', '1.2.3', true, false],
    ['that nobody knows and may be ignored', '1.2.3', false, true],
    ['with its number, critical', '2.5.29.20', true, true],
  ])('with an extension %s', (...[, oid, critical, taken]) => {
    const der = mintCrl({ ...list, extensions: [{ oid, critical, value: derInteger(1) }] })
    const parse = () => parseCrl(der, BLAME)
    if (taken) expect(parse().revoked).toEqual(new Set(['07']))
    else expect(parse).toThrow(expect.objectContaining({ code: BLAME.code }))
  })

  it('is signed by a key that may, in its own algorithm', async () => {
    const crl = parseCrl(mintCrl(list), BLAME)
    expect(await checkCrlSignature(crl, caCertificate, crypto)).toBeUndefined()
    const mute = authority(ca, root, { keyUsage: ['keyCertSign'] })
    expect(await checkCrlSignature(crl, mute, crypto)).toMatchObject({
      actual: 'keyUsage lacks cRLSign',
    })
    const other = authority({ name: 'ca', key: mintKey('ES256') }, root)
    expect(await checkCrlSignature(crl, other, crypto)).toMatchObject({
      actual: 'signature does not verify',
    })
  })
})

describe('a signature value', () => {
  const good = mintCertificate({
    subject: 'x',
    key: ca.key,
    issuer: root,
    ...dates,
    extensions: [{ oid: '1.2.3', value: derEnumerated(0) }],
  })
  const refused = expect.objectContaining({ code: BLAME.code }) as unknown

  it('is not negative, and not longer than its curve', () => {
    // SEQUENCE { INTEGER r, INTEGER s } at the end: r begins with its tag and length.
    const signature = parseCertificate(good, BLAME).signature
    const r = signature.subarray(0, 48)
    const at = Buffer.from(good).lastIndexOf(Buffer.from(r.subarray(1, 48))) - 1
    const negative = good.slice()
    negative[at] = 0x80 | (negative[at] ?? 0)
    const padded = good[at - 1] === 0
    if (padded) negative[at - 1] = 0xff
    expect(() => parseCertificate(negative, BLAME)).toThrow(refused)
  })
})
