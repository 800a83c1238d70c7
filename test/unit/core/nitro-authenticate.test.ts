import { describe, expect, it } from 'vitest'
import type { CborValue } from '../../../src/core/encoding/cbor.ts'
import { derInteger } from '../../../src/drivers/attester/simulated/minting/der.ts'
import { mintCertificate, mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  mintAwsPki,
  mintNitroDocument,
  type NitroDocumentOptions,
  type NitroMembers,
} from '../../../src/testing/index.ts'
import { AT, anchorsOf, appraiseNitro, failures, type NitroCase, NOW } from '../../support/nitro.ts'

const pki = mintAwsPki({ at: AT })
const stranger = mintAwsPki({ at: AT })
const otherKey = mintKey('ES384')
const HOUR = 3_600_000

function mint(members: NitroMembers = {}, options: Partial<NitroDocumentOptions> = {}) {
  return mintNitroDocument({ pki, timestamp: AT, members, ...options })
}

const good: NitroCase = { document: mint(), anchors: anchorsOf(pki) }

/** A document by another hierarchy, one certificate of which differs in something. */
function withAuthority(at: number, change: object): Partial<NitroCase> {
  const other = mintAwsPki({ at: AT, authorities: { [at]: change } })
  return {
    document: mintNitroDocument({ pki: other, timestamp: AT }),
    anchors: anchorsOf(other),
  }
}

function withLeaf(change: Parameters<typeof pki.mintLeaf>[0]): Partial<NitroCase> {
  const leaf = pki.mintLeaf(change)
  return { document: mint({ certificate: leaf.der }, { key: leaf.key }) }
}

/** A leaf by a CA of a hierarchy of its own, without the extension. */
function withoutUsage(): Partial<NitroCase> {
  const key = mintKey('ES384')
  const name = 'instance.aws.nitro-enclaves'
  const other = mintAwsPki({ at: AT, authorities: { 3: { key } } })
  const dates = { notBefore: AT, notAfter: new Date(AT.getTime() + 3 * HOUR) }
  const der = mintCertificate({ subject: 'leaf', key, issuer: { name, key }, ...dates })
  const options = { pki: { ...other, leaf: { der, key } }, timestamp: AT }
  return { document: mintNitroDocument(options), anchors: anchorsOf(other) }
}

/** The last 96 bytes, raw r‖s. */
function signatureOf(document: Uint8Array): Uint8Array {
  return document.slice(-96)
}

describe('Nitro authentication: a good document', () => {
  const bundle = pki.cabundle
  it.each<[string, Partial<NitroCase>]>([
    ['as it is', {}],
    ['tagged', { document: mint({}, { tagged: true }) }],
    ['cabundle in reverse', { document: mint({ cabundle: [...bundle].reverse() }) }],
    ['cabundle with a stranger', { document: mint({ cabundle: [stranger.leaf.der, ...bundle] }) }],
    [
      'cabundle with strangers of the same names',
      { document: mint({ cabundle: [...stranger.cabundle, ...bundle] }) },
    ],
    ['at the first second of the leaf', { now: AT }],
    ['a leaf of four hours', withLeaf({ notAfter: new Date(AT.getTime() + 4 * HOUR) })],
  ])('%s', async (_, change) => {
    const result = await appraiseNitro({ ...good, ...change })
    expect(failures(result)).toEqual([])
    expect(result.tier).toBe('affirming')
  })
})

