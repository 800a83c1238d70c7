/** Reads a set of EAT claims by label. @packageDocumentation */
import { type CborValue, decodeCbor } from '../../encoding/cbor.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { HashAlgorithm } from '../../ports/crypto.ts'

/** A claim: its label in CBOR, and its name in the specification, for messages. */
export type Claim = readonly [label: number, name: string]

/** Sizes of the hashes in use, in bytes. */
export const HASH_SIZES: readonly number[] = [32, 48, 64]

/** Named Information Hash Algorithm Registry (RFC 6920 §9.4). */
const HASHES = {
  'sha-256': 'SHA-256',
  'sha-384': 'SHA-384',
  'sha-512': 'SHA-512',
} as const satisfies Record<string, HashAlgorithm>

export type HashName = keyof typeof HASHES
export const HASH_NAMES = Object.keys(HASHES) as readonly HashName[]

/** The algorithm with this name. */
export function hashOf(name: HashName): HashAlgorithm {
  return HASHES[name]
}

const MAX_TEXT = 1024
const MAX_BYTES = 4096

/**
 * One map with integer and text labels. Remembers which were asked for, so that nothing in it can be
 * passed over in silence: see {@link unknown}.
 */
export class ClaimReader {
  readonly #map: ReadonlyMap<number | bigint | string, CborValue>
  readonly #blame: Blame
  readonly #asked = new Set<number>()

  /** @throws {@link VouchsafeError} with the code of `blame` if the value is no map. */
  constructor(value: CborValue | undefined, blame: Blame) {
    if (!(value instanceof Map)) throw new VouchsafeError(blame, 'not a map')
    this.#map = value as ReadonlyMap<number | bigint | string, CborValue>
    this.#blame = blame
  }

  /** A reader of the map that these bytes encode. */
  static of(payload: Uint8Array, blame: Blame): ClaimReader {
    return new ClaimReader(decodeCbor(payload, [], blame), blame)
  }

  /** Whatever is there; `undefined` if nothing is. */
  any([label]: Claim): CborValue | undefined {
    this.#asked.add(label)
    return this.#map.get(label)
  }

  /** A copy. */
  bytes(claim: Claim, sizes?: readonly number[]): Uint8Array<ArrayBuffer> {
    return this.optionalBytes(claim, sizes) ?? this.fail(claim, 'absent')
  }

  optionalBytes(claim: Claim, sizes?: readonly number[]): Uint8Array<ArrayBuffer> | undefined {
    const value = this.any(claim)
    return value === undefined ? undefined : this.asBytes(claim, value, sizes)
  }

  text(claim: Claim): string {
    return this.optionalText(claim) ?? this.fail(claim, 'absent')
  }

  optionalText(claim: Claim): string | undefined {
    const value = this.any(claim)
    if (value === undefined) return undefined
    if (typeof value !== 'string' || value === '') return this.fail(claim, 'not a text')
    return value.length > MAX_TEXT ? this.fail(claim, 'too long') : value
  }

  /** @throws {@link VouchsafeError} `ERR_EVIDENCE_UNSUPPORTED` for another text than a known hash. */
  hash(claim: Claim): HashName {
    const name = this.text(claim)
    const known = HASH_NAMES.find((candidate) => candidate === name)
    if (known === undefined) return this.unsupported(claim, `hash algorithm ${show(name)}`)
    return known
  }

  /** An integer of 0 to 65535. */
  uint16(claim: Claim): number {
    const value = this.any(claim)
    const ok = typeof value === 'number' && value >= 0 && value <= 0xffff
    return ok ? value : this.fail(claim, 'absent or not a number of two bytes')
  }

  list(claim: Claim, most: number): readonly CborValue[] {
    const value = this.any(claim)
    if (!Array.isArray(value)) return this.fail(claim, 'absent or not a list')
    const items = value as readonly CborValue[]
    if (items.length < 1 || items.length > most) return this.fail(claim, `${items.length} items`)
    return items
  }

  /** A copy of one value that should be a byte string of one of these sizes, or of 1 to 4096. */
  asBytes(claim: Claim, value: CborValue, sizes?: readonly number[]): Uint8Array<ArrayBuffer> {
    if (!(value instanceof Uint8Array)) return this.fail(claim, 'not bytes')
    const ok =
      sizes === undefined
        ? value.length >= 1 && value.length <= MAX_BYTES
        : sizes.includes(value.length)
    return ok ? Uint8Array.from(value) : this.fail(claim, `${value.length} bytes`)
  }

  /** Labels that nothing asked for, in the order of the map. */
  unknown(): readonly string[] {
    return [...this.#map.keys()]
      .filter((label) => typeof label !== 'number' || !this.#asked.has(label))
      .map((label) => show(String(label)))
  }

  fail([, name]: Claim, detail: string): never {
    throw new VouchsafeError({ ...this.#blame, at: `${this.#blame.at}.${name}` }, detail)
  }

  unsupported([, name]: Claim, detail: string): never {
    const at = `${this.#blame.at}.${name}`
    throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, `${detail} is not supported`)
  }
}

/** Strangers' text for a message: short, and nothing that moves a cursor. */
export function show(text: string): string {
  const printable = text.replaceAll(/[^\x20-\x7e]/g, '?')
  return printable.length > 64 ? `${printable.slice(0, 63)}…` : printable
}
