import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Signer } from '../../../src/core/ports/crypto.ts'
import { jsonNode } from '../../../src/core/sealing/json.ts'
import type { Keyset } from '../../../src/core/sealing/keyset.ts'
import {
  authenticateReceipt,
  checkReceipt,
  parseReceipt,
  type Receipt,
  receiptKey,
  type SeenExchange,
  signReceipt,
  startSaltedDigest,
  type UnsignedReceipt,
} from '../../../src/core/sealing/receipt.ts'
import {
  bucketUsage,
  checkUsage,
  parseUsage,
  type TokenUsage,
} from '../../../src/core/sealing/usage.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { createSealingCrypto } from '../../../src/drivers/sealing/node.ts'

const crypto = createCrypto()
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
const signer: Signer = {
  key: { alg: 'Ed25519', spki },
  sign: (data) => new Uint8Array(sign(null, data, privateKey)),
}
const sha = (byte: string) => `sha256:${byte.repeat(32)}`
const keyset: Keyset = {
  subject: null,
  not_after: 2,
  receipt_signing_keys: [
    { key_id: 'r0', algo: 'ed25519', public_key: '00'.repeat(32) },
    { key_id: 'r1', algo: 'ed25519', public_key: Buffer.from(spki.subarray(12)).toString('hex') },
  ],
  e2ee_public_keys: [],
  tls_public_keys: [],
  vouchsafe: {
    version: 1,
    not_before: 1,
    keys: [],
    release_key: { algo: 'p256', public_key: `04${'00'.repeat(64)}` },
    models: [],
  },
}
const usage: TokenUsage = {
  input_tokens: 10,
  cached_tokens: 4,
  output_tokens: 20,
  reasoning_tokens: 5,
  n: 1,
}
const UNSIGNED: UnsignedReceipt = {
  version: 'vouchsafe.receipt/1',
  receipt_id: 'rcpt-1',
  served_at: 1_790_000_000,
  keyset_digest: sha('aa'),
  key_id: 'r1',
  envelope: {
    format: 'ohttp-chunked',
    kem: 0x647a,
    aead: 2,
    hpke_key_id: 1,
    recipient: 'node',
    weak: false,
  },
  request: { digest: sha('bb'), bytes: 2000 },
  response: { digest: sha('cc'), bytes: 3000, chunks: 5, complete: true },
  hints: sha('dd'),
  model: { id: 'm', manifest: sha('ee'), release_id: 'lease-1' },
  appraisal: { policy: sha('11'), ear: sha('22') },
  usage,
  salted: { request: '33'.repeat(32), response: '44'.repeat(32) },
  outcome: 'ok',
}
const signed = { keyset, keysetDigest: sha('aa') }
const seen: SeenExchange = {
  keysetDigest: sha('aa'),
  model: 'm',
  request: UNSIGNED.request,
  response: UNSIGNED.response,
  hints: sha('dd'),
}
const mismatch = (at: string): unknown =>
  expect.objectContaining({ code: 'ERR_RECEIPT_MISMATCH', at })

function set(path: readonly string[], value: unknown, source: unknown): unknown {
  const [step = '', ...rest] = path
  const members = source as Record<string, unknown>
  const copy = { ...members, [step]: rest.length > 0 ? set(rest, value, members[step]) : value }
  return value === undefined && rest.length === 0
    ? Object.fromEntries(Object.entries(copy).filter(([name]) => name !== step))
    : copy
}

function paths(value: unknown, here: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [here]
  const inside = Object.entries(value).flatMap(([key, child]) => paths(child, [...here, key]))
  return here.length === 0 ? inside : [here, ...inside]
}

