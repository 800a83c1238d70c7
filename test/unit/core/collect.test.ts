import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodePem } from '../../../src/core/encoding/pem.ts'
import { collectEndorsements } from '../../../src/core/endorsements/collect.ts'
import {
  type EndorsementSet,
  endorsementsToJson,
} from '../../../src/core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { readEndorsements } from '../../../src/drivers/endorsements/directory.ts'
import { mintAmdCrl, mintAmdPki } from '../../../src/testing/index.ts'
import { sharedDir } from '../../support/shared.ts'

const dates = {
  notBefore: new Date('2026-01-01T00:00:00Z'),
  notAfter: new Date('2036-01-01T00:00:00Z'),
}
const pki = mintAmdPki('Milan', { ...dates, rsaBits: 2048 })
const crl = mintAmdCrl(pki, { thisUpdate: dates.notBefore, nextUpdate: dates.notAfter })
const ark = Uint8Array.from(pki.ark.der)
const ask = Uint8Array.from(pki.ask.der)

const text = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const collect = (...files: Uint8Array[]) =>
  collectEndorsements(files.map((bytes, i) => ({ name: `file ${i}`, bytes })))
const counts = ({ certificates, crls, tcbInfos, qeIdentities }: EndorsementSet) => [
  certificates.length,
  crls.length,
  tcbInfos.length,
  qeIdentities.length,
]

/** Odd spacing and an odd order, which re-serialisation would not give back. */
const BODY = '{ "id":"TDX" , "b" : 1.0,"a":"\\u00fc\u00fc" }'
const SIGNATURE = 'ab'.repeat(64)

describe('certificates and lists', () => {
  it.each<[string, Uint8Array]>([
    ['DER', ark],
    ['PEM', text(encodePem(ark, 'CERTIFICATE'))],
    ['PEM that ends in NUL', text(`${encodePem(ark, 'CERTIFICATE')}\0`)],
    ['hex', text(hex(ark))],
    ['base64 with line breaks', text(base64(ark).replaceAll(/(.{64})/g, '$1\n'))],
    ['a JSON member', text({ vcek: encodePem(ark, 'CERTIFICATE') })],
    [
      'a header of a captured response',
      text({
        headers: { 'TCB-Info-Issuer-Chain': encodeURIComponent(encodePem(ark, 'CERTIFICATE')) },
      }),
    ],
    [
      'a header encoded throughout',
      text({
        chain: encodePem(ark, 'CERTIFICATE').replaceAll(
          /[^A-Za-z0-9]/g,
          (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
        ),
      }),
    ],
    ['hex in JSON', text({ deep: [{ certificate: hex(ark) }] })],
  ])('a certificate as %s', (_, bytes) => {
    const { endorsements, ignored } = collect(bytes)
    expect(endorsements.certificates).toEqual([ark])
    expect(ignored).toEqual([])
  })

  it.each<[string, Uint8Array]>([
    ['DER', crl],
    ['PEM', text(encodePem(crl, 'X509 CRL'))],
    ['hex', text(hex(crl).toUpperCase())],
    ['base64', text(base64(crl))],
    ['a JSON member', text({ root_ca_crl: hex(crl), pck_crl: base64(crl) })],
  ])('a revocation list as %s', (_, bytes) => {
    expect(counts(collect(bytes).endorsements)).toEqual([0, 1, 0, 0])
  })

  it('takes every block of a chain, in order, once', () => {
    const chain = [ask, ark, ask].map((der) => encodePem(der, 'CERTIFICATE')).join('\n')
    const { endorsements } = collect(
      text(`subject=whatever\n${chain}${encodePem(crl, 'X509 CRL')}`),
      ark,
    )
    expect(endorsements.certificates).toEqual([ask, ark])
    expect(endorsements.crls).toHaveLength(1)
  })

  it('ignores what it cannot read: keys, other binary, prose, and half a certificate', () => {
    const key = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'
    const files = [
      text(key),
      new Uint8Array(64),
      text('hello'),
      ark.slice(0, 100),
      text('{"a":'),
      new Uint8Array(),
    ]
    const { endorsements, ignored } = collect(...files)
    expect(counts(endorsements)).toEqual([0, 0, 0, 0])
    expect(ignored).toHaveLength(files.length)
  })
})

describe('documents that Intel signs', () => {
  it.each<[string, string]>([
    ['tcbInfo', `{"tcbInfo":${BODY},"signature":"${SIGNATURE}"}`],
    ['tcbInfo, signature first', `\n{ "signature" : "${SIGNATURE}",\n "tcbInfo": ${BODY} }\n`],
    [
      'a captured response',
      JSON.stringify({ body: `{"tcbInfo":${BODY},"signature":"${SIGNATURE}"}` }),
    ],
    ['QuoteCollateralV3', JSON.stringify({ tcb_info: BODY, tcb_info_signature: SIGNATURE })],
  ])('keeps the exact bytes of %s', (_, json) => {
    const { tcbInfos } = collect(text(json)).endorsements
    expect(tcbInfos.map(({ body }) => new TextDecoder().decode(body))).toEqual([BODY])
    expect(tcbInfos.map(({ signature }) => hex(signature))).toEqual([SIGNATURE])
  })

  it('tells QE identities from TCB Info', () => {
    const pcs = `{"enclaveIdentity":${BODY},"signature":"${SIGNATURE}"}`
    const v3 = JSON.stringify({ qe_identity: '{"id":"TD_QE"}', qe_identity_signature: SIGNATURE })
    expect(counts(collect(text(pcs), text(v3)).endorsements)).toEqual([0, 0, 0, 2])
  })

  it.each([
    [
      'a signature that is no hex',
      `{"tcbInfo":${BODY},"signature":"xyz"}`,
      'endorsements.tcbInfo.signature',
    ],
    [
      'a signature that is no text',
      `{"tcbInfo":${BODY},"signature":7}`,
      'endorsements.tcbInfo.signature',
    ],
    [
      'our own JSON, broken',
      '{"certificates":[7],"crls":[],"tcb_infos":[],"qe_identities":[]}',
      'endorsements',
    ],
  ])('refuses %s', (_, json, at) => {
    expect(() => collect(text(json))).toThrow(
      expect.objectContaining({ code: 'ERR_ENDORSEMENT_MALFORMED', at }),
    )
  })

  it('does not take a document without its signature', () => {
    expect(counts(collect(text(`{"tcbInfo":${BODY}}`)).endorsements)).toEqual([0, 0, 0, 0])
    const twice = `{"tcbInfo":${BODY},"tcbInfo":${BODY},"signature":"${SIGNATURE}"}`
    expect(counts(collect(text(twice)).endorsements)).toEqual([0, 0, 0, 0])
  })
})

it('reads back what it wrote', () => {
  const json = `{"tcbInfo":${BODY},"signature":"${SIGNATURE}"}`
  const { endorsements } = collect(ark, crl, text(json))
  const again = collect(text(endorsementsToJson(endorsements)))
  expect(again.endorsements).toEqual(endorsements)
})

it('garbage-is-typed', () => {
  const answers = (bytes: Uint8Array): boolean => {
    try {
      return collect(bytes).ignored.length <= 1
    } catch (error) {
      return error instanceof VouchsafeError
    }
  }
  const options = { numRuns: 300, interruptAfterTimeLimit: 5000 }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), answers), options)
  fc.assert(
    fc.property(fc.json(), (json) => answers(text(json))),
    options,
  )
  const chain = text(encodePem(ark, 'CERTIFICATE'))
  for (let end = 0; end < chain.length; end += 7) expect(answers(chain.slice(0, end))).toBe(true)
  for (let at = 0; at < ark.length; at += 3) expect(answers(ark.with(at, 0xff))).toBe(true)
})

