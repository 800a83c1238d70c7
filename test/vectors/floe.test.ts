import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openFloe, openFloeFile, openFloeRange } from '../../src/core/weights/floe-open.ts'
import { sharedDir } from '../support/shared.ts'
import { chunksOf, cipher, collect, readFrom } from '../support/weights.ts'

const AT_LEAST = 17
const key = new Uint8Array(32)
const aad = new TextEncoder().encode('This is AAD')

const shared = sharedDir()
const dir = shared === undefined ? undefined : join(shared, 'vectors/floe')
const names =
  dir === undefined
    ? []
    : readdirSync(dir)
        .filter((file) => file.endsWith('_ct.txt'))
        .map((file) => file.slice(0, -'_ct.txt'.length))

function load(name: string): {
  plaintext: Uint8Array
  sealed: Uint8Array
  opening: Parameters<typeof openFloe>[1]
} {
  const hex = (kind: string) =>
    Uint8Array.from(
      Buffer.from(readFileSync(join(dir ?? '', `${name}_${kind}.txt`), 'latin1').trim(), 'hex'),
    )
  const sealed = hex('ct')
  const segment = new DataView(sealed.buffer).getUint32(2)
  // Only the rotation files use another mask, and the header does not say so.
  const rotationBits = name.includes('rotation') ? 2 : 20
  return {
    plaintext: hex('pt'),
    sealed,
    opening: { secret: { key, aad, segment, rotationBits }, cipher, sealedSize: sealed.length },
  }
}

describe('published FLOE vectors', () => {
  it('are all here, where the shared folder is', () => {
    expect(names.length).toBeGreaterThanOrEqual(shared === undefined ? 0 : AT_LEAST)
  })

  it.each(names)('%s opens whole, byte by byte and in one piece', async (name) => {
    const { plaintext, sealed, opening } = load(name)
    for (const size of [1, 7, sealed.length]) {
      const opened = await collect(openFloe(chunksOf(sealed, size), opening))
      expect(Buffer.from(opened).equals(plaintext)).toBe(true)
    }
  })

  it.each(names)('%s opens by range', async (name) => {
    const { plaintext, sealed, opening } = load(name)
    const file = openFloeFile(sealed.subarray(0, 74), opening)
    expect(file.size).toBe(plaintext.length)
    const step = Math.max(1, Math.floor(plaintext.length / 13))
    for (let offset = 0; offset <= plaintext.length; offset += step) {
      const length = Math.min(plaintext.length - offset, 2 * step + 1)
      const got = await collect(openFloeRange(file, { offset, length }, readFrom(sealed)))
      expect(Buffer.from(got).equals(plaintext.subarray(offset, offset + length))).toBe(true)
    }
  })

  it.each(names)('%s does not open with another key, data or rotation', async (name) => {
    const { sealed, opening } = load(name)
    const header = sealed.subarray(0, 74)
    const { secret } = opening
    const failed: unknown = expect.objectContaining({ code: 'ERR_WEIGHTS_OPEN_FAILED' })
    const other = { ...secret, key: Uint8Array.from(key, () => 1) }
    expect(() => openFloeFile(header, { ...opening, secret: other })).toThrow(failed)
    const data = { ...secret, aad: new Uint8Array(0) }
    expect(() => openFloeFile(header, { ...opening, secret: data })).toThrow(failed)
    if (name.includes('rotation')) {
      const mask = { ...opening, secret: { ...secret, rotationBits: 20 } }
      await expect(collect(openFloe(chunksOf(sealed, 99), mask))).rejects.toThrow(failed)
    }
  })
})
