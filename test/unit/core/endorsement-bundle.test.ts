import { generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { canonicalJson, type Json } from '../../../src/core/encoding/canonical-json.ts'
import { BUNDLE_LIMITS, encodeBundle, openBundle } from '../../../src/core/endorsements/bundle.ts'
import {
  type EndorsementSet,
  endorsementsToJson,
  NO_ENDORSEMENTS,
} from '../../../src/core/endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../../../src/core/endorsements/needs.ts'
import { isMet, requireMatch } from '../../../src/core/endorsements/needs-match.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import type { CachedEndorsement } from '../../../src/core/ports/endorsement-cache.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { mintIntelPki } from '../../../src/testing/index.ts'

const NOW = new Date('2026-09-01T12:00:00Z')
const DAY = 24 * 60 * 60 * 1000
const crypto = createCrypto()
const intel = mintIntelPki({ now: NOW })
const { certificates, crls, tcbInfos, qeIdentities } = intel.endorsements()
const [rootCrl, pckCrl] = crls
if (rootCrl === undefined || pckCrl === undefined) throw new Error('no lists')
const fmspc = Buffer.from(intel.platform.fmspc).toString('hex')
const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const

const tcbNeed: EndorsementNeed = { kind: 'tdx-tcb-info', fmspc, feed: 'standard' }
const rootNeed: EndorsementNeed = { kind: 'intel-root-crl' }
const tcbSet: EndorsementSet = { ...NO_ENDORSEMENTS, tcbInfos, certificates }
const rootSet: EndorsementSet = { ...NO_ENDORSEMENTS, crls: [rootCrl] }

const signerOf = () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    kid: 'test',
    key: {
      alg: 'Ed25519',
      spki: Uint8Array.from(publicKey.export({ type: 'spki', format: 'der' })),
    } as const,
    sign: (data: Uint8Array) => Uint8Array.from(sign(null, data, privateKey)),
  }
}
const signer = signerOf()
const bundle = {
  createdAt: NOW,
  items: [
    { need: tcbNeed, endorsements: tcbSet, fetchedAt: NOW, validUntil: undefined },
    {
      need: rootNeed,
      endorsements: rootSet,
      fetchedAt: new Date(NOW.getTime() - DAY),
      validUntil: undefined,
    },
  ],
} as const
const open = async (
  text: string | Uint8Array,
  trust: Partial<Parameters<typeof openBundle>[1]> = {},
) =>
  openBundle(
    typeof text === 'string' ? utf8(text) : text,
    { signer: signer.key, now: NOW, maxAgeSeconds: undefined, ...trust },
    crypto,
  )
/** A bundle with any payload at all, validly signed. */
const signed = (payload: Json): string => {
  const type = 'application/vnd.vouchsafe.endorsements.v1+json'
  const bytes = utf8(canonicalJson(payload))
  const pae = utf8(`DSSEv1 ${type.length} ${type} ${bytes.length} ${canonicalJson(payload)}`)
  const sig = Buffer.from(signer.sign(pae)).toString('base64')
  const envelope = { payload: Buffer.from(bytes).toString('base64'), payloadType: type }
  return canonicalJson({ ...envelope, signatures: [{ keyid: '', sig }] })
}
const payload = (changes: Readonly<Record<string, Json>> = {}): Json => ({
  bundle: 'vouchsafe-endorsements-v1',
  created_at: NOW.getTime() / 1000,
  items: [item()],
  ...changes,
})
const item = (changes: Readonly<Record<string, Json>> = {}): Json => ({
  need: rootNeed as unknown as Json,
  fetched_at: NOW.getTime() / 1000,
  endorsements: endorsementsToJson(rootSet),
  ...changes,
})