describe('readEndorsements', () => {
  let dir: string

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vouchsafe-endorsements-'))
    await mkdir(join(dir, 'b/c'), { recursive: true })
    await writeFile(join(dir, 'b/c/ask.pem'), encodePem(ask, 'CERTIFICATE'))
    await writeFile(join(dir, 'a.der'), ark)
    await writeFile(join(dir, 'notes.txt'), 'nothing here')
    await writeFile(join(dir, 'huge.bin'), new Uint8Array(4 * 1024 * 1024 + 1))
    await symlink(dir, join(dir, 'b/loop'))
    await symlink(join(dir, 'nowhere-to-be-found'), join(dir, 'b/c/dangling')).catch(
      () => undefined,
    )
  })

  afterAll(async () => {
    await rm(dir, { recursive: true })
  })

  it('walks directories in an order of its own, without following loops', async () => {
    await rm(join(dir, 'b/c/dangling'), { force: true })
    const { endorsements, ignored } = await readEndorsements([dir])
    expect(endorsements.certificates).toEqual([ark, ask])
    expect(ignored).toEqual(['b/loop', 'huge.bin', 'notes.txt'].map((name) => join(dir, name)))
  })

  it('takes files and directories together, and each item once', async () => {
    const { endorsements } = await readEndorsements([join(dir, 'b/c/ask.pem'), dir])
    expect(endorsements.certificates).toEqual([ask, ark])
  })

  it('is an error for what is not there', async () => {
    await expect(readEndorsements([join(dir, 'absent')])).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'endorsements.directory',
    })
  })
})

it.each([
  ['cut off', encodePem(ark, 'CERTIFICATE').slice(0, -10)],
  ['with something else in it', encodePem(ark, 'CERTIFICATE').replace('\n', '\n*')],
  ['that is no base64', encodePem(ark, 'CERTIFICATE').replace('\n', '\nA')],
])('PEM %s is an error, not nothing', (_, pem) => {
  expect(() => collect(text(pem))).toThrow(
    expect.objectContaining({ code: 'ERR_ENDORSEMENT_MALFORMED' }) as Error,
  )
})

it('finds what the public captures hold', async () => {
  const shared = sharedDir()
  if (shared === undefined) return
  const tdx = join(shared, 'evidence/tdx')
  const blobs = readdirSync(tdx).filter((file) =>
    /collateral\.json$|endorsement.*\.bin$/.test(file),
  )
  expect(blobs.length).toBeGreaterThanOrEqual(4)
  for (const file of blobs) {
    const found = collect(readFileSync(join(tdx, file)))
    expect(counts(found.endorsements), file).toEqual([3, 2, 1, 1])
  }
  const lunal = await readEndorsements([join(tdx, 'lunal-collateral')])
  expect([counts(lunal.endorsements), lunal.ignored]).toEqual([[2, 2, 2, 1], []])
  const snp = await readEndorsements([join(shared, 'evidence/snp')])
  expect(snp.endorsements.certificates.length).toBeGreaterThanOrEqual(18)
})
