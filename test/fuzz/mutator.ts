/**
 * Makes inputs from inputs: bytes changed, put in, taken out, doubled, cut off, exchanged with those of
 * another input; integers set to what breaks bounds; and words that the parser at hand knows.
 *
 * @packageDocumentation
 */
import { type Dice, pick } from './random.ts'

/** No parser in the field needs more, and every one must refuse more in time. */
const MAX_SIZE = 64 * 1024
/** At and around the limits of one, two and four bytes, in either order. */
const NUMBERS: readonly Uint8Array[] = [
  ...[0, 1, 0x7f, 0x80, 0xff].map((byte) => Uint8Array.of(byte)),
  ...[0, 1, 0x7fff, 0x8000, 0xffff, 0x0100].flatMap((n) => ordered(n, 2)),
  ...[0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x01000000, 0x10000].flatMap((n) => ordered(n, 4)),
]

type Mutation = (input: Uint8Array, other: Uint8Array, dice: Dice) => Uint8Array

const MUTATIONS: readonly Mutation[] = [
  (input, _, dice) => withBytes(input, dice(input.length), Uint8Array.of(dice(256))),
  (input, _, dice) => {
    const at = dice(input.length)
    return withBytes(input, at, Uint8Array.of((input[at] ?? 0) ^ (1 << dice(8))))
  },
  (input, _, dice) => withBytes(input, dice(input.length), pick(NUMBERS, dice)),
  (input, _, dice) => insert(input, dice(input.length + 1), pick(NUMBERS, dice)),
  (input, _, dice) => {
    const from = dice(input.length)
    return remove(input, from, from + 1 + dice(Math.min(32, input.length - from)))
  },
  (input, _, dice) => input.slice(0, dice(input.length)),
  (input, _, dice) => {
    const from = dice(input.length)
    const part = input.slice(from, from + 1 + dice(64))
    return insert(input, dice(input.length + 1), part)
  },
  (input, other, dice) => {
    const from = dice(other.length)
    return withBytes(input, dice(input.length), other.slice(from, from + 1 + dice(128)))
  },
  (input, other, dice) => {
    const cut = dice(input.length)
    return insert(input.slice(0, cut), cut, other.slice(dice(other.length)))
  },
]

/**
 * One to four mutations of an input.
 *
 * @param other - Another input of the same target.
 * @param words - What the target's inputs are made of.
 */
export function mutate(
  input: Uint8Array,
  { other, words, dice }: Readonly<{ other: Uint8Array; words: readonly Uint8Array[]; dice: Dice }>,
): Uint8Array {
  let changed = input.length === 0 ? Uint8Array.of(dice(256)) : input
  for (let left = 1 + dice(4); left > 0; left--) {
    if (changed.length === 0) break
    const useWord = words.length > 0 && dice(6) === 0
    changed = useWord
      ? insert(changed, dice(changed.length + 1), pick(words, dice))
      : pick(MUTATIONS, dice)(changed, other.length === 0 ? input : other, dice)
  }
  return changed.length > MAX_SIZE ? changed.slice(0, MAX_SIZE) : changed
}

function ordered(value: number, size: 2 | 4): readonly Uint8Array[] {
  const big = Uint8Array.from({ length: size }, (_, i) => (value >>> (8 * (size - 1 - i))) & 0xff)
  return [big, big.toReversed()]
}

function withBytes(input: Uint8Array, at: number, bytes: Uint8Array): Uint8Array {
  const changed = input.slice()
  changed.set(bytes.subarray(0, input.length - at), at)
  return changed
}

function insert(input: Uint8Array, at: number, bytes: Uint8Array): Uint8Array {
  const longer = new Uint8Array(input.length + bytes.length)
  longer.set(input.subarray(0, at))
  longer.set(bytes, at)
  longer.set(input.subarray(at), at + bytes.length)
  return longer
}

function remove(input: Uint8Array, from: number, to: number): Uint8Array {
  const shorter = new Uint8Array(input.length - (to - from))
  shorter.set(input.subarray(0, from))
  shorter.set(input.subarray(to), from)
  return shorter
}
