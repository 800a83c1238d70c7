import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { parseCertificate } from '../../../src/core/x509/certificate.ts'
import { checkIssued, checkPath, checkValidity, orderChains } from '../../../src/core/x509/chain.ts'
import { checkCrlSignature, checkCrlTime, isRevoked, parseCrl } from '../../../src/core/x509/crl.ts'
import {
  mintCertificate as mintAnyCertificate,
  mintKey as mintAnyKey,
} from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { mintIntelPki, mintKey } from '../../../src/testing/index.ts'
import { forgeTree, treeOf } from '../../support/der-tree.ts'
import { NOW } from '../../support/tdx.ts'

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const refused = expect.objectContaining({ code: BLAME.code }) as unknown
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
const crypto = createCrypto()
const pki = mintIntelPki({ now: NOW })
const certificates = Object.entries(pki.certificates)
const read = (der: Uint8Array) => parseCertificate(der, BLAME)

describe('certificates', () => {
  it.each(certificates)('are read as OpenSSL reads them: %s', (_, der) => {
    const mine = read(der)
    const theirs = new X509Certificate(der)
    expect(mine.serial.toUpperCase()).toBe(theirs.serialNumber)
    expect(mine.notBefore).toEqual(theirs.validFromDate)
    expect(mine.notAfter).toEqual(theirs.validToDate)
    expect(mine.isCa).toBe(theirs.ca)
    expect(theirs.subject).toContain(`CN=${mine.subjectName}`)
    expect(theirs.issuer).toContain(`CN=${mine.issuerName}`)
    const spki = theirs.publicKey.export({ format: 'der', type: 'spki' })
    expect(toHex(mine.key.spki)).toBe(spki.toString('hex'))
  })

  it('truncation-is-typed', () => {
    const { pck } = pki.certificates
    for (let length = 0; length < pck.length; length++) {
      expect(() => read(pck.subarray(0, length))).toThrow(refused)
    }
  })

  it('flips are typed, or read as something else', () => {
    const { pck } = pki.certificates
    for (let i = 0; i < pck.length; i++) {
      const changed = pck.map((byte, k) => (k === i ? byte ^ (1 << (i % 8)) : byte))
      try {
        expect(toHex(read(changed).der)).not.toBe(toHex(pck))
      } catch (error) {
        expect(error).toBeInstanceOf(VouchsafeError)
      }
    }
  })

  it('refuse RSA keys that can be factored', () => {
    const valid = { subject: 'x', notBefore: NOW, notAfter: NOW } as const
    const issuer = { name: 'y', key: mintAnyKey('ES384') }
    const rsa = (bits: number) =>
      mintAnyCertificate({ ...valid, issuer, key: mintAnyKey('PS384', bits) })
    expect(() => read(rsa(1024))).toThrow(refused)
    expect(() => read(rsa(2040))).toThrow(refused)
    expect(read(rsa(2048)).key.alg).toBe('PS384')
  })

  it('refuse an extension that occurs twice', () => {
    const extension = { oid: '1.2.3', critical: false, value: Uint8Array.of(5, 0) }
    const twice = mintIntelPki({
      now: NOW,
      certificates: { tcbSigning: { extensions: [extension, extension] } },
    })
    expect(() => read(twice.certificates.tcbSigning)).toThrow(refused)
  })

  it.each([
    ['not a bit string', '0500'],
    ['empty', '0300'],
    ['no byte of bits', '030100'],
    ['more unused bits than there are', '03020880'],
    ['unused bits that are set', '0302078f'],
  ])('refuse a keyUsage that is %s', (_, value) => {
    const broken = mintIntelPki({
      now: NOW,
      certificates: {
        tcbSigning: {
          keyUsage: undefined,
          extensions: [{ oid: '2.5.29.15', critical: true, value: hex(value) }],
        },
      },
    })
    expect(() => read(broken.certificates.tcbSigning)).toThrow(refused)
  })
})

