/** Sealing: whole exchanges, and one chunk of a stream. @packageDocumentation */
import { createCipheriv, createSecretKey, randomBytes } from 'node:crypto'
import {
  bytesToHex,
  deriveResponseKeys,
  EXPORT_LABEL,
  EXPORT_LENGTH,
  encryptChunk,
  HPKE_REQUEST_INFO,
  hexToBytes,
  Identity,
  PROTOCOL,
  RESPONSE_NONCE_LENGTH,
} from 'ehbp'
import * as hpke from 'hpke'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { createResponseEncoder } from '../../../src/core/sealing/chunked-ohttp.ts'
import { setupRecipient, setupSender } from '../../../src/core/sealing/hpke.ts'
import { generateKeyPair, importPublicKey } from '../../../src/core/sealing/kem.ts'
import { chooseConfig, keyConfigOf } from '../../../src/core/sealing/key-config.ts'
import { openRequest } from '../../../src/core/sealing/open-request.ts'
import { ReplayCache } from '../../../src/core/sealing/replay-cache.ts'
import { importRecipient, sealRequest } from '../../../src/core/sealing/seal-request.ts'
import { createSealingCrypto } from '../../../src/drivers/sealing/node.ts'
import { compareRates, compareTimes, type Operation } from '../measure.ts'
import type { Bench } from '../row.ts'

const SIZE = 4096
const CHUNK = 256
const BODY = new Uint8Array(randomBytes(SIZE))
const crypto = createSealingCrypto()
const AES_256_GCM = { kdf: 1, aead: 2 } as const

/** Rows about sealing. */
export const SEALING: readonly Bench[] = [
  {
    id: 'seal-open-x25519',
    what: 'exchange of 4 KiB each way, X25519, AES-256-GCM, sealed and opened by both ends, against the ehbp client and a bare server on hpke',
    unit: '/s',
    goal: { of: 'ratio', sign: '>=', bound: 5 },
    run: async (effort) =>
      compareRates({ ours: await exchange(), theirs: await ehbpExchange() }, effort),
  },
  {
    id: 'seal-open-hybrid',
    what: 'HPKE seal and open of 4 KiB, MLKEM768-X25519, AES-256-GCM, against npm hpke with its native KEM',
    unit: '/s',
    goal: { of: 'ratio', sign: '>=', bound: 5 },
    run: async (effort) =>
      compareRates({ ours: await hybrid(), theirs: await hpkeHybrid() }, effort),
  },
  {
    id: 'chunk',
    what: 'one streamed chunk of 256 bytes, sealed and framed, against createCipheriv of the same bytes',
    unit: 'µs',
    goal: { of: 'ratio', sign: '<=', bound: 1.5 },
    run: async (effort) => compareTimes({ ours: await chunk(), theirs: rawChunk() }, effort),
  },
]

