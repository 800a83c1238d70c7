/** The TPM's side of a credential, in software, with none of the code that makes one. */
import {
  constants,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  type KeyObject,
  privateDecrypt,
} from 'node:crypto'
import { expect } from 'vitest'

/** What differs between kinds of endorsement keys. */
export interface Side {
  readonly hash: 'sha256' | 'sha384'
  readonly keyBytes: 16 | 32
  readonly seed: (encrypted: Uint8Array) => Uint8Array
}

/** Of an RSA key: the seed is encrypted. */
export const rsaSide = (key: KeyObject, hash: Side['hash']): Side => ({
  hash,
  keyBytes: hash === 'sha256' ? 16 : 32,
  seed: (encrypted) => {
    const padding = constants.RSA_PKCS1_OAEP_PADDING
    const oaep = { oaepHash: hash, oaepLabel: Buffer.from('IDENTITY\0') }
    return new Uint8Array(privateDecrypt({ key, padding, ...oaep }, encrypted))
  },
})

/** The bytes of a TPM2B. */
export const sizedAt = (bytes: Uint8Array, at: number): Uint8Array => {
  const size = (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0)
  return bytes.subarray(at + 2, at + 2 + size)
}

/** TPM2_ActivateCredential, as a TPM does it: nothing of the maker's code is used. */
export function activate(
  {
    idObject,
    encryptedSecret,
  }: { readonly idObject: Uint8Array; readonly encryptedSecret: Uint8Array },
  name: Uint8Array,
  { hash, keyBytes, seed: seedOf }: Side,
): Uint8Array {
  const seed = seedOf(encryptedSecret)
  const kdf = (label: string, context: Uint8Array, bits: number): Buffer => {
    const [one, length] = [Buffer.from([0, 0, 0, 1]), Buffer.alloc(4)]
    length.writeUInt32BE(bits)
    const parts = [one, Buffer.from(`${label}\0`), Buffer.from(context), length]
    return createHmac(hash, seed)
      .update(Buffer.concat(parts))
      .digest()
      .subarray(0, bits / 8)
  }
  const hmac = sizedAt(idObject, 0)
  const identity = idObject.subarray(2 + hmac.length)
  const digestBits = hash === 'sha256' ? 256 : 384
  const integrity = kdf('INTEGRITY', new Uint8Array(), digestBits)
  const mac = createHmac(hash, integrity).update(identity).update(name).digest()
  expect(Buffer.from(hmac).equals(mac), 'integrity').toBe(true)
  const storage = kdf('STORAGE', name, keyBytes * 8)
  const decipher = createDecipheriv(`aes-${keyBytes * 8}-cfb`, storage, Buffer.alloc(16))
  const plain = Buffer.concat([decipher.update(identity), decipher.final()])
  return Uint8Array.from(sizedAt(plain, 0))
}

/** Of a key on a curve: the seed is agreed on. */
export const eccSide = (
  key: KeyObject,
  { curve, hash }: { readonly curve: 'prime256v1' | 'secp384r1'; readonly hash: Side['hash'] },
): Side => ({
  hash,
  keyBytes: hash === 'sha256' ? 16 : 32,
  seed: (encrypted) => {
    const { x = '', d = '' } = key.export({ format: 'jwk' })
    const theirX = sizedAt(encrypted, 0)
    const theirY = sizedAt(encrypted, 2 + theirX.length)
    const ecdh = createECDH(curve)
    ecdh.setPrivateKey(Buffer.from(d, 'base64url'))
    const z = ecdh.computeSecret(Buffer.from([4, ...theirX, ...theirY]))
    const parts = [Buffer.from([0, 0, 0, 1]), z, Buffer.from('IDENTITY\0'), theirX]
    return createHash(hash)
      .update(Buffer.concat([...parts, Buffer.from(x, 'base64url')]))
      .digest()
  },
})
