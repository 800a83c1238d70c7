/** What is billed, and what is kept for a person instead (spec/envelope.md §12). */
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { UsageStore } from '../../../src/core/ports/gateway-store.ts'
import { type Keyset, keysetDigest } from '../../../src/core/sealing/keyset.ts'
import {
  type Receipt,
  signReceipt,
  type UnsignedReceipt,
} from '../../../src/core/sealing/receipt.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { openGatewayStores } from '../../../src/drivers/store/sqlite/gateway.ts'
import { type Exchange, settle } from '../../../src/gateway/settlement.ts'
import { someKeyset } from '../../support/scripted-enclave.ts'

const crypto = createCrypto()
const digest = (byte: string) => `sha256:${byte.repeat(32)}`
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const signer = {
  key: {
    alg: 'Ed25519' as const,
    spki: new Uint8Array(createPublicKey(privateKey).export({ type: 'spki', format: 'der' })),
  },
  sign: (data: Uint8Array) => new Uint8Array(sign(null, data, privateKey)),
}
let keyset: Keyset
let keysetOf: string
let usage: UsageStore
beforeAll(async () => {
  const hex = Buffer.from(publicKey.export({ type: 'spki', format: 'der' })).subarray(12)
  const public_key = hex.toString('hex')
  const receipt_signing_keys = [{ key_id: 'r1', algo: 'ed25519' as const, public_key }]
  keyset = { ...(await someKeyset(Date.now())), receipt_signing_keys }
  keysetOf = await keysetDigest(keyset, crypto)
})
beforeEach(() => {
  usage = openGatewayStores(':memory:').usage
})

const exchangeOf = (changes: Partial<Exchange> = {}): Exchange => ({
  receiptId: 'rcpt_1',
  tenant: 'acme',
  model: 'toy',
  enclave: {
    id: 'node_1',
    url: 'http://127.0.0.1:1',
    keysetDigest: keysetOf,
    keyset: '',
    ear: '',
    logIndex: 0,
    expiresAt: 1,
    parsed: keyset,
    keyHashes: new Set(),
  },
  request: { digest: digest('aa'), bytes: 1000 },
  response: { digest: digest('bb'), bytes: 2000, end: 'whole' },
  hints: digest('cc'),
  reserved: { maxOut: 50 },
  at: 5,
  ...changes,
})
const unsigned = (changes: Partial<UnsignedReceipt> = {}): UnsignedReceipt => ({
  version: 'vouchsafe.receipt/1',
  receipt_id: 'rcpt_1',
  served_at: 5,
  keyset_digest: keysetOf,
  key_id: 'r1',
  envelope: {
    format: 'ohttp-chunked',
    kem: 0x647a,
    aead: 2,
    hpke_key_id: 1,
    recipient: 'node',
    weak: false,
  },
  request: { digest: digest('aa'), bytes: 1000 },
  response: { digest: digest('bb'), bytes: 2000, chunks: 3, complete: true },
  hints: digest('cc'),
  model: { id: 'toy', manifest: digest('dd'), release_id: 'lease-1' },
  appraisal: { policy: digest('ee'), ear: digest('ff') },
  usage: tokens(10, 20),
  salted: null,
  outcome: 'ok',
  ...changes,
})
function tokens(input_tokens: number, output_tokens: number) {
  return { input_tokens, cached_tokens: 0, output_tokens, reasoning_tokens: 0, n: 1 }
}
const receipt = async (changes?: Partial<UnsignedReceipt>): Promise<Receipt> =>
  signReceipt(unsigned(changes), signer)
const settled = async (given: object | string | undefined, changes?: Partial<Exchange>) => {
  const text = typeof given === 'object' ? JSON.stringify(given) : given
  return settle(exchangeOf(changes), text, { usage, crypto })
}
const totals = () =>
  usage.totals('acme').map(({ state, requests, inputTokens, outputTokens }) => ({
    [state]: [requests, inputTokens, outputTokens],
  }))

