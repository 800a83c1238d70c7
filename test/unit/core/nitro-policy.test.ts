import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { requireAffirming } from '../../../src/core/appraisal/result.ts'
import type { CborValue } from '../../../src/core/encoding/cbor.ts'
import { nitro } from '../../../src/core/evidence/nitro/format.ts'
import { mintAwsPki, mintNitroDocument, type NitroMembers } from '../../../src/testing/index.ts'
import { AT, anchorsOf, appraiseNitro, failures, NOW, nitroPolicy } from '../../support/nitro.ts'

const pki = mintAwsPki({ at: AT })
const anchors = anchorsOf(pki)
const pcr = (byte: number) => new Uint8Array(48).fill(byte)
const pcrs = (change: Readonly<Record<number, CborValue | undefined>>) => {
  const map = new Map<number, CborValue>()
  for (let i = 0; i < 16; i++) map.set(i, pcr([0, 1, 2, 3, 4, 8].includes(i) ? i + 1 : 0))
  for (const [i, value] of Object.entries(change)) {
    if (value === undefined) map.delete(Number(i))
    else map.set(Number(i), value)
  }
  return map
}
const hex = (byte: number) => byte.toString(16).padStart(2, '0').repeat(48)

async function run(members: NitroMembers, policy: Parameters<typeof nitroPolicy>[0], now = NOW) {
  const document = mintNitroDocument({ pki, timestamp: AT, members })
  return appraiseNitro({ document, anchors, policy: nitroPolicy(policy), now })
}

