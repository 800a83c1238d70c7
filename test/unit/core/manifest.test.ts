import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { fileSecret } from '../../../src/core/weights/file-key.ts'
import { floeSealedSize } from '../../../src/core/weights/floe.ts'
import {
  decodeManifest,
  encodeManifest,
  type ManifestFile,
  manifestDigest,
} from '../../../src/core/weights/manifest.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { cipher } from '../../support/weights.ts'

const digest = `sha256:${'0f'.repeat(32)}`
const file = (path: string, change: Partial<ManifestFile> = {}): ManifestFile => ({
  path,
  size: 5000,
  sha256: digest,
  sealedSize: floeSealedSize(5000, 4096),
  sealedSha256: digest,
  floeHeaderSha256: digest,
  segment: 4096,
  key: 'kbs:///acme/models/qwen?version=1',
  ...change,
})
const manifest = (...files: ManifestFile[]) =>
  ({ schema: 'vouchsafe.weights/1', model: 'acme/qwen', version: '1.0', files }) as const
const malformed = (at: string): unknown =>
  expect.objectContaining({ code: 'ERR_MANIFEST_MALFORMED', at })

describe('manifests', () => {
  it('go both ways, files sorted', async () => {
    const bytes = encodeManifest(manifest(file('b/c.bin'), file('a.json')))
    const decoded = decodeManifest(bytes)
    expect(decoded.files.map(({ path }) => path)).toEqual(['a.json', 'b/c.bin'])
    expect(encodeManifest(decoded)).toEqual(bytes)
    expect(await manifestDigest(bytes, createCrypto())).toMatch(/^sha256:[0-9a-f]{64}$/)
  })

  it('take both sealed sizes of a file that fills its segments', () => {
    const size = 4064 * 2
    for (const sealedSize of [74 + 4096 * 2, 74 + 4096 * 2 + 32]) {
      expect(() => encodeManifest(manifest(file('a', { size, sealedSize })))).not.toThrow()
    }
  })

  it.each<[string, Partial<ManifestFile>]>([
    ['path', { path: '../a' }],
    ['path', { path: '/etc/passwd' }],
    ['path', { path: 'a//b' }],
    ['path', { path: 'a/./b' }],
    ['path', { path: 'a\\b' }],
    ['path', { path: 'a\u0000' }],
    ['path', { path: 'c:d' }],
    ['path', { path: '' }],
    ['path', { path: '\ud800' }],
    ['sealedSize', { size: 4999 }],
    ['sealedSize', { sealedSize: 74 }],
    ['size', { size: -1 }],
    ['segment', { segment: 64 }],
    ['segment', { segment: 2 ** 27 }],
    ['sha256', { sha256: digest.toUpperCase() }],
    ['sealedSha256', { sealedSha256: digest.slice(7) }],
    ['key', { key: 'kbs:///acme/models/qwen' }],
    ['key', { key: 'https://acme/models/qwen?version=1' }],
  ])('refuse a file with another %s: %j', (at, change) => {
    expect(() => encodeManifest(manifest(file('a', change)))).toThrow(
      malformed(`manifest.files.0.${at}`),
    )
  })

  it('refuse files over files', () => {
    const twice = (a: string, b: string) => () => encodeManifest(manifest(file(a), file(b)))
    for (const [a, b] of [
      ['a', 'a'],
      ['A', 'a'],
      ['a', 'a/b'],
      ['A/b', 'a'],
      ['\u00e9', 'e\u0301'],
    ] as const) {
      expect(twice(a, b), `${a} ${b}`).toThrow(
        expect.objectContaining({ code: 'ERR_MANIFEST_MALFORMED' }),
      )
    }
  })

  it('accepted-is-canonical', () => {
    const text = new TextDecoder().decode(encodeManifest(manifest(file('a'))))
    expect(() => decodeManifest(utf8(text))).not.toThrow()
    for (const bent of [
      `${text}\n`,
      text.replace('"size":5000', '"size":5e3'),
      text.replace('"model"', '"more":1,"model"'),
      text.replace('{"files"', '{"files":[],"files"'),
      text.replace('vouchsafe.weights/1', 'vouchsafe.weights/2'),
      text.replace('"version":"1.0"', '"version":""'),
      '{}',
      '[]',
      '',
    ]) {
      expect(() => decodeManifest(utf8(bent)), bent.slice(0, 60)).toThrow(
        expect.objectContaining({ code: 'ERR_MANIFEST_MALFORMED' }),
      )
    }
    expect(() => decodeManifest(Uint8Array.of(0xff))).toThrow(malformed('manifest'))
  })
})

describe('file keys', () => {
  it('differ by model, version and path, and by nothing else', async () => {
    const tools = { cipher, hasher: createCrypto() }
    const name = { model: 'm', version: '1', path: 'p', segment: 4096 }
    const key = new Uint8Array(32).fill(1)
    const secrets = await Promise.all(
      [name, { ...name, model: 'n' }, { ...name, version: '2' }, { ...name, path: 'q' }].map(
        async (one) => fileSecret(key, one, tools),
      ),
    )
    expect(new Set(secrets.map((one) => String(one.key))).size).toBe(4)
    expect(new Set(secrets.map((one) => String(one.aad))).size).toBe(4)
    expect(await fileSecret(key, name, tools)).toEqual(secrets[0])
    await expect(fileSecret(new Uint8Array(16), name, tools)).rejects.toThrow(RangeError)
  })
})
