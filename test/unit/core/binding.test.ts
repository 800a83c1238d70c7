import { describe, expect, it } from 'vitest'
import { type Binding, checkBinding } from '../../../src/core/appraisal/binding.ts'
import type { Claims } from '../../../src/core/evidence/common/format.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'

const crypto = createCrypto()
const hash = (text: string): Uint8Array =>
  crypto.digest('SHA-256', new TextEncoder().encode(text)) as Uint8Array
const padded = (bytes: Uint8Array, size = 64): Uint8Array => {
  const all = new Uint8Array(size)
  all.set(bytes)
  return all
}
const nonce = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
const hex = Buffer.from(nonce).toString('hex')
const statementOf = (text: string): string =>
  `{"keyset_digest":"sha256:${'ab'.repeat(32)}","nonce":"${text}","purpose":"aci.report_data.v1"}`
const statement = statementOf(hex)

const claims = (part: Partial<Claims>): Claims => ({
  reportData: undefined,
  nonce: undefined,
  measurements: {},
  tcb: { status: 'UpToDate', date: undefined, advisoryIds: [] },
  printable: null,
  ...part,
})

async function outcomes(binding: Binding, given: Claims | undefined): Promise<readonly string[]> {
  const evidence = new Uint8Array([1])
  const checks = await checkBinding({ format: 'tdx', evidence, binding }, given, crypto)
  expect(checks.map(({ id }) => id)).toEqual(['tdx.freshness.nonce', 'tdx.binding.report_data'])
  return checks.map(({ outcome }) => outcome)
}

const bound: Binding = { nonce: { require: nonce }, reportData: { statement } }
const direct: Binding = { nonce: { require: nonce }, reportData: { require: nonce } }

describe('by statement', () => {
  it('passes for its digest, then zeros', async () => {
    expect(await outcomes(bound, claims({ reportData: padded(hash(statement)) }))).toEqual([
      'pass',
      'pass',
    ])
  })

  it.each<[string, Uint8Array | undefined]>([
    ['another statement', padded(hash(`${statement} `))],
    ['something after the digest', padded(hash(statement)).fill(1, 40, 41)],
    ['a digest that is cut', hash(statement).slice(0, 31)],
    ['no report data', undefined],
    ['zeros', new Uint8Array(64)],
  ])('fails for %s', async (_, reportData) => {
    expect((await outcomes(bound, claims({ reportData })))[1]).toBe('fail')
  })

  it.each([
    ['another nonce', statement.replace('01', '02')],
    ['two nonces', `{"nonce":"00","nonce":"${hex}"}`],
    ['two nonces among the rest', statement.replace('{', '{"nonce":"00",')],
    ['another purpose', statement.replace('aci.report_data.v1', 'aci.report_data.v2')],
    ['no purpose', `{"nonce":"${hex}"}`],
    ['one member more', statement.replace('}', ',"z":1}')],
    ['blanks in it', statement.replace(',', ', ')],
    ['a nonce in capitals', statement.replace(hex, hex.toUpperCase())],
    ['no nonce', '{"purpose":"aci.report_data.v1"}'],
    ['a nonce that is no text', '{"nonce":7}'],
    ['text that is no JSON', hex],
    ['JSON null', 'null'],
  ])('fails for a statement with %s', async (_, text) => {
    const binding: Binding = { nonce: { require: nonce }, reportData: { statement: text } }
    const given = claims({ reportData: padded(hash(text)), nonce })
    expect(await outcomes(binding, given)).toEqual(['fail', 'pass'])
  })
})

describe('without a statement', () => {
  it('finds the nonce in its own field, exactly', async () => {
    const reportData = padded(nonce)
    expect(await outcomes(direct, claims({ nonce, reportData }))).toEqual(['pass', 'pass'])
    expect((await outcomes(direct, claims({ nonce: padded(nonce), reportData })))[0]).toBe('fail')
    expect((await outcomes(direct, claims({ nonce: nonce.slice(0, 31), reportData })))[0]).toBe(
      'fail',
    )
  })

  it('finds the nonce as the report data, zero-padded', async () => {
    expect(await outcomes(direct, claims({ reportData: padded(nonce) }))).toEqual(['pass', 'pass'])
    const longer = padded(nonce).fill(9, 63)
    expect(await outcomes(direct, claims({ reportData: longer }))).toEqual(['fail', 'fail'])
  })

  it('absent-never-passes', async () => {
    expect(await outcomes(direct, claims({}))).toEqual(['fail', 'fail'])
    expect(await outcomes(direct, undefined)).toEqual(['fail', 'fail'])
    expect(await outcomes(bound, undefined)).toEqual(['fail', 'fail'])
  })

  it('zeros are nobody’s answer', async () => {
    const zero: Binding = {
      nonce: { require: new Uint8Array(32) },
      reportData: { require: new Uint8Array(64) },
    }
    expect(await outcomes(zero, claims({ reportData: new Uint8Array(64) }))).toEqual([
      'fail',
      'fail',
    ])
    const empty: Binding = {
      nonce: { require: new Uint8Array() },
      reportData: { require: new Uint8Array() },
    }
    expect(await outcomes(empty, claims({ reportData: new Uint8Array(64) }))).toEqual([
      'fail',
      'fail',
    ])
    expect((await outcomes(empty, claims({ nonce: new Uint8Array() })))[0]).toBe('fail')
  })

  it.each([0, 1, 7])('a nonce of %i bytes is none', async (size) => {
    const short = new Uint8Array(size).fill(1)
    const binding: Binding = { nonce: { require: short }, reportData: { unchecked: 'test' } }
    expect(await outcomes(binding, claims({ nonce: short }))).toEqual(['fail', 'waived'])
    expect(await outcomes(binding, claims({ reportData: padded(short) }))).toEqual([
      'fail',
      'waived',
    ])
    const eight = { ...binding, nonce: { require: new Uint8Array(8).fill(1) } }
    expect(await outcomes(eight, claims({ nonce: new Uint8Array(8).fill(1) }))).toEqual([
      'pass',
      'waived',
    ])
  })

  it('zeros in a statement are nobody’s answer either', async () => {
    const zeros = statementOf('00'.repeat(32))
    const binding: Binding = {
      nonce: { require: new Uint8Array(32) },
      reportData: { statement: zeros },
    }
    expect(await outcomes(binding, claims({ reportData: padded(hash(zeros)) }))).toEqual([
      'fail',
      'pass',
    ])
  })

  it('says that it was not asked', async () => {
    const none: Binding = { nonce: { unchecked: 'a' }, reportData: { unchecked: 'b' } }
    expect(await outcomes(none, claims({}))).toEqual(['waived', 'waived'])
  })
})
