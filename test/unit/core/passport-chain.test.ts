import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { EndorsementSet } from '../../../src/core/endorsements/endorsement-set.ts'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import { derContext, derSequence } from '../../../src/drivers/attester/simulated/minting/der.ts'
import {
  type MintedExtension,
  mintCrl,
  mintKey,
} from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  mintPassportIssuer,
  PASSPORT_CHAIN,
  type PassportIssuer,
  type PassportIssuerOptions,
} from '../../../src/testing/index.ts'
import { failures, NOW, passportInput, trusting, verdictOf } from '../../support/passports.ts'

const DAY = 24 * 60 * 60 * 1000
const days = (count: number): Date => new Date(NOW.getTime() + count * DAY)
const KEY = mintKey('ES256')
const digest = (der: Uint8Array): string => createHash('sha256').update(der).digest('hex')
const mint = (options: Partial<PassportIssuerOptions> = {}): PassportIssuer =>
  mintPassportIssuer({ kind: 'gcp-cs', at: NOW, key: KEY, ...options })
const good = mint()

interface Change {
  readonly chain?: readonly Uint8Array[]
  readonly endorsements?: EndorsementSet
  readonly trust?: PassportIssuer['trust']
  readonly now?: Date
}

async function failing(issuer: PassportIssuer, change: Change = {}): Promise<readonly string[]> {
  const { chain = issuer.chain, trust = issuer.trust, endorsements = NO_ENDORSEMENTS } = change
  const now = change.now ?? NOW
  const token = { issuer: { ...issuer, chain }, at: now }
  const input = { anchors: trusting(trust), endorsements, now }
  return failures(await verdictOf(passportInput('gcp-cs', token, input)))
}

const pin = (...x5cRoots: readonly string[]) => ({ ...good.trust, x5cRoots })
const [leaf, intermediate, root] = good.chain as readonly [Uint8Array, Uint8Array, Uint8Array]
const ANCHOR = ['key.anchor', 'key.revocation']