describe('a bundle', () => {
  it('comes back as it went, in one order, with the dates that the documents have', async () => {
    const text = await encodeBundle(bundle, signer)
    const opened = await open(text)
    expect(opened.createdAt).toEqual(NOW)
    expect(opened.items).toEqual(
      bundle.items.map((entry) => ({
        ...entry,
        validUntil: new Date(NOW.getTime() + 30 * DAY),
      })),
    )
    const turned = await encodeBundle({ ...bundle, items: bundle.items.toReversed() }, signer)
    expect(turned).toBe(text)
  })

  it('is a DSSE envelope that any implementation can check', async () => {
    expect((await open(signed(payload()))).items).toHaveLength(1)
  })

  it('has a bounded age, and does not come from the future', async () => {
    const text = await encodeBundle(bundle, signer)
    const week = 7 * 86_400
    const later = (seconds: number) => new Date(NOW.getTime() + seconds * 1000)
    await open(text, { now: later(week), maxAgeSeconds: week })
    await expect(open(text, { now: later(week + 1), maxAgeSeconds: week })).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'endorsements.bundle.age',
    })
    await expect(open(text, { now: later(-301) })).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
      at: 'endorsements.bundle.created_at',
    })
  })

  it('of another signer is refused before anything in it is looked at', async () => {
    const text = await encodeBundle({ ...bundle, items: [] }, signerOf())
    await expect(open(text)).rejects.toMatchObject({ at: 'endorsements.bundle.signature' })
  })

  it.each<[string, string, readonly CachedEndorsement[]]>([
    [
      'more than it may hold',
      'items',
      Array.from({ length: BUNDLE_LIMITS.items + 1 }, (_, i) => ({
        ...bundle.items[1],
        need: { ...rootNeed, i } as unknown as EndorsementNeed,
      })),
    ],
    ['two answers to one need', 'items', [bundle.items[1], bundle.items[1]]],
    [
      'what was fetched after it was made',
      'items[0].fetched_at',
      [{ ...bundle.items[1], fetchedAt: new Date(NOW.getTime() + 1000) }],
    ],
    [
      'what was fetched before there was a time',
      'items[0].fetched_at',
      [{ ...bundle.items[1], fetchedAt: new Date(-1000) }],
    ],
  ])('is not made of %s: nobody could open it', async (_, member, items) => {
    await expect(encodeBundle({ createdAt: NOW, items }, signer)).rejects.toMatchObject({
      code: 'ERR_USAGE_INVALID',
      at: `endorsements.bundle.${member}`,
    })
  })

  it('is not made longer than may be opened, and says how to make it shorter', async () => {
    const crls = Array.from({ length: 13 }, () => new Uint8Array(4 * 1024 * 1024))
    const items = [{ ...bundle.items[1], endorsements: { ...NO_ENDORSEMENTS, crls } }]
    await expect(encodeBundle({ createdAt: NOW, items }, signer)).rejects.toMatchObject({
      code: 'ERR_USAGE_INVALID',
      message: expect.stringContaining('--since') as string,
    })
  })

  it('is made of what was fetched in the same second', async () => {
    const createdAt = new Date(NOW.getTime() + 100)
    const items = [{ ...bundle.items[1], fetchedAt: new Date(NOW.getTime() + 900) }]
    const text = await encodeBundle({ createdAt, items }, signer)
    expect((await open(text)).items).toHaveLength(1)
  })

  it('flip-never-affirms', async () => {
    const text = utf8(await encodeBundle(bundle, signer))
    await fc.assert(
      fc.asyncProperty(
        fc.nat(text.length - 2),
        fc.integer({ min: 1, max: 255 }),
        async (i, flip) => {
          const changed = text.with(i, (text[i] ?? 0) ^ flip)
          const outcome = await open(changed).then(
            () => 'opened',
            (error: unknown) => error,
          )
          // The name of the key is a hint and outside of what is signed.
          if (outcome === 'opened') expect(new TextDecoder().decode(changed)).toMatch(/"keyid":"/)
          else expect(outcome).toMatchObject({ code: blame.code })
        },
      ),
      { numRuns: 300, interruptAfterTimeLimit: 6_000 },
    )
  })

  it('truncation-is-typed', async () => {
    const text = utf8(await encodeBundle({ ...bundle, items: bundle.items.slice(1) }, signer))
    for (let end = 0; end < text.length - 1; end += 7) {
      await expect(open(text.subarray(0, end))).rejects.toBeInstanceOf(VouchsafeError)
    }
  })

  it.each([
    ['of another version', payload({ bundle: 'vouchsafe-endorsements-v2' })],
    ['with an unknown member', payload({ note: 'hello' })],
    ['made at no time', payload({ created_at: -1 })],
    ['made at an impossible time', payload({ created_at: 2 ** 52 })],
    ['of no list', payload({ items: {} })],
    ['with an item twice', payload({ items: [item(), item()] })],
    [
      'with an item fetched after it was made',
      payload({ items: [item({ fetched_at: NOW.getTime() / 1000 + 1 })] }),
    ],
    [
      'with an item under another need',
      payload({ items: [item({ need: tcbNeed as unknown as Json })] }),
    ],
    ['with an item of no known need', payload({ items: [item({ need: { kind: 'x' } })] })],
    [
      'with an empty item',
      payload({ items: [item({ endorsements: endorsementsToJson(NO_ENDORSEMENTS) })] }),
    ],
    [
      'with more in an item than was asked for',
      payload({
        items: [
          item({ endorsements: endorsementsToJson({ ...rootSet, crls: [rootCrl, pckCrl] }) }),
        ],
      }),
    ],
    [
      'with a document in an item of a list',
      payload({
        items: [item({ endorsements: endorsementsToJson({ ...rootSet, qeIdentities }) })],
      }),
    ],
  ] as const)('%s is refused though its signature is good', async (_, content) => {
    await expect(open(signed(content))).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
  })
})

