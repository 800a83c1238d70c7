/**
 * From the data key of a model to the key of each of its files. One key version in the broker serves
 * a whole model, so that an enclave needs one release for it; each file still has a key of its own,
 * bound to model, version and path.
 *
 * @packageDocumentation
 */
import { concat, utf8 } from '../bytes/bytes.ts'
import { canonicalBytes } from '../encoding/canonical-json.ts'
import type { Hasher } from '../ports/crypto.ts'
import type { SegmentCipher } from '../ports/weights.ts'
import type { FloeSecret } from './floe.ts'

/** Length of a data key. */
export const DATA_KEY_SIZE = 32

/** Which file of which model, and how it is cut. */
export interface WeightsFileName {
  readonly model: string
  readonly version: string
  readonly path: string
  readonly segment: number
}

/**
 * Key and associated data of one file. AAD = SHA-256 of JCS `{model, path, version}`; the file key is
 * HKDF-Expand-SHA-384 of the data key over `vouchsafe weights file key v1` ‖ 00 ‖ AAD. The data key
 * is uniformly random, so there is nothing to extract.
 *
 * @param dataKey - 32 bytes, as released.
 * @throws RangeError for a data key of another length.
 */
export async function fileSecret(
  dataKey: Uint8Array,
  { model, version, path, segment }: WeightsFileName,
  { cipher, hasher }: { readonly cipher: SegmentCipher; readonly hasher: Hasher },
): Promise<FloeSecret> {
  if (dataKey.length !== DATA_KEY_SIZE) throw new RangeError('a data key has 32 bytes')
  const aad = await hasher.digest('SHA-256', canonicalBytes({ model, version, path }))
  const info = concat(utf8('vouchsafe weights file key v1'), Uint8Array.of(0), aad)
  return { key: cipher.expand(dataKey, info, DATA_KEY_SIZE), aad, segment }
}