describe('x5c', () => {
  it('is affirmed under its pinned root, and under a pinned issuer below that', async () => {
    expect(await failing(good)).toEqual([])
    expect(await failing(good, { trust: pin(digest(intermediate)) })).toEqual([])
    expect(await failing(good, { trust: pin(digest(leaf)) })).toEqual([])
  })

  it('needs no more than the pinned certificate', async () => {
    expect(
      await failing(good, { chain: [leaf, intermediate], trust: pin(digest(intermediate)) }),
    ).toEqual([])
    expect(await failing(good, { chain: [leaf, intermediate] })).toEqual(ANCHOR)
    expect(await failing(good, { chain: [leaf] })).toEqual(ANCHOR)
  })

  it('refuses a valid chain to another root', async () => {
    const other = mint()
    expect(await failing(other, { trust: good.trust })).toEqual(ANCHOR)
  })

  it('refuses the pinned root put at the end of a chain that is not its own', async () => {
    const other = mint()
    const [otherLeaf, otherIntermediate] = other.chain
    const chain = [otherLeaf, otherIntermediate, root] as readonly Uint8Array[]
    expect(await failing(good, { chain })).toEqual(['key.path', 'key.revocation'])
    expect(await failing(good, { chain: [...other.chain, root] })).toEqual([
      'key.path',
      'key.revocation',
    ])
  })

  it('refuses certificates that are out of order, or leave one out', async () => {
    const found = await failing(good, { chain: [leaf, root, intermediate] })
    expect(found).toEqual(['key.path', 'key.revocation'])
    expect(await failing(good, { chain: [leaf, root] })).toEqual(['key.path', 'key.revocation'])
  })

  it('refuses a key that is not the first certificate’s', async () => {
    const other = mintPassportIssuer({ kind: 'gcp-cs', at: NOW, key: mintKey('ES256') })
    expect(await failing({ ...good, key: other.key })).toEqual(['signature.token'])
    const found = await failing(good, { chain: [intermediate, root] })
    expect(found).toEqual(['key.path', 'key.revocation', 'signature.token'])
  })

  it('refuses no certificate at all', async () => {
    expect(await failing(good, { chain: [] })).toEqual([
      'key.path',
      'key.anchor',
      'key.validity',
      'key.revocation',
      'signature.token',
    ])
  })

  it('refuses a signer that is a CA, whose usage is another, or which a leaf issued', async () => {
    const path = ['key.path', 'key.revocation']
    expect(await failing(mint({ leaf: { ca: {}, keyUsage: ['digitalSignature'] } }))).toEqual(path)
    expect(await failing(mint({ leaf: { keyUsage: ['keyCertSign'] } }))).toEqual(path)
    expect(await failing(mint({ leaf: { keyUsage: ['digitalSignature'] } }))).toEqual([])
    expect(await failing(mint({ intermediate: { keyUsage: ['digitalSignature'] } }))).toEqual(path)
  })

  it('refuses an unknown critical extension', async () => {
    const critical = { oid: '1.2.3.4', critical: true, value: derSequence() }
    const issuer = mint({ leaf: { extensions: [critical] } })
    expect(await failing(issuer)).toEqual(['key.path', 'key.revocation'])
  })

  it('dates to the second: validity of each certificate', async () => {
    const second = (offset: number): Date => new Date(NOW.getTime() + offset * 1000)
    for (const part of ['leaf', 'intermediate'] as const) {
      expect(await failing(mint({ [part]: { notAfter: second(0) } }))).toEqual([])
      expect(await failing(mint({ [part]: { notAfter: second(-1) } }))).toEqual(['key.validity'])
      expect(await failing(mint({ [part]: { notBefore: second(0) } }))).toEqual([])
      expect(await failing(mint({ [part]: { notBefore: second(1) } }))).toEqual(['key.validity'])
    }
    const trust = { ...good.trust, maxAgeSeconds: 86_400 }
    expect(await failing(good, { now: days(4000), trust })).toContain('key.validity')
  })

  it('has no verdict on a certificate that is none', async () => {
    for (const chain of [[Uint8Array.of(1, 2, 3)], [leaf.slice(0, -1)], [leaf, new Uint8Array()]]) {
      await expect(failing(good, { chain })).rejects.toMatchObject({
        code: 'ERR_EVIDENCE_MALFORMED',
      })
    }
  })

  it('refuses more certificates than any chain has', async () => {
    const chain = Array.from({ length: 9 }, () => leaf)
    await expect(failing(good, { chain })).rejects.toMatchObject({ code: 'ERR_EVIDENCE_MALFORMED' })
  })
})

/** RFC 5280 §4.2.1.13 with one URI. */
const uri = (text: string): Uint8Array => Uint8Array.from([0x86, text.length, ...Buffer.from(text)])
const points: MintedExtension = {
  oid: '2.5.29.31',
  value: derSequence(
    derSequence(derContext(0, derContext(0, Uint8Array.from(uri('http://crl.example/r.crl'))))),
  ),
}