describe('receipt', () => {
  it('signed, sent, parsed, authenticated, checked', async () => {
    const receipt = await signReceipt(UNSIGNED, signer)
    const parsed = parseReceipt(JSON.parse(JSON.stringify(receipt)))
    expect(parsed).toEqual(receipt)
    await authenticateReceipt(parsed, signed, crypto)
    checkReceipt(parsed, seen)
    checkUsage(parsed.usage, { inMax: 10, maxOut: 20, n: 1 }, parsed.response.bytes)
    expect(receiptKey(keyset, 'r1')).toEqual(signer.key)
  })

  it('nulls where there is nothing', async () => {
    const bare = {
      ...UNSIGNED,
      hints: null,
      salted: null,
      model: { ...UNSIGNED.model, release_id: null },
    }
    const receipt = await signReceipt(bare, signer)
    expect(parseReceipt(JSON.parse(JSON.stringify(receipt)))).toEqual(receipt)
  })

  it('any one member changed after signing: refused', async () => {
    const receipt = await signReceipt(UNSIGNED, signer)
    let tried = 0
    for (const path of paths(UNSIGNED)) {
      for (const value of [
        1234567,
        sha('99'),
        'other',
        true,
        false,
        'error',
        '77'.repeat(32),
        null,
      ]) {
        let changed: Receipt
        try {
          changed = parseReceipt(set(path, value, receipt))
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_RECEIPT_MALFORMED' })
          continue
        }
        if (JSON.stringify(changed) === JSON.stringify(receipt)) continue
        tried++
        await expect(authenticateReceipt(changed, signed, crypto)).rejects.toMatchObject({
          code: 'ERR_RECEIPT_MISMATCH',
        })
      }
    }
    expect(tried).toBeGreaterThan(20)
  })

  it('any one member missing, or one more: refused', async () => {
    const receipt = await signReceipt(UNSIGNED, signer)
    const all = paths(receipt)
    expect(all.length).toBeGreaterThan(35)
    for (const path of all) {
      expect(() => parseReceipt(set(path, undefined, receipt)), path.join('.')).toThrow(
        expect.objectContaining({ code: 'ERR_RECEIPT_MALFORMED' }),
      )
      expect(() => parseReceipt(set([...path.slice(0, -1), 'more'], 1, receipt))).toThrow(
        expect.objectContaining({ code: 'ERR_RECEIPT_MALFORMED' }),
      )
    }
  })

  it('another key, another keyset, another signature: refused', async () => {
    const receipt = await signReceipt(UNSIGNED, signer)
    const attempt = async (changed: Receipt, by = signed) =>
      expect(authenticateReceipt(changed, by, crypto)).rejects
    await (await attempt(receipt, { keyset, keysetDigest: sha('ab') })).toMatchObject({
      code: 'ERR_RECEIPT_MISMATCH',
      at: 'receipt.keyset_digest',
    })
    await (await attempt({ ...receipt, key_id: 'r2' })).toMatchObject({ at: 'receipt.key_id' })
    const zero = { ...receipt, signature: '00'.repeat(64) }
    await (await attempt(zero)).toMatchObject({ at: 'receipt.signature' })
    await expect(
      signReceipt(UNSIGNED, { ...signer, key: { ...signer.key, alg: 'ES256' } }),
    ).rejects.toThrow(TypeError)
  })

  it.each<[string, SeenExchange]>([
    ['keyset_digest', { ...seen, keysetDigest: sha('00') }],
    ['model.id', { ...seen, model: 'n' }],
    ['request.digest', { ...seen, request: { ...seen.request, digest: sha('00') } }],
    ['request.bytes', { ...seen, request: { ...seen.request, bytes: 1 } }],
    ['response.digest', { ...seen, response: { ...seen.response, digest: sha('00') } }],
    ['response.bytes', { ...seen, response: { ...seen.response, bytes: 1 } }],
    ['hints', { ...seen, hints: null }],
  ])('not what was seen, at %s: refused', async (at, other) => {
    const receipt = await signReceipt(UNSIGNED, signer)
    expect(() => {
      checkReceipt(receipt, other)
    }).toThrow(mismatch(`receipt.${at}`))
  })

  it('salted digests are made by both ends only', async () => {
    const sealing = createSealingCrypto()
    const digest = async (secret: number) => {
      const exchange = { export: async () => new Uint8Array(32).fill(secret) }
      const running = await startSaltedDigest(exchange, sealing)
      running.update(Buffer.from('short '))
      running.update(Buffer.from('prompt'))
      return running.digest()
    }
    expect(await digest(1)).toEqual(await digest(1))
    expect(await digest(1)).not.toEqual(await digest(2))
  })
})

describe('usage', () => {
  const node = (value: unknown) => jsonNode(value, 'ERR_RECEIPT_MALFORMED', 'receipt.usage')
  const video = {
    video_tokens: 1,
    seconds: 5,
    width: 1920,
    height: 1080,
    fps: 24,
    video_in: false,
    tool_calls: 0,
  }

  it('is of tokens or of video', () => {
    expect(parseUsage(node(usage))).toEqual(usage)
    expect(parseUsage(node(video))).toEqual(video)
    const bad = [
      { ...usage, total_tokens: 30 },
      { ...usage, ...video },
      { ...usage, cached_tokens: 11 },
      { ...usage, reasoning_tokens: 21 },
      { ...usage, n: -1 },
      { ...usage, n: 0.5 },
      null,
      [],
    ]
    for (const value of bad) {
      expect(() => parseUsage(node(value))).toThrow(
        expect.objectContaining({ code: 'ERR_RECEIPT_MALFORMED' }),
      )
    }
  })

  it.each([
    ['input_tokens', usage, { inMax: 9 }, 9999],
    ['output_tokens', usage, { maxOut: 19 }, 9999],
    ['n', { ...usage, n: 2 }, {}, 9999],
    ['output_tokens', usage, {}, 14],
    ['seconds', video, { duration: 4 }, 9999],
  ])('more %s than can be: refused', (...[member, actual, reserved, bytes]) => {
    expect(() => {
      checkUsage(actual, reserved, bytes)
    }).toThrow(mismatch(`receipt.usage.${member}`))
  })

  it('ceilings are per choice, and reasoning needs no bytes', () => {
    checkUsage({ ...usage, n: 2 }, { maxOut: 10, n: 2 }, 15)
    checkUsage(video, {}, 0)
  })

  it('buckets of 64', () => {
    expect(bucketUsage(usage)).toEqual({
      input_tokens: 64,
      cached_tokens: 64,
      output_tokens: 64,
      reasoning_tokens: 64,
      n: 1,
    })
    expect(bucketUsage({ ...usage, output_tokens: 65, reasoning_tokens: 0 })).toMatchObject({
      output_tokens: 128,
      reasoning_tokens: 0,
    })
  })
})
