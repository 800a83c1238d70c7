/**
 * Numbers, buffers and hashes as structures of TPMs and event logs have them.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { type DerBytes } from '../drivers/attester/simulated/minting/der.ts'

/** TPM_ALG_ID of hashes. */
export const ALG = { sha1: 0x04, sha256: 0x0b, sha384: 0x0c, sha512: 0x0d } as const

/** Little endian, of so many bytes. */
export function le(value: number, size: number): Uint8Array {
  return u64(BigInt(value)).reverse().subarray(0, size)
}

/** TPM2B: a length of two bytes before the content. */
export function sized(content: Uint8Array = new Uint8Array(0)): Uint8Array {
  return join([u16(content.length), content])
}

/** Big endian. */
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff)
}

/** Big endian. */
export function u32(value: number): Uint8Array {
  return u64(BigInt(value)).subarray(4)
}

/** Big endian. */
export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value)
  return bytes
}

/** One after the other. */
export function join(parts: readonly Uint8Array[]): DerBytes {
  return Uint8Array.from(Buffer.concat(parts))
}

/** With padding. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

/** A digest by the name that node:crypto has for it. */
export function sha(algorithm: string, data: Uint8Array): Buffer {
  return createHash(algorithm).update(data).digest()
}