describe('settlement', () => {
  it('bills what was signed and seen', async () => {
    expect(await settled(await receipt())).toEqual({ state: 'billed', reason: '' })
    expect(totals()).toEqual([{ billed: [1, 10, 20] }])
  })

  it('of one request asked twice bills one', async () => {
    await settled(await receipt())
    const second = await receipt({ receipt_id: 'rcpt_2' })
    expect(await settled(second, { receiptId: 'rcpt_2' })).toMatchObject({ state: 'duplicate' })
    expect(totals()).toEqual([{ billed: [1, 10, 20] }, { duplicate: [1, 10, 20] }])
  })

  it('a refused repeat, settled first, does not make the answer free', async () => {
    const refused = await receipt({ receipt_id: 'rcpt_2', outcome: 'refused', usage: tokens(0, 0) })
    expect(await settled(refused, { receiptId: 'rcpt_2' })).toEqual({ state: 'free', reason: '' })
    expect(await settled(await receipt())).toMatchObject({ state: 'billed' })
    expect(totals()).toEqual([{ billed: [1, 10, 20] }, { free: [1, 0, 0] }])
  })

  it('an error costs nothing; an answer that was left costs what was made of it', async () => {
    expect(await settled(await receipt({ outcome: 'error' }))).toMatchObject({ state: 'free' })
    const response = { digest: digest('99'), bytes: 900, end: 'left' } as const
    const aborted = await receipt({
      outcome: 'aborted',
      response: { digest: digest('bb'), bytes: 950, chunks: 2, complete: false },
    })
    expect(
      await settled(aborted, { response, request: { digest: digest('aa'), bytes: 1000 } }),
    ).toMatchObject({
      state: 'free',
    })
    const other = { receiptId: 'rcpt_2', request: { digest: digest('ab'), bytes: 1000 } }
    const left = await receipt({
      receipt_id: 'rcpt_2',
      request: other.request,
      outcome: 'aborted',
      response: { digest: digest('bb'), bytes: 950, chunks: 2, complete: false },
    })
    expect(await settled(left, { ...other, response })).toEqual({ state: 'billed', reason: '' })
  })

  it.each<[string, () => Promise<object | string | undefined>, Partial<Exchange>, string]>([
    ['no receipt', async () => undefined, {}, 'no receipt in time'],
    ['no JSON', async () => 'receipt', {}, 'ERR_RECEIPT_MALFORMED'],
    ['no receipt’s shape', async () => ({ receipt_id: 'rcpt_1' }), {}, 'ERR_RECEIPT_MALFORMED'],
    ['a member more', async () => ({ ...(await receipt()), tip: 1 }), {}, 'ERR_RECEIPT_MALFORMED'],
    [
      'a number that was changed after signing',
      async () => ({ ...(await receipt()), usage: tokens(10, 21) }),
      {},
      'receipt.signature',
    ],
    [
      'a signature of somebody else',
      async () => ({ ...(await receipt()), signature: '00'.repeat(64) }),
      {},
      'receipt.signature',
    ],
    ['a key of nobody', async () => receipt({ key_id: 'r2' }), {}, 'receipt.key_id'],
    [
      'another keyset',
      async () => receipt({ keyset_digest: digest('00') }),
      {},
      'receipt.keyset_digest',
    ],
    ['another exchange', async () => receipt({ receipt_id: 'rcpt_2' }), {}, 'receipt.receipt_id'],
    [
      'another request',
      async () => receipt({ request: { digest: digest('00'), bytes: 1000 } }),
      {},
      'receipt.request.digest',
    ],
    [
      'another answer',
      async () =>
        receipt({ response: { digest: digest('00'), bytes: 2000, chunks: 3, complete: true } }),
      {},
      'receipt.response.digest',
    ],
    ['other hints', async () => receipt({ hints: null }), {}, 'receipt.hints'],
    [
      'another model',
      async () => receipt({ model: { id: 'dearer', manifest: digest('dd'), release_id: null } }),
      {},
      'receipt.model.id',
    ],
    [
      'more output than was reserved',
      async () => receipt({ usage: tokens(10, 51) }),
      {},
      'receipt.usage.output_tokens',
    ],
    [
      'more tokens than bytes',
      async () => receipt({ usage: tokens(10, 2001) }),
      { reserved: {} },
      'receipt.usage.output_tokens',
    ],
    [
      'more choices than were asked for',
      async () => receipt({ usage: { ...tokens(10, 20), n: 2 } }),
      {},
      'receipt.usage.n',
    ],
    [
      'fewer bytes than passed, where the client left',
      async () => receipt({ outcome: 'aborted' }),
      { response: { digest: digest('99'), bytes: 2001, end: 'left' } },
      'receipt.response.bytes',
    ],
    [
      'a good receipt of an enclave that broke off',
      async () => receipt(),
      { response: { digest: digest('bb'), bytes: 2000, end: 'cut' } },
      'broke its answer off',
    ],
  ])('bills nothing and forgets nothing: %s', async (...[, make, changes, reason]) => {
    const outcome = await settled(await make(), changes)
    expect(outcome.state).toBe('faulty')
    expect(outcome.reason).toContain(reason)
    expect(totals()).toEqual([{ faulty: [1, 0, 0] }])
  })
})
