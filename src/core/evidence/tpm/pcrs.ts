/** Values of PCRs, and the digest that a quote is over. @packageDocumentation */
import { concat, isZero } from '../../bytes/bytes.ts'
import type { Hasher } from '../../ports/crypto.ts'
import { type Bank, hashOf } from './algorithms.ts'
import type { PcrSelection } from './attest.ts'

/** Values by number, of banks by hash. */
export type PcrBanks = ReadonlyMap<Bank, ReadonlyMap<number, Uint8Array>>

/**
 * The digest of the selected values, in the order of the selection, by the hash of the signature.
 *
 * @returns `undefined` if a selected value is not there.
 * @see TCG TPM 2.0 Library, Part 3, 18.4 "TPM2_Quote"; Part 1, 17.6 "PCR selection"
 */
export async function pcrDigestOf(
  { selection, hash }: { readonly selection: readonly PcrSelection[]; readonly hash: Bank },
  banks: PcrBanks,
  crypto: Hasher,
): Promise<Uint8Array | undefined> {
  const values: Uint8Array[] = []
  for (const { bank, pcrs } of selection) {
    for (const pcr of pcrs) {
      const value = banks.get(bank)?.get(pcr)
      if (value === undefined) return undefined
      values.push(value)
    }
  }
  return crypto.digest(hashOf(hash), concat(...values))
}

/** The selected values alone: what lies beside them is not what was signed. */
export function selectedOf(selection: readonly PcrSelection[], banks: PcrBanks): PcrBanks {
  return new Map(
    selection.map(({ bank, pcrs }) => {
      const values = banks.get(bank)
      const kept = pcrs.flatMap((pcr) => {
        const value = values?.get(pcr)
        return value === undefined ? [] : [[pcr, value] as const]
      })
      return [bank, new Map(kept)]
    }),
  )
}

/** Whether something was extended since the last reset: registers start as all zeros or all ones. */
export function isMeasured(value: Uint8Array | undefined): boolean {
  return value !== undefined && !isZero(value) && value.some((byte) => byte !== 0xff)
}

/** For people: `sha256: 0, 1, 7`. */
export function describeSelection(selection: readonly PcrSelection[]): string {
  const banks = selection.map(({ bank, pcrs }) => `${bank}: ${pcrs.join(', ') || 'none'}`)
  return banks.join('; ') || 'none'
}
