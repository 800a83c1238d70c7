/** Reading what a command was pointed at by a flag or argument. @packageDocumentation */
import * as files from '../drivers/files/read.ts'

/** Which flag or argument names the file, and how many bytes are read of it. */
export interface Bound {
  readonly flag: string
  readonly most: number
}

/**
 * {@link files.readWithin} of a file that a flag names.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` as it does.
 */
export async function readWithin(file: string, bound: Bound): Promise<Uint8Array<ArrayBuffer>> {
  return files.readWithin(file, ofFlag(bound))
}

/**
 * {@link files.collectWithin} of what is not from a file.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` as it does.
 */
export async function collectWithin(
  source: AsyncIterable<unknown>,
  name: string,
  bound: Bound,
): Promise<Uint8Array<ArrayBuffer>> {
  return files.collectWithin(source, name, ofFlag(bound))
}

function ofFlag({ flag, most }: Bound): files.ReadBound {
  const blame = { code: 'ERR_USAGE_INVALID', at: `cli.${flag}` } as const
  return { blame, most, want: 'an existing file, or - for stdin' }
}