/** Binary HTTP, padding, replay check and all. */
async function exchange(): Promise<Operation> {
  const keyPair = await generateKeyPair(0x0020, crypto)
  const keys = [{ keyId: 7, keyPair, suites: [AES_256_GCM] }]
  const chosen = chooseConfig([keyConfigOf(7, 0x0020, keyPair.publicKey)])
  if (chosen === undefined) throw new Error('nothing chosen')
  const recipient = await importRecipient(chosen, crypto)
  const replay = new ReplayCache(crypto)
  return async () => {
    const now = new Date()
    const headers = [['content-type', 'application/octet-stream']] as const
    const request = { method: 'POST', path: '/v1/chat/completions', headers, body: BODY }
    const sealed = await sealRequest({ recipient, request, now, crypto, form: 'unary' })
    const { mediaType } = sealed
    const body = once(sealed.body)
    const opened = await openRequest({ keys, mediaType, body, replay, now, crypto, limit: 1 << 20 })
    const answer = opened.respond({ status: 200, headers, body: BODY })
    const response = await sealed.open(answer)
    let length = 0
    for await (const bytes of response.body) length += bytes.length
    if (length !== SIZE) throw new Error('not opened')
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** The peer's client as it is published; it has no server, so one with the least that one needs. */
async function ehbpExchange(): Promise<Operation> {
  const suite = new hpke.CipherSuite(
    hpke.KEM_DHKEM_X25519_HKDF_SHA256,
    hpke.KDF_HKDF_SHA256,
    hpke.AEAD_AES_256_GCM,
  )
  const pair = await suite.GenerateKeyPair()
  const publicKey = bytesToHex(await suite.SerializePublicKey(pair.publicKey))
  const sealer = await Identity.fromPublicKeyHex(publicKey)
  const info = utf8(HPKE_REQUEST_INFO)
  return async () => {
    const request = new Request('http://localhost/', { method: 'POST', body: BODY })
    const sealed = await sealer.encryptRequestWithContext(request)
    if (sealed.context === null) throw new Error('not sealed')
    const enc = hexToBytes(sealed.request.headers.get(PROTOCOL.ENCAPSULATED_KEY_HEADER) ?? '')
    const wire = new Uint8Array(await sealed.request.arrayBuffer())
    const context = await suite.SetupRecipient(pair.privateKey, enc, { info })
    await context.Open(wire.subarray(4))
    const nonce = new Uint8Array(randomBytes(RESPONSE_NONCE_LENGTH))
    const secret = await context.Export(utf8(EXPORT_LABEL), EXPORT_LENGTH)
    const keys = await deriveResponseKeys(secret, enc, nonce)
    const chunk = await encryptChunk(keys, 0, BODY)
    const framed = new Uint8Array(4 + chunk.length)
    new DataView(framed.buffer).setUint32(0, chunk.length)
    framed.set(chunk, 4)
    const headers = { [PROTOCOL.RESPONSE_NONCE_HEADER]: bytesToHex(nonce) }
    const answer = new Response(framed, { headers })
    const opened = await sealer.decryptResponseWithContext(answer, sealed.context)
    if ((await opened.arrayBuffer()).byteLength !== SIZE) throw new Error('not opened')
  }
}

async function hybrid(): Promise<Operation> {
  const keyPair = await generateKeyPair(0x647a, crypto)
  const publicKey = await importPublicKey(0x647a, keyPair.publicKey, crypto)
  const suite = { ...AES_256_GCM, info: utf8('bench') }
  const empty = new Uint8Array(0)
  return async () => {
    const sender = await setupSender(publicKey, suite, crypto)
    const sealed = await sender.seal(empty, BODY)
    const recipient = await setupRecipient(keyPair, { ...suite, enc: sender.enc }, crypto)
    if ((await recipient.open(empty, sealed)).length !== SIZE) throw new Error('not opened')
  }
}

async function hpkeHybrid(): Promise<Operation> {
  const { KEM_MLKEM768_X25519, KDF_HKDF_SHA256, AEAD_AES_256_GCM } = hpke
  const suite = new hpke.CipherSuite(KEM_MLKEM768_X25519, KDF_HKDF_SHA256, AEAD_AES_256_GCM)
  const pair = await suite.GenerateKeyPair()
  const info = utf8('bench')
  return async () => {
    const { encapsulatedSecret, ciphertext } = await suite.Seal(pair.publicKey, BODY, { info })
    const options = { info }
    const opened = await suite.Open(pair.privateKey, encapsulatedSecret, ciphertext, options)
    if (opened.length !== SIZE) throw new Error('not opened')
  }
}

async function chunk(): Promise<Operation> {
  const keyPair = await generateKeyPair(0x0020, crypto)
  const publicKey = await importPublicKey(0x0020, keyPair.publicKey, crypto)
  const context = await setupSender(publicKey, { ...AES_256_GCM, info: utf8('bench') }, crypto)
  const { encoder } = await createResponseEncoder(context, crypto)
  const plaintext = BODY.subarray(0, CHUNK)
  return (): unknown => encoder.push(plaintext)
}

/** The least that seals: a key object made before, the next nonce, ciphertext and tag. */
function rawChunk(): Operation {
  const key = createSecretKey(randomBytes(32))
  const nonce = new Uint8Array(12)
  const counter = new DataView(nonce.buffer)
  const plaintext = BODY.subarray(0, CHUNK)
  return () => {
    counter.setUint32(8, counter.getUint32(8) + 1)
    const cipher = createCipheriv('aes-256-gcm', key, nonce)
    const sealed = cipher.update(plaintext)
    cipher.final()
    return [sealed, cipher.getAuthTag()]
  }
}