describe('requireMatch', () => {
  it('gives the date of the document, and nothing for certificates', async () => {
    expect(await requireMatch(tcbNeed, tcbSet, blame)).toEqual(new Date(NOW.getTime() + 30 * DAY))
    const chain = { kind: 'pck-crl', ca: 'platform' } as const
    expect(await requireMatch(chain, { ...NO_ENDORSEMENTS, crls: [pckCrl] }, blame)).toBeInstanceOf(
      Date,
    )
  })

  it.each<[string, EndorsementNeed, EndorsementSet]>([
    ['another FMSPC', { ...tcbNeed, fmspc: '00806f050000' }, tcbSet],
    ['no signer', tcbNeed, { ...tcbSet, certificates: [] }],
    ['the list of another CA', rootNeed, { ...NO_ENDORSEMENTS, crls: [pckCrl] }],
    [
      'the list of the other CA',
      { kind: 'pck-crl', ca: 'processor' },
      { ...NO_ENDORSEMENTS, crls: [pckCrl] },
    ],
    [
      'a crowd of certificates',
      tcbNeed,
      { ...tcbSet, certificates: [...certificates, ...certificates] },
    ],
    [
      'another document',
      { kind: 'td-qe-identity', feed: 'standard' },
      { ...tcbSet, tcbInfos: [], qeIdentities: tcbInfos },
    ],
    ['garbage', rootNeed, { ...NO_ENDORSEMENTS, crls: [utf8('0garbage')] }],
  ])('refuses %s', async (_, need, set) => {
    await expect(requireMatch(need, set, blame)).rejects.toMatchObject({ code: blame.code })
  })

  it('refuses a list without nextUpdate: it would be kept for ever', async () => {
    const undated = mintIntelPki({ now: NOW, crls: { root: { nextUpdate: undefined } } })
    const [list = new Uint8Array()] = undated.endorsements().crls
    await expect(
      requireMatch(rootNeed, { ...NO_ENDORSEMENTS, crls: [list] }, blame),
    ).rejects.toMatchObject({ code: blame.code })
  })
})

describe('isMet', () => {
  it('is about now: neither before a document was issued nor after its date', async () => {
    const all = intel.endorsements()
    const at = async (days: number) => isMet(rootNeed, all, new Date(NOW.getTime() + days * DAY))
    const found = await Promise.all([-2, 0, 30, 30.01].map(at))
    expect(found).toEqual([false, true, true, false])
    expect(await isMet({ ...tcbNeed, fmspc: '00806f050000' }, all, NOW)).toBe(false)
    expect(await isMet(tcbNeed, all, NOW)).toBe(true)
  })
})
