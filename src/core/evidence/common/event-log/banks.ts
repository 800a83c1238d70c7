/**
 * The digest algorithms of event logs, one "bank" each, by the names that TPM tools print.
 *
 * @packageDocumentation
 * @see TCG Algorithm Registry, table 3 "TPM_ALG_ID"
 */
import type { HashAlgorithm } from '../../../ports/crypto.ts'

interface BankHead {
  /** TPM_ALG_ID. */
  readonly id: number
  /** Of a digest, in bytes. */
  readonly size: number
  /**
   * What to ask a hasher for; `undefined` where nothing is believed or nothing can compute it. SHA-1
   * stays so: whoever finds two boot loaders with one digest runs the other one.
   */
  readonly hash: HashAlgorithm | undefined
}

const BANKS = {
  sha1: { id: 0x0004, size: 20, hash: undefined },
  sha256: { id: 0x000b, size: 32, hash: 'SHA-256' },
  sha384: { id: 0x000c, size: 48, hash: 'SHA-384' },
  sha512: { id: 0x000d, size: 64, hash: 'SHA-512' },
  sm3_256: { id: 0x0012, size: 32, hash: undefined },
} as const satisfies Readonly<Record<string, BankHead>>

export type Bank = keyof typeof BANKS

const NAMES = Object.keys(BANKS) as readonly Bank[]

/** The bank of a TPM_ALG_ID; `undefined` for an algorithm that nobody here knows. */
export function bankOfId(id: number): Bank | undefined {
  return NAMES.find((name) => BANKS[name].id === id)
}

/** Bytes of a digest. */
export function digestSize(bank: Bank): number {
  return BANKS[bank].size
}

/** The hash that extends the bank's registers, if it is one to believe. */
export function hashOf(bank: Bank): HashAlgorithm | undefined {
  return BANKS[bank].hash
}
