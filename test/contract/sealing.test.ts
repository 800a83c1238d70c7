import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/core/bytes/hex.ts'
import type { AeadName, Curve } from '../../src/core/ports/sealing.ts'
import { createSealingCrypto as createNode } from '../../src/drivers/sealing/node.ts'
import { createSealingCrypto as createWeb } from '../../src/drivers/sealing/web.ts'
import { hex } from '../support/sealing.ts'

const EMPTY = new Uint8Array(0)
const utf8 = (text: string) => new TextEncoder().encode(text)

// Every driver of a port runs the same suite; a new driver is one more line here.
describe.each([
  ['node', createNode(), createWeb()],
  ['web', createWeb(), createNode()],
] as const)('SealingCrypto %s', (_, crypto, other) => {
  it('HMAC-SHA256: RFC 4231 test cases 1, 2 and 6, and no key at all', async () => {
    const cases = [
      [
        '0b'.repeat(20),
        'Hi There',
        'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
      ],
      [
        '4a656665',
        'what do ya want for nothing?',
        '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
      ],
      [
        'aa'.repeat(131),
        'Test Using Larger Than Block-Size Key - Hash Key First',
        '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
      ],
      ['', '', 'b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad'],
    ] as const
    for (const [key, text, mac] of cases) {
      const imported = await crypto.importHmacKey(hex(key))
      expect(toHex(await imported.mac(utf8(text)))).toBe(mac)
      if (key === '') continue
      const running = crypto.startHmacSha256(hex(key))
      running.update(utf8(text.slice(0, 5)))
      running.update(utf8(text.slice(5)))
      expect(toHex(running.digest())).toBe(mac)
    }
  })

  it('hashes: SHA-256 in pieces, SHA3-256, SHAKE256', () => {
    const running = crypto.startSha256()
    running.update(utf8('a'))
    running.update(EMPTY)
    running.update(utf8('bc'))
    expect(toHex(running.digest())).toMatch(/^ba7816bf8f01cfea414140de5dae2223/)
    expect(toHex(crypto.sha3256(EMPTY))).toMatch(/^a7ffc6f8bf1ed76651c14756a061d662/)
    expect(toHex(crypto.shake256(EMPTY, 100))).toMatch(/^46b9dd2b0ba88d13233b3feb743eeb24/)
    expect(crypto.shake256(EMPTY, 100)).toHaveLength(100)
  })

  it.each([
    ['AES-128-GCM', 16],
    ['AES-256-GCM', 32],
    ['ChaCha20-Poly1305', 32],
  ] as const)('%s: opens what either driver sealed, and nothing else', async (aead, length) => {
    const bytes = crypto.random(length)
    const [key, foreign] = [
      await crypto.importAeadKey(aead, bytes),
      await other.importAeadKey(aead, bytes),
    ]
    const nonce = crypto.random(12)
    for (const plaintext of [EMPTY, crypto.random(1), crypto.random(5000)]) {
      const sealed = await key.seal(nonce, utf8('aad'), plaintext)
      expect(sealed).toHaveLength(plaintext.length + 16)
      expect(sealed).toEqual(await foreign.seal(nonce, utf8('aad'), plaintext))
      expect(await foreign.open(nonce, utf8('aad'), sealed)).toEqual(plaintext)
      expect(await key.open(nonce, utf8('aae'), sealed)).toBeUndefined()
      expect(await key.open(nonce, EMPTY, sealed)).toBeUndefined()
      expect(await key.open(crypto.random(12), utf8('aad'), sealed)).toBeUndefined()
      for (const at of [0, plaintext.length, sealed.length - 1]) {
        const flipped = sealed.slice()
        flipped[at] = (flipped[at] ?? 0) ^ 1
        expect(await key.open(nonce, utf8('aad'), flipped)).toBeUndefined()
      }
      for (const cut of [0, 15, sealed.length - 1]) {
        expect(await key.open(nonce, utf8('aad'), sealed.subarray(0, cut))).toBeUndefined()
      }
    }
  })

  it('an AEAD key of the wrong length is refused', async () => {
    for (const aead of ['AES-128-GCM', 'AES-256-GCM', 'ChaCha20-Poly1305'] as AeadName[]) {
      await expect((async () => crypto.importAeadKey(aead, crypto.random(24)))()).rejects.toThrow(
        RangeError,
      )
    }
  })

  it.each(['X25519', 'P-256'] as Curve[])('%s: both drivers agree', async (curve) => {
    const mine = await crypto.generateAgreementKey(curve)
    const scalar = new Uint8Array(32).fill(9)
    const theirs = await other.importAgreementKey(curve, scalar)
    expect((await crypto.importAgreementKey(curve, scalar)).publicKey).toEqual(theirs.publicKey)
    const here = await crypto.importAgreementPublic(curve, theirs.publicKey)
    const there = await other.importAgreementPublic(curve, mine.publicKey)
    if (here === undefined || there === undefined) throw new Error('public keys were refused')
    const shared = await mine.agree(here)
    expect(shared).toHaveLength(32)
    expect(await theirs.agree(there)).toEqual(shared)
  })

  it('X25519: RFC 7748 §5.2, after one iteration', async () => {
    const nine = Uint8Array.of(9, ...new Uint8Array(31))
    const key = await crypto.importAgreementKey('X25519', nine)
    const expected = '422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079'
    expect(toHex(key.publicKey)).toBe(expected)
    const base = await crypto.importAgreementPublic('X25519', nine)
    if (base === undefined) throw new Error('refused')
    expect(toHex((await key.agree(base)) ?? EMPTY)).toBe(expected)
  })

  it('X25519: an all-zero result is refused', async () => {
    const key = await crypto.generateAgreementKey('X25519')
    for (const low of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31))]) {
      const peer = await crypto.importAgreementPublic('X25519', low)
      expect(peer === undefined ? undefined : await key.agree(peer)).toBeUndefined()
    }
  })

  it('points that are none are refused', async () => {
    const { publicKey } = await crypto.generateAgreementKey('P-256')
    const off = publicKey.slice()
    off[64] = (off[64] ?? 0) ^ 1
    const compressed = Uint8Array.of(2 + ((publicKey[64] ?? 0) & 1), ...publicKey.subarray(1, 33))
    const bad = [off, compressed, EMPTY, new Uint8Array(65), publicKey.subarray(1)]
    for (const bytes of bad) {
      expect(await crypto.importAgreementPublic('P-256', bytes)).toBeUndefined()
    }
    for (const length of [0, 31, 33]) {
      const bytes = new Uint8Array(length).fill(9)
      expect(await crypto.importAgreementPublic('X25519', bytes)).toBeUndefined()
    }
  })

  it('scalars that are none are refused', async () => {
    const bad: [Curve, Uint8Array][] = [
      ['X25519', new Uint8Array(31)],
      ['P-256', new Uint8Array(32)],
      ['P-256', new Uint8Array(32).fill(255)],
      ['P-256', new Uint8Array(33).fill(1)],
    ]
    for (const [curve, scalar] of bad) {
      await expect((async () => crypto.importAgreementKey(curve, scalar))()).rejects.toThrow(
        RangeError,
      )
    }
  })

  it('a key of another driver is a mistake of ours', async () => {
    const key = await crypto.generateAgreementKey('X25519')
    const foreign = await other.importAgreementPublic('X25519', key.publicKey)
    if (foreign === undefined) throw new Error('refused')
    await expect((async () => key.agree(foreign))()).rejects.toThrow(TypeError)
  })

  it('ML-KEM-768: both drivers agree, and a wrong ciphertext gives another secret', async () => {
    const seed = crypto.random(64)
    const key = await crypto.importMlKemKey(seed)
    expect((await other.importMlKemKey(seed)).publicKey).toEqual(key.publicKey)
    const sender = await other.importMlKemPublic(key.publicKey)
    if (sender === undefined) throw new Error('public key was refused')
    const { ciphertext, sharedSecret } = await sender.encapsulate()
    expect([ciphertext.length, sharedSecret.length]).toEqual([1088, 32])
    expect(await key.decapsulate(ciphertext)).toEqual(sharedSecret)
    const again = await sender.encapsulate()
    expect(again.ciphertext).not.toEqual(ciphertext)
    ciphertext[3] = (ciphertext[3] ?? 0) ^ 1
    const implicit = await key.decapsulate(ciphertext)
    expect(implicit).toHaveLength(32)
    expect(implicit).not.toEqual(sharedSecret)
  })

  it('ML-KEM-768: keys that are none are refused', async () => {
    const { publicKey } = await crypto.importMlKemKey(crypto.random(64))
    const unreduced = publicKey.slice()
    unreduced.fill(255, 0, 3)
    for (const bytes of [unreduced, EMPTY, publicKey.subarray(1), new Uint8Array(1185)]) {
      expect(await crypto.importMlKemPublic(bytes)).toBeUndefined()
    }
    await expect((async () => crypto.importMlKemKey(new Uint8Array(32)))()).rejects.toThrow(
      RangeError,
    )
  })

  it('input-is-untouched, and results are arrays of their own', async () => {
    const bytes = crypto.random(32)
    const before = bytes.slice()
    const key = await crypto.importAeadKey('AES-256-GCM', bytes)
    const sealed = await key.seal(bytes.subarray(0, 12), bytes, bytes)
    const opened = await key.open(bytes.subarray(0, 12), bytes, sealed)
    const results = [sealed, opened, crypto.sha3256(bytes), crypto.random(8)]
    for (const result of results) {
      expect(Object.getPrototypeOf(result)).toBe(Uint8Array.prototype)
      expect(result?.buffer.byteLength).toBe(result?.byteLength)
    }
    expect(bytes).toEqual(before)
  })
})
