import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { concat } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { decodeRequest, encodeRequest, encodeResponse } from '../../src/core/sealing/bhttp.ts'
import {
  createRequestDecoder,
  createRequestEncoder,
  createResponseDecoder,
  createResponseEncoder,
} from '../../src/core/sealing/chunked-ohttp.ts'
import { setupRecipient } from '../../src/core/sealing/hpke.ts'
import { deriveKeyPair, importKeyPair, importPublicKey } from '../../src/core/sealing/kem.ts'
import {
  encodeKeyConfig,
  encodeKeyConfigs,
  parseKeyConfig,
  parseKeyConfigs,
} from '../../src/core/sealing/key-config.ts'
import {
  decapsulateRequest,
  decapsulateResponse,
  encapsulateRequest,
  encapsulateResponse,
} from '../../src/core/sealing/ohttp.ts'
import type { AeadId } from '../../src/core/sealing/suites.ts'
import { createSealingCrypto as createNode } from '../../src/drivers/sealing/node.ts'
import { createSealingCrypto as createWeb } from '../../src/drivers/sealing/web.ts'
import { hex, withFixedSender } from '../support/sealing.ts'
import { sharedDir } from '../support/shared.ts'

interface Vector {
  readonly keyId: number
  readonly aeadId: AeadId
  readonly skR: string
  readonly pkR: string
  readonly keyConfig: string
  readonly keyConfigList?: string
  readonly skE: string
  readonly enc: string
  readonly request: string
  readonly encapsulatedRequest: string
  readonly response: string
  readonly responseNonce: string
  readonly encapsulatedResponse: string
  readonly requestChunks: readonly Chunk[]
  readonly responseChunks: readonly Chunk[]
}
interface Chunk {
  readonly plaintext: string
  readonly aad: string
  readonly wire: string
}

const dir = sharedDir()
const blame = { code: 'ERR_ENVELOPE_MALFORMED', at: 'test' } as const

function load(file: string): unknown {
  return JSON.parse(readFileSync(join(dir ?? '', 'vectors/ohttp', file), 'utf8'))
}