describe('revocation', () => {
  const listed = mint({ intermediate: { extensions: [points] } })
  const rootKey = listed.root ?? KEY
  const crl = (revoked: readonly number[], change: object = {}): Uint8Array =>
    mintCrl({
      issuer: { name: PASSPORT_CHAIN.root, key: rootKey },
      thisUpdate: days(-1),
      nextUpdate: days(1),
      revoked,
      ...change,
    })
  /** A list of some certificates only, which this verifier does not read (RFC 5280 §5.2.5). */
  const partial = {
    extensions: [{ oid: '2.5.29.28', critical: true, value: derSequence() }],
  }
  const having = (...crls: readonly Uint8Array[]) => ({
    endorsements: { ...NO_ENDORSEMENTS, crls },
  })

  it('needs a list where an issuer publishes one, and says where it is', async () => {
    const missing = failing(listed)
    await expect(missing).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'endorsements.crls',
      message: expect.stringContaining('http://crl.example/r.crl') as string,
    })
    expect(await failing(listed, having(crl([])))).toEqual([])
  })

  it('needs none where the certificate below is pinned itself', async () => {
    const [, below = root] = listed.chain
    const trust = { ...listed.trust, x5cRoots: [digest(below)] }
    expect(await failing(listed, { trust })).toEqual([])
  })

  it('refuses a revoked certificate, also by a list that is old, beside a newer one', async () => {
    const old = crl([2], { thisUpdate: days(-9), nextUpdate: days(-8) })
    for (const crls of [[crl([2])], [old], [crl([]), old], [old, crl([])]]) {
      expect(await failing(listed, having(...crls))).toEqual(['key.revocation'])
    }
    expect(await failing(listed, having(crl([77])))).toEqual([])
  })

  it('refuses a list that is out of date, from tomorrow, or without a next one', async () => {
    const dates = [
      { nextUpdate: new Date(NOW.getTime() - 1000) },
      { thisUpdate: new Date(NOW.getTime() + 1000) },
      { nextUpdate: undefined },
    ]
    for (const change of dates) {
      expect(await failing(listed, having(crl([], change)))).toEqual(['key.revocation'])
    }
    expect(await failing(listed, having(crl([], { nextUpdate: NOW })))).toEqual([])
  })

  it('refuses a list that somebody else signed', async () => {
    const forged = crl([], { issuer: { name: PASSPORT_CHAIN.root, key: mintKey('ES256') } })
    expect(await failing(listed, having(forged))).toEqual(['key.revocation'])
    expect(await failing(listed, having(forged, crl([])))).toEqual([])
  })

  it('is not helped by broken lists and those of others', async () => {
    const others = crl([], { issuer: { name: 'Somebody else', key: rootKey } })
    const strange = crl([], { ...partial, issuer: { name: 'Somebody else', key: rootKey } })
    await expect(failing(listed, having(others, strange))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
    })
    expect(await failing(good, having(others, strange))).toEqual([])
    const many = Array.from({ length: 33 }, () => crl([]))
    await expect(failing(listed, having(...many))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
  })

  it('has no verdict by a list that it cannot read, which may be the one that names the certificate', async () => {
    const unlisted = mint()
    const own = (change: object): Uint8Array =>
      crl([2], { issuer: { name: PASSPORT_CHAIN.root, key: unlisted.root ?? KEY }, ...change })
    expect(await failing(unlisted, having(own({})))).toEqual(['key.revocation'])
    const unreadable = [own(partial), own({}).slice(0, -1), Uint8Array.of(0x30, 0x03, 1, 2, 3)]
    for (const list of [...unreadable, new Uint8Array()]) {
      for (const crls of [[list], [list, own({ revoked: [] })], [own({ revoked: [] }), list]]) {
        await expect(failing(unlisted, having(...crls))).rejects.toMatchObject({
          code: 'ERR_ENDORSEMENT_MALFORMED',
          at: expect.stringMatching(/^passport\.crl/) as string,
        })
      }
    }
  })

  it('bounds the life of a certificate whose issuer publishes no list', async () => {
    const life = (count: number) =>
      mint({ leaf: { notBefore: days(-1), notAfter: days(count - 1) } })
    expect(await failing(life(90))).toEqual([])
    expect(await failing(life(90.5))).toEqual(['key.revocation'])
  })

  it('reads an extension that is none, and says that it cannot', async () => {
    for (const value of [Uint8Array.of(1, 2), derSequence(), derSequence(derSequence())]) {
      const odd = mint({ intermediate: { extensions: [{ ...points, value }] } })
      await expect(failing(odd)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_UNAVAILABLE' })
    }
  })
})

it('a pinned key comes before the chain, and does not need it', async () => {
  const plain = mint({ chained: false })
  const both = { ...plain.trust, x5cRoots: ['00'.repeat(32)] }
  expect(await failing({ ...good, kid: plain.kid }, { trust: both })).toEqual([])
  const stranger = mintPassportIssuer({ kind: 'gcp-cs', at: NOW, key: mintKey('ES256') })
  const roots = { ...plain.trust, x5cRoots: stranger.trust.x5cRoots }
  expect(await failing(stranger, { trust: roots })).toEqual([])
})
