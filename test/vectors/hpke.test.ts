import { createHash, hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { concat } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import type { SealingCrypto } from '../../src/core/ports/sealing.ts'
import { setupRecipient, setupSender } from '../../src/core/sealing/hpke.ts'
import { deriveKeyPair, importKeyPair, importPublicKey } from '../../src/core/sealing/kem.ts'
import { type AeadId, isAead, isKdf, isKem, type KemId } from '../../src/core/sealing/suites.ts'
import { createSealingCrypto as createNode } from '../../src/drivers/sealing/node.ts'
import { createSealingCrypto as createWeb } from '../../src/drivers/sealing/web.ts'
import { hex, withFixedSender } from '../support/sealing.ts'
import { sharedDir } from '../support/shared.ts'

interface Common {
  readonly mode: number
  readonly kem_id: number
  readonly kdf_id: number
  readonly aead_id: number
  readonly info: string
  readonly ikmE: string
  readonly ikmR: string
  readonly skRm: string
  readonly pkRm: string
  readonly enc: string
}
interface Compact extends Common {
  readonly encryptions_accumulated?: string
  readonly exports_accumulated: string
}
interface Full extends Common {
  readonly shared_secret: string
  readonly encryptions: readonly {
    readonly aad: string
    readonly ct: string
    readonly pt: string
  }[]
  readonly exports: readonly {
    readonly exporter_context: string
    readonly L: number
    readonly exported_value: string
  }[]
}

const dir = sharedDir()
const EMPTY = new Uint8Array(0)
const DRIVERS: readonly [string, SealingCrypto][] = [
  ['node', createNode()],
  ['web', createWeb()],
]

function load<T extends Common>(file: string): T[] {
  const text = readFileSync(join(dir ?? '', 'vectors/hpke', file), 'utf8')
  return (JSON.parse(text) as T[]).filter(({ mode, kem_id }) => mode === 0 && isKem(kem_id))
}

/** The stream of test inputs that the compact vectors are drawn from. */
function source(): () => Uint8Array {
  const stream = createHash('shake128', { outputLength: 1 << 20 }).digest()
  let offset = 0
  return () => {
    const length = stream[offset++] ?? 0
    offset += length
    return Uint8Array.from(stream.subarray(offset - length, offset))
  }
}

function accumulate(parts: readonly Uint8Array[]): string {
  return hash('shake128', concat(...parts), { outputEncoding: 'hex', outputLength: 16 })
}

async function contexts(crypto: SealingCrypto, vector: Common) {
  const { kem_id, aead_id, kdf_id } = vector
  if (!isKem(kem_id) || !isAead(aead_id) || !isKdf(kdf_id)) throw new Error('does not apply')
  const suite = { kdf: kdf_id, aead: aead_id, info: hex(vector.info) }
  const recipient = await deriveKeyPair(kem_id, hex(vector.ikmR), crypto)
  const fixed = await fixedSender(kem_id, vector, crypto)
  const publicKey = await importPublicKey(kem_id, recipient.publicKey, fixed)
  const sender = await setupSender(publicKey, suite, fixed)
  const enc = hex(vector.enc)
  return { sender, opener: await setupRecipient(recipient, { ...suite, enc }, crypto) }
}

async function fixedSender(kem: KemId, { ikmE }: Common, crypto: SealingCrypto) {
  const random = hex(ikmE)
  if (kem === 0x647a) {
    return withFixedSender(crypto, { message: random.slice(0, 32), scalar: random.slice(32) })
  }
  const pair = await deriveKeyPair(kem, random, crypto)
  return {
    ...crypto,
    generateAgreementKey: async () => agreementOf(pair.publicKey, kem, random, crypto),
  }
}

/** DeriveKeyPair hides the scalar in a handle; the vectors want the ephemeral pair itself. */
async function agreementOf(
  ...[publicKey, kem, ikm, crypto]: [Uint8Array, KemId, Uint8Array, SealingCrypto]
) {
  let scalar = EMPTY
  const spy: SealingCrypto = {
    ...crypto,
    importAgreementKey: async (curve, bytes) => {
      scalar = bytes.slice()
      return crypto.importAgreementKey(curve, bytes)
    },
  }
  await deriveKeyPair(kem, ikm, spy)
  const key = await crypto.importAgreementKey(kem === 0x0020 ? 'X25519' : 'P-256', scalar)
  expect(toHex(key.publicKey)).toBe(toHex(publicKey))
  return key
}

describe.runIf(dir !== undefined).each(DRIVERS)('HPKE vectors, %s', (name, crypto) => {
  it('RFC 9180: key derivation and encapsulation of 16 entries', async () => {
    const all = load<Compact>('rfc9180-base-compact.json')
    expect(all).toHaveLength(16)
    for (const vector of all) {
      const kem = vector.kem_id as KemId
      const pair = await deriveKeyPair(kem, hex(vector.ikmR), crypto)
      expect(toHex(pair.publicKey)).toBe(vector.pkRm)
      const imported = await importKeyPair(kem, hex(vector.skRm), crypto)
      expect(toHex(imported.publicKey)).toBe(vector.pkRm)
      const fixed = await fixedSender(kem, vector, crypto)
      const { enc, sharedSecret } = await (
        await importPublicKey(kem, pair.publicKey, fixed)
      ).encapsulate()
      expect(toHex(enc)).toBe(vector.enc)
      expect(await pair.decapsulate(enc)).toEqual(sharedSecret)
    }
  })

  it('RFC 9180: 1000 seals and 1000 exports in each of 6 suites', async () => {
    const all = load<Compact>('rfc9180-base-compact.json').filter(
      ({ kdf_id, aead_id }) => isKdf(kdf_id) && isAead(aead_id),
    )
    expect(all).toHaveLength(6)
    // WebCrypto spends seconds on a thousand long exports; one suite of each AEAD is enough there.
    for (const vector of name === 'node' ? all : all.slice(0, 3)) {
      const { sender, opener } = await contexts(crypto, vector)
      const draw = source()
      const sealed = []
      for (let i = 0; i < 1000; i++) {
        const aad = draw()
        const plaintext = draw()
        const ciphertext = await sender.seal(aad, plaintext)
        expect(await opener.open(aad, ciphertext)).toEqual(plaintext)
        sealed.push(ciphertext)
      }
      expect(accumulate(sealed)).toBe(vector.encryptions_accumulated)
      if (name !== 'node') continue
      const context = source()
      const exported = []
      for (let length = 0; length < 1000; length++) {
        exported.push(await opener.export(context(), length))
      }
      expect(accumulate(exported)).toBe(vector.exports_accumulated)
    }
  })

  it.each(['hpke-pq-draft.json', 'hpke-pq-go.json'])('%s: the hybrid KEM', async (file) => {
    const all = load<Full>(file).filter(({ kem_id }) => kem_id === 0x647a)
    expect(all.length).toBeGreaterThanOrEqual(1)
    for (const vector of all) {
      const pair = await deriveKeyPair(0x647a, hex(vector.ikmR), crypto)
      expect(toHex(pair.publicKey)).toBe(vector.pkRm)
      expect(toHex((await importKeyPair(0x647a, hex(vector.skRm), crypto)).publicKey)).toBe(
        vector.pkRm,
      )
      const fixed = await fixedSender(0x647a, vector, crypto)
      const recipient = await importPublicKey(0x647a, pair.publicKey, fixed)
      const { enc, sharedSecret } = await recipient.encapsulate()
      expect(toHex(enc)).toBe(vector.enc)
      expect(toHex(sharedSecret)).toBe(vector.shared_secret)
      expect(toHex(await pair.decapsulate(enc))).toBe(vector.shared_secret)
    }
  })

  it.each(['hpke-pq-draft.json', 'hpke-pq-go.json'])('%s: 0x647a with HKDF', async (file) => {
    const all = load<Full>(file).filter(
      ({ kem_id, kdf_id, aead_id }) => kem_id === 0x647a && isKdf(kdf_id) && isAead(aead_id),
    )
    expect(all).toHaveLength(1)
    for (const vector of all) {
      const { sender, opener } = await contexts(crypto, vector)
      expect(vector.encryptions).toHaveLength(10)
      for (const { aad, pt, ct } of vector.encryptions) {
        expect(toHex(await sender.seal(hex(aad), hex(pt)))).toBe(ct)
        expect(toHex(await opener.open(hex(aad), hex(ct)))).toBe(pt)
      }
      expect(vector.exports).toHaveLength(5)
      for (const { exporter_context, L, exported_value } of vector.exports) {
        expect(toHex(await sender.export(hex(exporter_context), L))).toBe(exported_value)
        expect(toHex(await opener.export(hex(exporter_context), L))).toBe(exported_value)
      }
    }
  })
})

describe('HPKE without vectors', () => {
  it.each([1, 2, 3] as AeadId[])('drivers understand each other with AEAD %i', async (aead) => {
    const [[, node], [, web]] = DRIVERS as [(typeof DRIVERS)[0], (typeof DRIVERS)[0]]
    for (const kem of [0x647a, 0x0020, 0x0010] as const) {
      for (const [here, there] of [[node, web] as const, [web, node] as const]) {
        const pair = await deriveKeyPair(kem, here.random(32), here)
        const suite = { kdf: 1, aead, info: hex('00ff') } as const
        const sender = await setupSender(
          await importPublicKey(kem, pair.publicKey, there),
          suite,
          there,
        )
        const opener = await setupRecipient(pair, { ...suite, enc: sender.enc }, here)
        const sealed = await sender.seal(hex('01'), hex('0203'))
        expect(await opener.open(hex('01'), sealed)).toEqual(hex('0203'))
        expect(await opener.export(hex('05'), 77)).toEqual(await sender.export(hex('05'), 77))
      }
    }
  })
})
