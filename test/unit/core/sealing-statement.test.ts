import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { canonicalJson } from '../../../src/core/encoding/canonical-json.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import {
  deviceNonce,
  devicesDigest,
  parseStatement,
  reportData,
  statementText,
} from '../../../src/core/sealing/statement.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { sharedDir } from '../../support/shared.ts'

const hasher = createCrypto()
const keysetDigest = `sha256:${'ab'.repeat(32)}`
const nonce = '0123456789abcdef'.repeat(4)
const malformed: unknown = expect.objectContaining({ code: 'ERR_STATEMENT_MALFORMED' })

describe('statement', () => {
  it('has one spelling', () => {
    const text = statementText({ keysetDigest, nonce })
    expect(text).toBe(
      `{"keyset_digest":"${keysetDigest}","nonce":"${nonce}","purpose":"aci.report_data.v1"}`,
    )
    expect(parseStatement(text)).toEqual({ keysetDigest, nonce })
    const unasked = statementText({ keysetDigest, nonce: null })
    expect(unasked).toContain('"nonce":null')
    expect(parseStatement(unasked)).toEqual({ keysetDigest, nonce: null })
    const devices = keysetDigest
    const native = statementText({ keysetDigest, nonce, devices })
    expect(native).toMatch(/^\{"devices":"sha256:.*"vouchsafe\.report_data\.v1"\}$/)
    expect(parseStatement(native)).toEqual({ keysetDigest, nonce, devices })
  })

  const good = statementText({ keysetDigest, nonce })
  it.each([
    ['a blank', good.replace(',', ', ')],
    [
      'another order',
      `{"nonce":"${nonce}","keyset_digest":"${keysetDigest}","purpose":"aci.report_data.v1"}`,
    ],
    ['a member more', good.replace('}', ',"x":1}')],
    ['a member twice', good.replace('}', `,"purpose":"aci.report_data.v1"}`)],
    ['a member less', good.replace(`"nonce":"${nonce}",`, '')],
    ['an escape', good.replace('aci', '\\u0061ci')],
    ['an upper-case nonce', good.replace(nonce, nonce.toUpperCase())],
    ['a short nonce', good.replace(nonce, nonce.slice(2))],
    ['another purpose', good.replace('aci.report_data.v1', 'aci.report_data.v2')],
    ['the native purpose without devices', good.replace('aci.', 'vouchsafe.')],
    ['another hash', good.replace('sha256:', 'sha384:')],
    [
      'devices and no nonce',
      statementText({ keysetDigest, nonce, devices: keysetDigest }).replace(`"${nonce}"`, 'null'),
    ],
    ['no JSON', good.slice(1)],
    ['a newline at the end', `${good}\n`],
    ['a list', `[${good}]`],
    ['too long', good + ' '.repeat(1000)],
  ])('%s: refused', (_, text) => {
    expect(() => parseStatement(text)).toThrow(malformed)
  })

  it('is not written with a digest or a nonce that has another form', () => {
    expect(() => statementText({ keysetDigest: 'sha256:00', nonce })).toThrow(malformed)
    expect(() => statementText({ keysetDigest, nonce: 'AB' })).toThrow(malformed)
    expect(() => statementText({ keysetDigest, nonce: null, devices: keysetDigest })).toThrow(
      malformed,
    )
  })

  it('garbage-is-typed', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseStatement(text)
        } catch (error) {
          expect(error).toBeInstanceOf(VouchsafeError)
        }
      }),
      { interruptAfterTimeLimit: 1000, markInterruptAsFailure: false },
    )
  })

  it('report data is the digest and 32 zeros', async () => {
    const data = await reportData(good, hasher)
    expect(data).toHaveLength(64)
    expect(data.subarray(0, 32)).toEqual(
      await hasher.digest('SHA-256', new TextEncoder().encode(good)),
    )
    expect(data.subarray(32)).toEqual(new Uint8Array(32))
  })

  it('devices answer a nonce of their own', async () => {
    const bytes = new Uint8Array(32).fill(7)
    const derived = await deviceNonce(bytes, hasher)
    const text = Buffer.concat([Buffer.from('vouchsafe device nonce v1\0'), bytes])
    expect(derived).toEqual(await hasher.digest('SHA-256', new Uint8Array(text)))
    const devices = [{ evidence: keysetDigest, kind: 'nvidia-gpu' }] as const
    expect(await devicesDigest(devices, hasher)).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(await devicesDigest([], hasher)).not.toBe(await devicesDigest(devices, hasher))
  })

  const dir = sharedDir()
  it.runIf(dir !== undefined)('aci/test-vectors.md §1 and §2', async () => {
    const text = readFileSync(join(dir ?? '', 'vectors/aci/test-vectors.md'), 'utf8')
    const blocks = [...text.matchAll(/```text\n([\s\S]*?)\n```/g)].map(([, block]) => block ?? '')
    const [keyset = '', digestLine = ''] = blocks
    const digest = digestLine.replace(/^.*= /, '')
    expect(canonicalJson(JSON.parse(keyset) as never)).toBe(keyset)
    const bytes = new TextEncoder().encode(keyset)
    expect(`sha256:${toHex(await hasher.digest('SHA-256', bytes))}`).toBe(digest)
    const statements = blocks.filter((block) => block.startsWith('{"keyset_digest"'))
    expect(statements).toHaveLength(2)
    for (const statement of statements) {
      const parsed = parseStatement(statement)
      expect(parsed.keysetDigest).toBe(digest)
      expect(statementText(parsed)).toBe(statement)
      const after = blocks[blocks.indexOf(statement) + 1] ?? ''
      const expected = after.replace(/^.*= /, '')
      expect(toHex(await reportData(statement, hasher))).toBe(expected + '00'.repeat(32))
    }
  })
})
