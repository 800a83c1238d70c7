import { sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import type { EndorsementSet, SignedJson } from '../../../src/core/endorsements/endorsement-set.ts'
import { mintIntelPki, mintKeys, mintTdxQuote } from '../../../src/testing/index.ts'
import { authenticate, contextOf, failing, NOW } from '../../support/tdx.ts'

const DAY = 24 * 60 * 60 * 1000
const keys = mintKeys()
const serial = Uint8Array.from([0x41, ...new Array<number>(19).fill(7)])
const certificates = { pck: { serial }, platformCa: { serial }, tcbSigning: { serial } }
const good = mintIntelPki({ now: NOW, keys, certificates })
const quote = mintTdxQuote(good)
const set = good.endorsements()
const daysAgo = (days: number): Date => new Date(NOW.getTime() - days * DAY)
/** The same hierarchy's endorsements, with something else in them. */
const also = (options: Partial<Parameters<typeof mintIntelPki>[0]>): EndorsementSet =>
  mintIntelPki({ now: NOW, keys, certificates, platform: good.platform, ...options }).endorsements()
const strangers = (count: number): readonly EndorsementSet[] =>
  Array.from({ length: count }, () =>
    mintIntelPki({ now: NOW, keys: mintKeys(), platform: good.platform }).endorsements(),
  )
const found = async (changes: Partial<EndorsementSet>) => {
  const endorsements = { ...set, ...changes }
  return authenticate(quote, contextOf(good, { endorsements }))
}

describe('revocation lists in a set that the attester filled', () => {
  const older = (which: 'root' | 'pck') =>
    also({ crls: { [which]: { revoked: [serial], thisUpdate: daysAgo(20) } } }).crls
  const stale = also({ crls: { pck: { revoked: [serial], nextUpdate: daysAgo(5) } } }).crls

  it.each([
    ['a PCK, by an older list', 'dcap.pck.revocation', [...older('pck'), ...set.crls]],
    ['a PCK, by a list that ran out', 'dcap.pck.revocation', [...set.crls, ...stale]],
    ['a CA, by an older list', 'dcap.pck.ca.revocation', [...older('root'), ...set.crls]],
  ])('what one lists is revoked, whatever a newer one says: %s', async (_, id, crls) => {
    expect(failing((await found({ crls })).checks)).toContain(id)
  })

  it('a list beyond the eighth of its name still counts', async () => {
    const junk = strangers(12).flatMap(({ crls }) => crls)
    const { crls } = also({ crls: { pck: { revoked: [serial] } } })
    // Same names as ours, so they compete with ours.
    expect(failing((await found({ crls: [...junk, ...crls] })).checks)).toContain(
      'dcap.pck.revocation',
    )
  })
})

describe('TCB Info in a set that the attester filled', () => {
  const numbered = (tcbEvaluationDataNumber: number): readonly SignedJson[] =>
    also({ tcbInfo: (info) => ({ ...info, tcbEvaluationDataNumber }) }).tcbInfos
  const numberOf = async (changes: Partial<EndorsementSet>): Promise<unknown> => {
    const result = await found(changes)
    if (!result.authentic) throw new Error(failing(result.checks).join())
    return result.claims.printable
  }
  const newest = { tcb: { tcbEvaluationDataNumber: { tcbInfo: 21, qeIdentity: 20 } } }

  it.each([
    ['before', [...numbered(18), ...numbered(21)]],
    ['after', [...numbered(21), ...numbered(18)]],
  ])('an older one hides no recovery that the set knows of: %s', async (_, tcbInfos) => {
    expect(await numberOf({ tcbInfos })).toMatchObject(newest)
  })

  it('strangers’ signing certificates and documents do not crowd out the right ones', async () => {
    const junk = strangers(20)
    const forged = junk.flatMap(({ tcbInfos }) => tcbInfos)
    expect(
      await numberOf({
        certificates: [...junk.flatMap((one) => one.certificates), ...set.certificates],
        tcbInfos: [...forged, ...numbered(18), ...numbered(21)],
      }),
    ).toMatchObject(newest)
  })

  it('a document with a higher number that nobody signed is passed over', async () => {
    const higher = (document: Readonly<Record<string, unknown>>) => ({
      ...document,
      tcbEvaluationDataNumber: 99,
    })
    const forged = mintIntelPki({
      now: NOW,
      keys: mintKeys(),
      platform: good.platform,
      tcbInfo: higher,
      qeIdentity: higher,
    }).endorsements()
    const changes = {
      tcbInfos: [...forged.tcbInfos, ...numbered(21)],
      qeIdentities: [...forged.qeIdentities, ...set.qeIdentities],
    }
    expect(await numberOf(changes)).toMatchObject(newest)
    const alone = await found({ tcbInfos: forged.tcbInfos })
    expect(failing(alone.checks)).toEqual(['dcap.tcb_info.signature'])
  })

  it('holds from the second of its issue to that of the next, and no longer', async () => {
    const at = async (now: Date) =>
      failing((await authenticate(quote, { ...contextOf(good), now })).checks)
    const [issued, next] = [daysAgo(1), daysAgo(-30)]
    expect(await at(issued)).toEqual([])
    expect(await at(next)).toEqual([])
    const dates = ['dcap.tcb_info.validity', 'dcap.qe_identity.validity']
    const second = 1000
    expect(await at(new Date(issued.getTime() - second))).toEqual(expect.arrayContaining(dates))
    expect(await at(new Date(next.getTime() + second))).toEqual(expect.arrayContaining(dates))
  })

  it('more of one kind than anybody has are refused, not cut short', async () => {
    const often = <T>(items: readonly T[]): readonly T[] => new Array(65).fill(items).flat() as T[]
    for (const changes of [
      { tcbInfos: often(set.tcbInfos) },
      { crls: often(set.crls) },
      { certificates: often(set.certificates) },
    ]) {
      await expect(found(changes)).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: 'dcap.endorsements',
      })
    }
  })
})

