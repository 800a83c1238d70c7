import { describe, expect, it } from 'vitest'
import { parseCrl } from '../../../src/core/x509/crl.ts'
import { mintAmdCrl } from '../../../src/testing/index.ts'
import { AFTER, appraiseSnp, BEFORE, bag, failures, snpPolicy } from '../../support/snp.ts'
import { trusteeJson } from '../../support/snp-json.ts'
import {
  anchors,
  crl,
  failing,
  good,
  otherArk,
  pki,
  vcek,
  withCrls,
} from '../../support/snp-milan.ts'

const older = crl({ thisUpdate: new Date('2026-02-01') })
const revoking = crl({ thisUpdate: new Date('2026-05-01'), revoked: [0x10001] })
/** Of the root's name, by somebody else's key; each different. */
const forged = (count: number): readonly Uint8Array[] =>
  Array.from({ length: count }, (_, i) =>
    mintAmdCrl(
      { ark: { ...pki.ark, key: otherArk.key } },
      { thisUpdate: new Date(BEFORE.getTime() + i * 1000), nextUpdate: AFTER },
    ),
  )

describe('SEV-SNP: revocation lists in a set that the attester filled', () => {
  it('a list that names the key is found behind any number of others', async () => {
    const change = withCrls(older, ...forged(20), revoking)
    expect(await failing(change)).toEqual(['snp.vek.revocation'])
  })

  it.each([
    ['after', [older, revoking]],
    ['before', [revoking, older]],
  ])('a list that names the key counts %s one that does not', async (_, crls) => {
    expect(await failing(withCrls(...crls))).toEqual(['snp.vek.revocation'])
  })

  it('a newer list does not take back what an older one says', async () => {
    const later = crl({ thisUpdate: new Date('2026-05-20') })
    expect(await failing(withCrls(revoking, later))).toEqual(['snp.vek.revocation'])
  })

  it('refuses more lists of one root than anybody has, and counts no list twice', async () => {
    const input = { report: good, anchors }
    const many = withCrls(...forged(65), older)
    await expect(
      appraiseSnp({ ...input, endorsements: many.endorsements ?? bag(pki, [vcek]) }),
    ).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED', at: 'snp.crl' })
    const same = bag(pki, [vcek], { crls: Array.from({ length: 100 }, () => older) })
    expect((await appraiseSnp({ ...input, endorsements: same })).tier).toBe('affirming')
  })

  it.each([
    ['cut off', older.subarray(0, older.length - 1)],
    ['of nothing', Uint8Array.of(0x30, 0)],
    ['that is none', Uint8Array.of(1)],
  ])(
    'a list %s is not the same as none, beside a good one and where none is needed',
    async (...[, list]) => {
      const policy = snpPolicy({ revocation: { require: 'crl-if-present' } })
      for (const crls of [[list], [older, list], [list, older]]) {
        const endorsements = bag(pki, [vcek], { crls })
        for (const input of [{}, { policy }]) {
          const verdict = appraiseSnp({ report: good, anchors, endorsements, ...input })
          await expect(verdict).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
        }
      }
    },
  )

  it('a list of another root may be as broken as it likes', async () => {
    const ark = { ...pki.ark, name: 'ARK-Genoa' }
    const list = mintAmdCrl({ ark }, { thisUpdate: BEFORE, nextUpdate: AFTER })
    // A date that is none.
    const broken = list.with(Buffer.from(list).indexOf('170d', 'hex'), 0x19)
    expect(() => parseCrl(broken, { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' })).toThrow()
    const endorsements = bag(pki, [vcek], { crls: [older, broken] })
    expect((await appraiseSnp({ report: good, anchors, endorsements })).tier).toBe('affirming')
  })

  it('what the host sent along is a list only if it begins as one', async () => {
    const certificates = [vcek.der, pki.ask.der, pki.ark.der]
    const table = async (more: readonly Uint8Array[]) =>
      appraiseSnp({
        report: trusteeJson(good, [...certificates, ...more]),
        anchors,
        endorsements: bag(pki, [], { crls: [older] }),
      })
    const half = (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 1)
    for (const more of [[], [half(vcek.der)], [Uint8Array.of(1)], [new Uint8Array()]]) {
      expect((await table(more)).tier).toBe('affirming')
    }
    expect(failures(await table([revoking]))).toEqual(['snp.vek.revocation'])
    await expect(table([half(revoking)])).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
  })

  it('says until when the newest list holds, in whatever order they come', async () => {
    const soon = crl({ thisUpdate: new Date('2026-02-01'), nextUpdate: new Date('2026-07-01') })
    const newest = crl({ thisUpdate: new Date('2026-05-01'), nextUpdate: new Date('2026-08-01') })
    for (const crls of [
      [soon, newest],
      [newest, soon],
    ]) {
      const endorsements = bag(pki, [vcek], { crls })
      const { checks } = await appraiseSnp({ report: good, anchors, endorsements })
      const check = checks.find(({ id }) => id === 'snp.vek.revocation')
      expect(check?.actual).toContain('2026-08-01')
    }
  })
})