const CASES: readonly (readonly [string, readonly string[], () => Partial<NitroCase>])[] = [
  // Signature
  [
    'signed by another key',
    ['nitro.signature.document'],
    () => ({
      document: mint({}, { key: otherKey }),
    }),
  ],
  [
    'signature of another document',
    ['nitro.signature.document'],
    () => ({
      document: mint({}, { signature: signatureOf(mint({ nonce: null })) }),
    }),
  ],
  [
    'signature cut',
    ['nitro.signature.document'],
    () => ({
      document: mint({}, { signature: signatureOf(mint()).slice(1) }),
    }),
  ],
  [
    'no signature',
    ['nitro.signature.document'],
    () => ({
      document: mint({}, { signature: new Uint8Array() }),
    }),
  ],
  [
    'signature of zeros',
    ['nitro.signature.document'],
    () => ({
      document: mint({}, { signature: new Uint8Array(96) }),
    }),
  ],
  [
    'leaf with a P-256 key',
    ['nitro.signature.document'],
    () => withLeaf({ key: mintKey('ES256') }),
  ],
  // Chain
  [
    'leaf by another CA of the same name',
    ['nitro.chain.path'],
    () => withLeaf({ issuer: { name: 'instance.aws.nitro-enclaves', key: otherKey } }),
  ],
  [
    'leaf by a name that is not there',
    ['nitro.chain.path'],
    () => withLeaf({ issuer: { name: 'nobody', key: otherKey } }),
  ],
  [
    'cabundle without its root',
    ['nitro.chain.path'],
    () => ({
      document: mint({ cabundle: pki.cabundle.slice(1) }),
    }),
  ],
  [
    'cabundle with a gap',
    ['nitro.chain.path'],
    () => ({
      document: mint({ cabundle: [...pki.cabundle.slice(0, 1), ...pki.cabundle.slice(2)] }),
    }),
  ],
  [
    'leaf that is a CA',
    ['nitro.chain.path'],
    () => withLeaf({ ca: {}, keyUsage: ['keyCertSign', 'digitalSignature'] }),
  ],
  ['leaf that may not sign', ['nitro.chain.path'], () => withLeaf({ keyUsage: ['keyCertSign'] })],
  ['leaf without a use', ['nitro.chain.path'], () => withLeaf({ keyUsage: [] })],
  ['leaf that says no use', ['nitro.chain.path'], () => withoutUsage()],
  ['issuer that is no CA', ['nitro.chain.path'], () => withAuthority(3, { ca: undefined })],
  [
    'issuer that may not sign',
    ['nitro.chain.path'],
    () => withAuthority(3, { keyUsage: ['digitalSignature'] }),
  ],
  [
    'issuer with too short a path',
    ['nitro.chain.path'],
    () => withAuthority(1, { ca: { pathLength: 0 } }),
  ],
  [
    'unknown critical extension',
    ['nitro.chain.path'],
    () =>
      withAuthority(2, { extensions: [{ oid: '1.2.3', critical: true, value: derInteger(1) }] }),
  ],
  [
    'root of somebody else',
    ['nitro.chain.anchor'],
    () => ({
      document: mintNitroDocument({ pki: stranger, timestamp: AT }),
    }),
  ],
  [
    'no anchor at all',
    ['nitro.chain.anchor'],
    () => ({
      anchors: { ...good.anchors, aws: [] },
    }),
  ],
  // Time
  [
    'root before its time',
    ['nitro.chain.validity'],
    () => withAuthority(0, { notBefore: new Date(NOW.getTime() + HOUR) }),
  ],
  [
    'regional CA past its time',
    ['nitro.chain.validity'],
    () => withAuthority(1, { notAfter: new Date(AT.getTime() - 1) }),
  ],
  [
    'instance CA past its time',
    ['nitro.chain.validity'],
    () => withAuthority(3, { notAfter: new Date(AT.getTime() - 1) }),
  ],
  [
    'leaf before its time',
    ['nitro.chain.validity'],
    () => withLeaf({ notBefore: new Date(NOW.getTime() + 1000) }),
  ],
  [
    'leaf past its time',
    ['nitro.chain.validity'],
    () => withLeaf({ notBefore: new Date(AT.getTime() - HOUR), notAfter: AT }),
  ],
  [
    'leaf of a year',
    ['nitro.chain.revocation'],
    () => withLeaf({ notAfter: new Date(AT.getTime() + 365 * 24 * HOUR) }),
  ],
  [
    'leaf of four hours and a minute',
    ['nitro.chain.revocation'],
    () => withLeaf({ notAfter: new Date(AT.getTime() + 4 * HOUR + 60_000) }),
  ],
]

describe('Nitro authentication: one thing wrong', () => {
  it('counts its cases', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(23)
  })

  it.each(CASES)('%s fails %j', async (_, ids, change) => {
    const result = await appraiseNitro({ ...good, ...change() })
    expect(failures(result)).toEqual(ids)
    expect(result.tier).toBe('contraindicated')
    expect(result.claims).toBeNull()
  })

  it('makes the same checks in the same order, whatever was found', async () => {
    const ids = (await appraiseNitro(good)).checks.map(({ id }) => id)
    for (const [, , change] of CASES) {
      const result = await appraiseNitro({ ...good, ...change() })
      expect(result.checks.map(({ id }) => id)).toEqual(ids)
    }
    expect(new Set(ids).size).toBe(ids.length)
  })
})

describe('Nitro authentication: no verdict', () => {
  const header = (value: CborValue) => mint({}, { header: value })
  it.each([
    ['ES256', header(new Map([[1, -7]])), 'ERR_EVIDENCE_UNSUPPORTED', 'nitro.cose.protected'],
    ['ES512', header(new Map([[1, -36]])), 'ERR_EVIDENCE_UNSUPPORTED', 'nitro.cose.protected'],
    ['EdDSA', header(new Map([[1, -8]])), 'ERR_EVIDENCE_UNSUPPORTED', 'nitro.cose.protected'],
    [
      'an empty header',
      header(new Map<number, CborValue>()),
      'ERR_EVIDENCE_MALFORMED',
      'nitro.cose.protected',
    ],
    [
      'a leaf that is none',
      mint({ certificate: Uint8Array.of(1) }),
      'ERR_EVIDENCE_MALFORMED',
      'nitro.document.certificate',
    ],
    [
      'a CA that is none',
      mint({ cabundle: [...pki.cabundle, Uint8Array.of(1)] }),
      'ERR_EVIDENCE_MALFORMED',
      'nitro.document.cabundle[4]',
    ],
    [
      'a root that is the leaf',
      mint({ cabundle: [pki.leaf.der.slice(1)] }),
      'ERR_EVIDENCE_MALFORMED',
      'nitro.document.cabundle[0]',
    ],
  ])('%s', async (...[, document, code, at]) => {
    await expect(appraiseNitro({ ...good, document })).rejects.toMatchObject({ code, at })
  })

  it('a self-signed leaf is a chain of one that nobody pinned', async () => {
    const key = mintKey('ES384')
    const self = mintCertificate({
      subject: 'self',
      key,
      notBefore: AT,
      notAfter: new Date(AT.getTime() + 3 * HOUR),
      ca: {},
      keyUsage: ['keyCertSign'],
    })
    const result = await appraiseNitro({
      ...good,
      document: mint({ certificate: self }, { key }),
    })
    expect(failures(result)).toEqual(['nitro.chain.path', 'nitro.chain.anchor'])
  })
})