describe('a signed document that two readers could read differently', () => {
  const signed = (text: string): SignedJson => ({
    body: utf8(text),
    signature: sign('sha256', utf8(text), { key: keys.tcbSigning, dsaEncoding: 'ieee-p1363' }),
  })
  const textOf = (documents: readonly SignedJson[]): string =>
    documents.map(({ body }) => new TextDecoder().decode(body)).join('')
  const info = textOf(set.tcbInfos)
  const identity = textOf(set.qeIdentities)

  it.each([
    ['TCB Info with two lists of levels', 'tcbInfos', info.replace('{', '{"tcbLevels":[],')],
    ['TCB Info with a member twice, deep', 'tcbInfos', info.replace('"svn":', '"svn":0,"svn":')],
    [
      'TCB Info with two names of one spelling',
      'tcbInfos',
      info.replace('{', String.raw`{"\u0069d":"TDX",`),
    ],
    ['TCB Info with a prototype', 'tcbInfos', info.replace('{', '{"__proto__":{},')],
    ['QE Identity with two signers', 'qeIdentities', identity.replace('{', '{"mrsigner":"00",')],
  ] as const)('is refused: %s', async (_, kind, text) => {
    await expect(found({ [kind]: [signed(text)] })).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
      at: `dcap.endorsements.${kind}[0]`,
    })
    // The same text without the change is taken: what is refused is the change.
    const same = kind === 'tcbInfos' ? info : identity
    expect((await found({ [kind]: [signed(same)] })).authentic).toBe(true)
  })
})

describe('certificates that a quote does not carry', () => {
  it('are looked up by signature where several have one name, platform and TCB', async () => {
    const { ppid, cpuSvn, pceSvn, pceId } = good.platform
    const svn = Uint8Array.of(pceSvn & 0xff, pceSvn >> 8)
    const bare = mintTdxQuote(good, {
      certification: { type: 1, data: concat(ppid, cpuSvn, svn, pceId) },
    })
    const stranger = mintIntelPki({ now: NOW, platform: good.platform })
    const own = [good.certificates.pck, good.certificates.platformCa]
    const foreign = Object.values(stranger.certificates)
    for (const certificates of [
      [...own, ...set.certificates],
      [...foreign, ...own, ...set.certificates],
      [...own, ...set.certificates, ...foreign],
    ]) {
      const context = contextOf(good, { endorsements: { ...set, certificates } })
      expect((await authenticate(bare, context)).authentic).toBe(true)
    }
    const only = contextOf(good, {
      endorsements: { ...set, certificates: [...foreign, ...set.certificates] },
    })
    expect((await authenticate(bare, only)).authentic).toBe(false)
  })
})