describe('chains', () => {
  const root = read(pki.certificates.root)
  const ca = read(pki.certificates.platformCa)
  const leaf = read(pki.certificates.pck)

  it('are ordered by name, whatever comes first', () => {
    expect(orderChains(leaf, [root, leaf, ca])).toEqual([[leaf, ca, root]])
    expect(orderChains(leaf, [root])).toEqual([])
    expect(orderChains(root, [])).toEqual([[root]])
  })

  it('are all those that names allow, so that signatures can choose', () => {
    const other = mintIntelPki({ now: NOW })
    const [otherCa, otherRoot] = [
      read(other.certificates.platformCa),
      read(other.certificates.root),
    ]
    expect(orderChains(leaf, [otherCa, ca, root, otherRoot])).toEqual([
      [leaf, otherCa, root],
      [leaf, otherCa, otherRoot],
      [leaf, ca, root],
      [leaf, ca, otherRoot],
    ])
  })

  it('end, however many ways there are', () => {
    const names = ['a', 'b'].map((commonName) => ({ commonName, organization: 'x' }))
    const maze = Array.from({ length: 40 }, (_, i) => {
      const [subject, issuer] = i % 2 === 0 ? names : [...names].reverse()
      const platformCa = { ...(subject && { subject }), ...(issuer && { issuer }) }
      return read(
        mintIntelPki({ now: NOW, keys: pki.keys, certificates: { platformCa } }).certificates
          .platformCa,
      )
    })
    const [first] = maze
    const started = performance.now()
    expect(first && orderChains(first, maze)).toEqual([])
    expect(performance.now() - started).toBeLessThan(1000)
    const roots = Array.from({ length: 50 }, () =>
      read(mintIntelPki({ now: NOW, keys: pki.keys }).certificates.root),
    )
    expect(orderChains(ca, roots)).toHaveLength(32)
  })

  it('hold from leaf to root', async () => {
    expect(await checkPath([leaf, ca, root], crypto)).toBeUndefined()
    expect(await checkIssued({ child: leaf, parent: ca, below: 0 }, crypto)).toBeUndefined()
    expect(await checkIssued({ child: ca, parent: root, below: 1 }, crypto)).toBeUndefined()
  })

  it('break at a stranger, at a leaf that issues, and above a path length', async () => {
    const other = mintIntelPki({ now: NOW, certificates: { pck: { signer: mintKey() } } })
    const forged = read(other.certificates.pck)
    const otherCa = read(other.certificates.platformCa)
    expect(await checkIssued({ child: forged, parent: otherCa, below: 0 }, crypto)).toBeDefined()
    expect(await checkPath([forged, otherCa, read(other.certificates.root)], crypto)).toBeDefined()
    expect(await checkIssued({ child: ca, parent: leaf, below: 0 }, crypto)).toBeDefined()
    expect(await checkIssued({ child: leaf, parent: ca, below: 1 }, crypto)).toMatchObject({
      actual: 'pathLenConstraint 0',
    })
    expect(await checkPath([leaf, ca], crypto)).toBeDefined()
  })

  it('wrong-time-fails, and a time that is none fails too', () => {
    const at = (ms: number) => checkValidity([leaf, ca, root], new Date(ms))
    const [from, to] = [leaf.notBefore.getTime(), leaf.notAfter.getTime()]
    expect(at(from)).toBeUndefined()
    expect(at(to)).toBeUndefined()
    expect(at(from - 1)).toBeDefined()
    expect(at(to + 1)).toBeDefined()
    expect(() => at(Number.NaN)).toThrow(RangeError)
  })
})

describe('CRLs', () => {
  const serial = Uint8Array.from([0x41, ...new Array<number>(19).fill(7)])
  const revoking = mintIntelPki({
    now: NOW,
    certificates: { pck: { serial } },
    crls: { pck: { revoked: [Uint8Array.of(0x80), serial] } },
  })
  const [rootList = new Uint8Array(), pckList = new Uint8Array()] = revoking.endorsements().crls
  const crl = parseCrl(pckList, BLAME)
  const ca = read(revoking.certificates.platformCa)

  it('name what is revoked, and nothing else', () => {
    expect(crl.revoked).toEqual(new Set(['0080', toHex(serial)]))
    expect(isRevoked(crl, read(revoking.certificates.pck))).toBe(true)
    expect(isRevoked(crl, ca)).toBe(false)
  })

  it('have the elements that node-forge reads', () => {
    expect(treeOf(pckList)).toEqual(forgeTree(pckList))
  })

  it('are signed by their issuer alone', async () => {
    expect(await checkCrlSignature(crl, ca, crypto)).toBeUndefined()
    const root = read(revoking.certificates.root)
    expect(await checkCrlSignature(crl, root, crypto)).toMatchObject({
      actual: 'CRL of another issuer',
    })
    expect(await checkCrlSignature(parseCrl(rootList, BLAME), root, crypto)).toBeUndefined()
    const stranger = mintIntelPki({ now: NOW })
    expect(
      await checkCrlSignature(crl, read(stranger.certificates.platformCa), crypto),
    ).toMatchObject({ actual: 'signature does not verify' })
  })

  it('wrong-time-fails', () => {
    const at = (ms: number) => checkCrlTime(crl, new Date(ms))
    const [from, to] = [crl.thisUpdate.getTime(), crl.nextUpdate?.getTime() ?? 0]
    expect(at(from)).toBeUndefined()
    expect(at(to)).toBeUndefined()
    expect(at(from - 1)).toBeDefined()
    expect(at(to + 1)).toBeDefined()
  })

  it('truncation-is-typed', () => {
    for (let length = 0; length < pckList.length; length++) {
      expect(() => parseCrl(pckList.subarray(0, length), BLAME)).toThrow(refused)
    }
  })
})

it('the minted chain is one that OpenSSL accepts', () => {
  const { root, platformCa, pck } = pki.certificates
  const [leaf, ca, anchor] = [pck, platformCa, root].map((der) => new X509Certificate(der))
  if (leaf === undefined || ca === undefined || anchor === undefined) throw new Error('unreachable')
  expect(leaf.verify(ca.publicKey)).toBe(true)
  expect(ca.verify(anchor.publicKey)).toBe(true)
  expect(leaf.checkIssued(ca) && ca.checkIssued(anchor) && anchor.checkIssued(anchor)).toBe(true)
})