describe('Nitro policy', () => {
  it.each([
    ['all image registers zero', pcrs({ 0: pcr(0), 1: pcr(0), 2: pcr(0) })],
    ['PCR0 zero', pcrs({ 0: pcr(0) })],
    ['PCR1 zero', pcrs({ 1: pcr(0) })],
    ['PCR2 zero', pcrs({ 2: pcr(0) })],
    ['PCR0 absent', pcrs({ 0: undefined })],
    ['PCR2 absent', pcrs({ 2: undefined })],
  ])('debug mode: %s', async (_, registers) => {
    const result = await run({ pcrs: registers }, {})
    expect(failures(result)).toEqual(['nitro.policy.debug'])
    expect(result.tier).toBe('contraindicated')
  })

  it('PCR3 and up may be zero: no role, no signing certificate', async () => {
    expect((await run({ pcrs: pcrs({ 3: pcr(0), 8: pcr(0) }) }, {})).tier).toBe('affirming')
  })

  it.each(Array.from({ length: 16 }, (_, i) => i))('PCR%s by value', async (i) => {
    const name = `pcr${i}`
    const all = pcrs({ [i]: pcr(0x77) })
    const passes = await run({ pcrs: all }, { [name]: { require: [hex(1), hex(0x77)] } })
    expect(failures(passes)).toEqual([])
    expect(passes.checks.find(({ id }) => id === `nitro.${name}`)?.outcome).toBe('pass')
    const fails = await run({ pcrs: all }, { [name]: { require: [hex(1)] } })
    expect(failures(fails)).toEqual([`nitro.${name}`])
    const absent = await run({ pcrs: pcrs({ [i]: undefined }) }, { [name]: { require: [hex(0)] } })
    expect(failures(absent)).toContain(`nitro.${name}`)
    expect(absent.checks.find(({ id }) => id === `nitro.${name}`)?.actual).toBe('absent')
  })

  it('a register of another size is not the same register', async () => {
    const short = pcrs({ 0: new Uint8Array(32).fill(1) })
    expect(failures(await run({ pcrs: short }, { pcr0: { require: [hex(1)] } }))).toEqual([
      'nitro.pcr0',
    ])
  })

  it.each([
    ['i-0123456789abcdef0', []],
    ['i-0123456789abcdef0-enc0123456789abcdef', []],
    ['i-1', ['nitro.module_id']],
    ['enc', ['nitro.module_id']],
  ])('module id that begins with %s', async (prefix, ids) => {
    expect(failures(await run({}, { moduleId: { require: ['zzz', prefix] } }))).toEqual(ids)
  })

  it('public_key: one of the keys named, or none at all', async () => {
    const key = new Uint8Array(294).fill(0x30)
    const digest = createHash('sha256').update(key).digest('hex')
    const other = 'ab'.repeat(32)
    const ask = async (publicKey: Uint8Array | null | undefined, require: readonly string[]) =>
      failures(await run({ public_key: publicKey }, { publicKey: { require } }))
    const bad = ['nitro.public_key']
    expect(await ask(key, [other, digest])).toEqual([])
    expect(await ask(key, [other])).toEqual(bad)
    expect(await ask(key, ['absent'])).toEqual(bad)
    expect(await ask(key.with(293, 0x31), [digest])).toEqual(bad)
    for (const none of [null, undefined]) {
      expect(await ask(none, ['absent'])).toEqual([])
      expect(await ask(none, [digest, 'absent'])).toEqual([])
      expect(await ask(none, [digest])).toEqual(bad)
    }
    const result = await run({ public_key: key }, { publicKey: { require: [other] } })
    expect(result.checks.find(({ id }) => id === 'nitro.public_key')).toMatchObject({
      outcome: 'fail',
      expected: other,
      actual: digest,
    })
  })

  it.each([
    [0, 300, []],
    [299, 300, []],
    [300, 300, []],
    [301, 300, ['nitro.freshness.max_age']],
    [3600, 300, ['nitro.freshness.max_age']],
  ])('verified %s s later, at most %s', async (later, most, ids) => {
    const now = new Date(AT.getTime() + later * 1000)
    expect(failures(await run({}, { 'freshness.maxAge': { require: most } }, now))).toEqual(ids)
  })

  it('a document from the future is as stale as one from the past', async () => {
    const timestamp = BigInt(NOW.getTime() + 601_000)
    expect(failures(await run({ timestamp }, {}))).toEqual(['nitro.freshness.max_age'])
  })

  it('unwaivable-is-unwaivable: the fields that no policy may waive', () => {
    const fixed = Object.entries(nitro.policyFields).filter(([, { unwaivable }]) => unwaivable)
    expect(fixed.map(([name]) => name)).toEqual(['debug', 'freshness.maxAge'])
  })

  it('every field has its check', async () => {
    const ids = (await run({}, {})).checks.map(({ id }) => id)
    expect(ids).toEqual(expect.arrayContaining([...nitro.appraisalCheckIds]))
    expect(nitro.appraisalCheckIds).toHaveLength(Object.keys(nitro.policyFields).length)
  })

  it('claims: user_data is the report data, the nonce its own field', async () => {
    const document = mintNitroDocument({ pki, timestamp: AT })
    const binding = {
      nonce: { require: new Uint8Array(32).fill(0xe2) },
      reportData: { require: new Uint8Array(32).fill(0xd1) },
    }
    const result = await appraiseNitro({ document, anchors, binding })
    expect(requireAffirming(result).tcb).toEqual({
      status: 'unpublished',
      date: undefined,
      advisoryIds: [],
    })
    expect(result.claims).toMatchObject({ digest: 'SHA384', nonce: 'e2'.repeat(32) })

    for (const wrong of [
      { ...binding, nonce: { require: new Uint8Array(32).fill(1) } },
      { ...binding, reportData: { require: new Uint8Array(32).fill(1) } },
    ]) {
      const refused = await appraiseNitro({ document, anchors, binding: wrong })
      expect(failures(refused)).toHaveLength(1)
    }
    const bare = mintNitroDocument({
      pki,
      timestamp: AT,
      members: { nonce: null, user_data: null },
    })
    expect(failures(await appraiseNitro({ document: bare, anchors, binding }))).toHaveLength(2)
  })
})