describe.runIf(dir !== undefined).each([
  ['node', createNode()],
  ['web', createWeb()],
] as const)('OHTTP vectors, %s', (_, crypto) => {
  async function ends(vector: Vector) {
    const fixed = {
      ...withFixedSender(crypto, { scalar: hex(vector.skE) }),
      random: () => hex(vector.responseNonce),
    }
    const keyPair = await importKeyPair(0x0020, hex(vector.skR), crypto)
    const suites = [{ kdf: 1, aead: vector.aeadId }] as const
    const publicKey = await importPublicKey(0x0020, keyPair.publicKey, fixed)
    const suite = { kem: 0x0020, ...suites[0] } as const
    const recipient = { keyId: vector.keyId, publicKey, suite }
    return { fixed, keys: [{ keyId: vector.keyId, keyPair, suites }], recipient }
  }

  it('rfc9458-appendix-a', async () => {
    const vector = load('rfc9458-appendix-a.json') as Vector
    const { fixed, keys, recipient } = await ends(vector)
    const config = parseKeyConfig(hex(vector.keyConfig), blame)
    expect(toHex(config.publicKey)).toBe(vector.pkR)
    expect(toHex(encodeKeyConfig(config))).toBe(vector.keyConfig)
    expect(parseKeyConfigs(hex(vector.keyConfigList ?? ''), blame)).toEqual([config])
    expect(toHex(encodeKeyConfigs([config]))).toBe(vector.keyConfigList)

    const sealed = await encapsulateRequest(recipient, hex(vector.request), fixed)
    expect(toHex(sealed.request)).toBe(vector.encapsulatedRequest)
    const opened = await decapsulateRequest(keys, sealed.request, crypto)
    expect(toHex(opened.bhttp)).toBe(vector.request)
    const response = await encapsulateResponse(opened.context, hex(vector.response), fixed)
    expect(toHex(response)).toBe(vector.encapsulatedResponse)
    const plaintext = await decapsulateResponse(sealed.context, response, crypto)
    expect(toHex(plaintext)).toBe(vector.response)
  })

  it('chunked-ohttp-08-appendix-a', async () => {
    const vector = load('chunked-ohttp-08-appendix-a.json') as Vector
    const { fixed, keys, recipient } = await ends(vector)
    expect([vector.requestChunks.length, vector.responseChunks.length]).toEqual([3, 3])

    const { encoder, head, context } = await createRequestEncoder(recipient, fixed)
    const wire: Uint8Array[] = [head]
    for (const chunk of vector.requestChunks) {
      const plaintext = hex(chunk.plaintext)
      const bytes = chunk.aad === '' ? await encoder.push(plaintext) : await encoder.end(plaintext)
      expect(toHex(bytes)).toBe(chunk.wire)
      wire.push(bytes)
    }
    expect(toHex(concat(...wire))).toBe(vector.encapsulatedRequest)

    const decoder = createRequestDecoder(keys, crypto)
    const opened = [...(await decoder.push(concat(...wire))), await decoder.end()]
    expect(toHex(concat(...opened))).toBe(vector.request)
    if (decoder.opened === undefined) throw new Error('not opened')

    const response = await createResponseEncoder(decoder.opened.context, fixed)
    const back: Uint8Array[] = [response.head]
    for (const { aad, plaintext } of vector.responseChunks) {
      const bytes = hex(plaintext)
      back.push(await (aad === '' ? response.encoder.push(bytes) : response.encoder.end(bytes)))
    }
    expect(toHex(concat(...back))).toBe(vector.encapsulatedResponse)
    const reader = createResponseDecoder(context, crypto)
    const plain = [...(await reader.push(concat(...back))), await reader.end()]
    expect(toHex(concat(...plain))).toBe(vector.response)
  })

  it('ohttp-js-interop', async () => {
    const { vectors } = load('ohttp-js-interop.json') as {
      vectors: { keyId: number; aeadId: AeadId; seed: string; encapsulatedRequest: string }[]
    }
    expect(vectors).toHaveLength(1)
    for (const { keyId, aeadId, seed, encapsulatedRequest } of vectors) {
      const keyPair = await deriveKeyPair(0x0020, hex(seed), crypto)
      const keys = [{ keyId, keyPair, suites: [{ kdf: 1, aead: aeadId }] as const }]
      const { bhttp } = await decapsulateRequest(keys, hex(encapsulatedRequest), crypto)
      const request = decodeRequest(bhttp)
      expect(request).toMatchObject({ method: 'POST', authority: 'ietf-wg-ohai.github.io' })
      expect(toHex(encodeRequest(request))).toBe(toHex(bhttp))
      // The other label opens nothing.
      const decoder = createRequestDecoder(keys, crypto)
      await expect(
        (async () => {
          await decoder.push(hex(encapsulatedRequest))
          await decoder.end()
        })(),
      ).rejects.toMatchObject({ name: 'VouchsafeError' })
    }
  })

  it('BHTTP of the vectors: truncated after control data', () => {
    const { request } = load('rfc9458-appendix-a.json') as Vector
    const decoded = decodeRequest(hex(request))
    expect(decoded).toEqual({
      method: 'GET',
      scheme: 'https',
      authority: 'example.com',
      path: '/',
      headers: [],
      body: new Uint8Array(0),
      trailers: [],
    })
    expect(toHex(encodeRequest(decoded))).toBe(`${request}000000`)
    const response = { status: 200, headers: [], body: new Uint8Array(0) }
    expect(toHex(encodeResponse(response))).toBe('0140c8000000')
  })
})

describe('OHTTP keys', () => {
  it('a key pair is never tried with another suite', async () => {
    const crypto = createNode()
    const keyPair = await importKeyPair(0x0020, new Uint8Array(32).fill(7), crypto)
    const publicKey = await importPublicKey(0x0020, keyPair.publicKey, crypto)
    const sealed = await encapsulateRequest(
      { keyId: 1, publicKey, suite: { kem: 0x0020, kdf: 1, aead: 2 } },
      Uint8Array.of(1),
      crypto,
    )
    let touched = false
    const watched = {
      ...keyPair,
      decapsulate: async (enc: Uint8Array) => {
        touched = true
        return keyPair.decapsulate(enc)
      },
    }
    const suites = [{ kdf: 1, aead: 1 }] as const
    const attempt = decapsulateRequest(
      [{ keyId: 1, keyPair: watched, suites }],
      sealed.request,
      crypto,
    )
    await expect(attempt).rejects.toMatchObject({
      code: 'ERR_ENVELOPE_KEY_UNKNOWN',
      at: 'ohttp.request.suite',
    })
    expect(touched).toBe(false)
    // The watch itself works.
    const setup = { kdf: 1, aead: 1, info: new Uint8Array(0), enc: sealed.context.enc } as const
    await setupRecipient(watched, setup, crypto)
    expect(touched).toBe(true)
  })
})
