/** Randomness that a seed gives back: a finding must be found again. @packageDocumentation */

/** Whole numbers from 0 to below `bound`. */
export type Dice = (bound: number) => number

/** Mulberry32 over a seed of 32 bits: small and fast, and good enough to choose mutations by. */
export function createDice(seed: number): Dice {
  let state = seed >>> 0
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound)
  }
}

/** One of a list, which must not be empty. */
export function pick<T>(list: readonly T[], dice: Dice): T {
  const item = list[dice(list.length)]
  if (item === undefined) throw new RangeError('nothing to pick from')
  return item
}
