/** Names of the bits of PLATFORM_INFO and POLICY. @packageDocumentation @see AMD 56860 (SEV-SNP ABI) */

/** By bit. A bit without a name is one that AMD had not documented when this was written. */
const PLATFORM_BITS: readonly (string | undefined)[] = [
  'SMT_EN',
  'TSME_EN',
  'ECC_EN',
  'RAPL_DIS',
  'CIPHERTEXT_HIDING_DRAM_EN',
  'ALIAS_CHECK_COMPLETE',
  undefined,
  'TIO_EN',
]

/** Every name that PLATFORM_INFO has bits for. */
export const PLATFORM_NAMES: readonly string[] = PLATFORM_BITS.filter((name) => name !== undefined)

/** Names of the bits that are set; `bit 6` for one without a name. */
export function platformFlags(platformInfo: bigint): readonly string[] {
  return bitsOf(platformInfo).map((bit) => PLATFORM_BITS[bit] ?? `bit ${bit}`)
}

/** Numbers of the bits that are set, the lowest first. */
export function bitsOf(value: bigint): readonly number[] {
  const bits: number[] = []
  for (let bit = 0; value >> BigInt(bit) !== 0n; bit++) {
    if (((value >> BigInt(bit)) & 1n) === 1n) bits.push(bit)
  }
  return bits
}
