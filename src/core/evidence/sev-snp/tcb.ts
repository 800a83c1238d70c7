/**
 * SEV-SNP TCB versions: eight bytes whose meaning depends on the product.
 *
 * @packageDocumentation
 * @see AMD 56860 (SEV-SNP ABI), "TCB_VERSION"; AMD 57230 (VCEK), certificate extensions
 */
/** The names of AMD's key service; Genoa is also Bergamo and Siena. */
export type Product = 'Milan' | 'Genoa' | 'Turin'

export const PRODUCTS = ['Milan', 'Genoa', 'Turin'] as const satisfies readonly Product[]

/** Security version numbers, 0 to 255 each. `fmc` exists from Turin on and is 0 before. */
export interface SnpTcb {
  readonly fmc: number
  readonly bootloader: number
  readonly tee: number
  readonly snp: number
  readonly microcode: number
}

const TCB_PARTS = ['fmc', 'bootloader', 'tee', 'snp', 'microcode'] as const

/** Which byte each part is. */
const BEFORE_TURIN = { bootloader: 0, tee: 1, snp: 6, microcode: 7 } as const
const FROM_TURIN = { fmc: 0, bootloader: 1, tee: 2, snp: 3, microcode: 7 } as const

/** The last arc of the certificate extension that holds each byte, reserved ones included. */
const SPL_BEFORE_TURIN = [1, 2, 4, 5, 6, 7, 3, 8] as const
const SPL_FROM_TURIN = [9, 1, 2, 3, 5, 6, 7, 8] as const

/** Last arcs of 1.3.6.1.4.1.3704.1.3, in the order of the bytes of a TCB version. */
export function splArcs(product: Product): readonly number[] {
  return product === 'Turin' ? SPL_FROM_TURIN : SPL_BEFORE_TURIN
}

/** @param raw - Eight bytes as they stand in the report. Reserved ones are not looked at. */
export function decodeTcb(raw: Uint8Array, product: Product): SnpTcb {
  const place: Partial<Record<keyof SnpTcb, number>> =
    product === 'Turin' ? FROM_TURIN : BEFORE_TURIN
  const part = (name: keyof SnpTcb): number => {
    const at = place[name]
    return at === undefined ? 0 : (raw[at] ?? 0)
  }
  return {
    fmc: part('fmc'),
    bootloader: part('bootloader'),
    tee: part('tee'),
    snp: part('snp'),
    microcode: part('microcode'),
  }
}

/** Component-wise on purpose: comparing the packed value would let microcode hide a bootloader. */
export function isAtLeast(tcb: SnpTcb, minimum: SnpTcb): boolean {
  return TCB_PARTS.every((part) => tcb[part] >= minimum[part])
}

/** For example `fmc 0, bootloader 4, tee 0, snp 24, microcode 219`. */
export function formatTcb(tcb: SnpTcb): string {
  return TCB_PARTS.map((part) => `${part} ${tcb[part]}`).join(', ')
}
