import { compactDecrypt, FlattenedEncrypt, importJWK } from 'jose'
import { describe, expect, it } from 'vitest'
import { generateReleaseKey, unwrapKey, wrapKey } from '../../../src/core/keys/jwe.ts'
import {
  recipientFromHex,
  recipientOf,
  recipientThumbprint,
} from '../../../src/core/keys/recipient.ts'
import { keyUri, keyVersionUri, parseKeyUri } from '../../../src/core/keys/uri.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { GENERATOR } from '../../support/release.ts'

const crypto = createCrypto()
const blame = { code: 'ERR_REQUEST_INVALID', at: 'key' } as const
const kid = 'kbs:///a/b/c?version=1'
const material = new Uint8Array(32).fill(7)
const failed: unknown = expect.objectContaining({ code: 'ERR_KEY_UNWRAP_FAILED', at: 'jwe' })

describe('key URIs', () => {
  it('go both ways', () => {
    const id = { namespace: 'acme', type: 'models', name: 'qwen-2.5_1' }
    expect(parseKeyUri(keyUri(id), blame)).toEqual({ ...id, version: undefined })
    const versioned = { ...id, version: 12 }
    expect(parseKeyUri(keyVersionUri(versioned), blame)).toEqual(versioned)
  })
  it.each([
    'kbs:///a/b',
    'kbs:///a/b/c/d',
    'kbs://host/a/b/c',
    'kbs:///a/b/.c',
    'kbs:///a/../c',
    'kbs:///a/b/c?version=0',
    'kbs:///a/b/c?version=01',
    'kbs:///a/b/c?version=1&x=2',
    'kbs:///a/b/c ',
    'kbs:///a/b/c\n',
    'KBS:///a/b/c',
    `kbs:///a/b/${'c'.repeat(65)}`,
    '',
  ])('refuse %j', (text) => {
    expect(() => parseKeyUri(text, blame)).toThrow(expect.objectContaining(blame))
  })
})

describe('recipients', () => {
  const keyset = { vouchsafe: { release_key: { algo: 'p256', public_key: GENERATOR } } }

  it('are read from a keyset, with its digest', async () => {
    const { recipient, digest } = await recipientOf({ ...keyset, later: [1] }, crypto)
    expect(recipient).toMatchObject({ x: 'axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY' })
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect((await recipientOf(keyset, crypto)).digest).not.toBe(digest)
    expect(await recipientThumbprint(recipient, crypto)).toMatch(/^[A-Za-z0-9_-]{43}$/)
  })

  it.each<[string, unknown]>([
    ['keyset.vouchsafe.release_key', null],
    ['keyset.vouchsafe.release_key', {}],
    ['keyset.vouchsafe.release_key', { vouchsafe: { release_key: { algo: 'x25519' } } }],
    [
      'keyset.vouchsafe.release_key.public_key',
      { vouchsafe: { release_key: { algo: 'p256', public_key: '02'.repeat(33) } } },
    ],
    [
      'keyset.vouchsafe.release_key.public_key',
      { vouchsafe: { release_key: { algo: 'p256', public_key: `zz${GENERATOR.slice(2)}` } } },
    ],
    ['keyset', { ...keyset, fraction: 0.5 }],
  ])('are refused at %s', async (at, value) => {
    await expect(recipientOf(value, crypto)).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_KEYSET_MALFORMED', at }),
    )
  })

  it('are refused off the curve', async () => {
    const bent = recipientFromHex(`${GENERATOR.slice(0, -1)}4`, blame)
    await expect(wrapKey(material, { kid, recipient: bent })).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_KEYSET_MALFORMED', at: 'recipient' }),
    )
  })
})

describe('JWE', () => {
  it('takes a key to its recipient, and is an ordinary compact JWE', async () => {
    const { recipient, privateKey, publicKeyHex } = await generateReleaseKey()
    expect(recipientFromHex(publicKeyHex, blame)).toEqual(recipient)
    const jwe = await wrapKey(material, { kid, recipient })
    expect(await unwrapKey(jwe, { kid, privateKey })).toEqual(material)
    const compact = [jwe.protected, jwe.encrypted_key, jwe.iv, jwe.ciphertext, jwe.tag].join('.')
    const { protectedHeader, plaintext } = await compactDecrypt(compact, privateKey)
    expect(protectedHeader).toMatchObject({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid })
    expect(Uint8Array.from(plaintext)).toEqual(material)
  })

  it('opens for nobody else, under no other name, and in no other shape', async () => {
    const { recipient, privateKey } = await generateReleaseKey()
    const other = await generateReleaseKey()
    const jwe = await wrapKey(material, { kid, recipient })
    const attempts: [unknown, Parameters<typeof unwrapKey>[1]][] = [
      [jwe, { kid, privateKey: other.privateKey }],
      [jwe, { kid: 'kbs:///a/b/c?version=2', privateKey }],
      [
        { ...jwe, aad: 'AAAA' },
        { kid, privateKey },
      ],
      [
        { ...jwe, unprotected: {} },
        { kid, privateKey },
      ],
      [null, { kid, privateKey }],
      ['text', { kid, privateKey }],
      [{}, { kid, privateKey }],
    ]
    for (const name of Object.keys(jwe) as (keyof typeof jwe)[]) {
      const bent = (jwe[name].startsWith('A') ? 'B' : 'A') + jwe[name].slice(1)
      attempts.push([
        { ...jwe, [name]: bent },
        { kid, privateKey },
      ])
    }
    for (const [value, how] of attempts) {
      await expect(unwrapKey(value, how)).rejects.toThrow(failed)
    }
  })

  it('refuses another algorithm, even to the right key', async () => {
    const { recipient, privateKey } = await generateReleaseKey()
    const key = await importJWK({ ...recipient }, 'ECDH-ES+A128KW')
    const weak = await new FlattenedEncrypt(material)
      .setProtectedHeader({ alg: 'ECDH-ES+A128KW', enc: 'A128GCM', kid })
      .encrypt(key)
    await expect(unwrapKey(weak, { kid, privateKey })).rejects.toThrow(failed)
  })
})
