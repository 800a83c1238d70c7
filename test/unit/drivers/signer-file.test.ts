import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { calculateJwkThumbprint } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  openMac,
  openNoteSigner,
  openSigner,
  readSecretFile,
} from '../../../src/drivers/signer/file.ts'

const crypto = createCrypto()
const refused = expect.objectContaining({ code: 'ERR_STATE_INVALID', at: 'secret.file' }) as Error
const data = utf8('what is signed')
let directory: string
let path: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-'))
  path = join(directory, 'key')
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

describe.each(['Ed25519', 'ES256', 'ML-DSA-44'] as const)('openSigner %s', (alg) => {
  it('makes a key once, 0600, and signs with it ever after', async () => {
    const first = openSigner(path, alg)
    const second = openSigner(path, alg)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(directory)).toEqual(['key'])
    expect(second.jwk).toEqual(first.jwk)
    expect(await crypto.verify(second.key, await first.sign(data), data)).toBe(true)
    expect(await crypto.verify(second.key, await first.sign(data), utf8('else'))).toBe(false)
  })

  it('publishes no private member, under its thumbprint', async () => {
    const { jwk, kid } = openSigner(path, alg)
    expect(jwk).not.toHaveProperty('d')
    expect(jwk).not.toHaveProperty('priv')
    expect(jwk).toMatchObject({ kid, alg, use: 'sig' })
    expect(await calculateJwkThumbprint({ ...jwk })).toBe(kid)
  })
})

describe('secret files', () => {
  it.each([0o640, 0o604, 0o622, 0o644, 0o660, 0o601])('are refused with mode %o', (mode) => {
    openSigner(path, 'ES256')
    chmodSync(path, mode)
    expect(() => openSigner(path, 'ES256')).toThrow(refused)
    expect(() => readSecretFile(path)).toThrow(refused)
  })

  it('are refused when they hold another key, or none', () => {
    openSigner(path, 'Ed25519')
    expect(() => openSigner(path, 'ES256')).toThrow(refused)
    writeFileSync(path, 'canary-77 no key', { mode: 0o600 })
    try {
      openSigner(path, 'ES256')
      expect.unreachable()
    } catch (err) {
      expect(err).toEqual(refused)
      expect(JSON.stringify(err) + String(err)).not.toContain('canary-77')
    }
  })

  it('are refused when they are not files, or are not there', () => {
    mkdirSync(path, { mode: 0o700 })
    expect(() => readSecretFile(path)).toThrow(refused)
    expect(() => readSecretFile(join(directory, 'absent'))).toThrow(refused)
    expect(() => openSigner(join(directory, 'absent', 'key'), 'ES256')).toThrow(refused)
  })
})

describe('openNoteSigner', () => {
  it('keeps the key of one log', async () => {
    const first = await openNoteSigner(path, 'example.org/log', crypto)
    const second = await openNoteSigner(path, 'example.org/log', crypto)
    expect(second.key).toEqual(first.key)
    expect(await crypto.verify(second.key.key, await first.signer.sign(data), data)).toBe(true)
    await expect(openNoteSigner(path, 'example.org/other', crypto)).rejects.toMatchObject({
      code: 'ERR_LOG_KEY_INVALID',
    })
  })

  it('refuses an id that is not the key’s', async () => {
    await openNoteSigner(path, 'example.org/log', crypto)
    const text = readSecretFile(path)
    const flipped = text.replace(/\+([0-9a-f]{8})\+/, '+00000000+')
    writeFileSync(path, flipped, { mode: 0o600 })
    await expect(openNoteSigner(path, 'example.org/log', crypto)).rejects.toMatchObject({
      code: 'ERR_LOG_KEY_INVALID',
    })
  })
})

describe('openMac', () => {
  it('is the same after a restart, and another elsewhere', () => {
    const tag = openMac(path)(data)
    expect(tag).toHaveLength(32)
    expect(openMac(path)(data)).toEqual(tag)
    expect(openMac(join(directory, 'other'))(data)).not.toEqual(tag)
  })

  it('refuses a short secret', () => {
    writeFileSync(path, 'abcd\n', { mode: 0o600 })
    expect(() => openMac(path)).toThrow(refused)
  })
})
