import fc from 'fast-check'
import { VouchsafeError } from '../../src/core/errors.ts'

/** One edit of a byte string: overwrite, insert, delete, or cut. */
type Edit = readonly [kind: 'set' | 'insert' | 'delete' | 'cut', at: number, byte: number]

const edit: fc.Arbitrary<Edit> = fc.tuple(
  fc.constantFrom(
    'set' as const,
    'set' as const,
    'insert' as const,
    'delete' as const,
    'cut' as const,
  ),
  fc.nat(),
  fc.nat(255),
)

/** Mutations of good bytes, one to four edits each. */
export function mutationsOf(good: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) =>
    edits.reduce<Uint8Array>((bytes, [kind, where, byte]) => {
      const at = bytes.length === 0 ? 0 : where % bytes.length
      if (kind === 'insert')
        return Uint8Array.from([...bytes.slice(0, at), byte, ...bytes.slice(at)])
      if (kind === 'delete') return Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(at + 1)])
      if (kind === 'cut') return bytes.slice(0, at)
      return bytes.length === 0 ? bytes : bytes.with(at, byte)
    }, good),
  )
}

/** Every prefix but the whole. */
export function* prefixesOf(good: Uint8Array): Generator<Uint8Array> {
  for (let length = 0; length < good.length; length++) yield good.slice(0, length)
}

/** What `run` gives, or the typed error it ends in; any other error is let through. */
export async function orTyped<T>(run: () => T | Promise<T>): Promise<T | VouchsafeError> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof VouchsafeError) return error
    throw error
  }
}
