/**
 * Where key material comes from: made here, or imported, wrapped to a key that this process made at
 * its start and never wrote down. Material in the clear is in no request and in no answer.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import { generateReleaseKey, unwrapKey } from '../core/keys/jwe.ts'
import type { Recipient } from '../core/keys/recipient.ts'
import { type KeyId, keyUri } from '../core/keys/uri.ts'
import type { Random } from '../core/ports/crypto.ts'

/** A data key, and the most that is accepted as an opaque secret. */
const DATA_KEY_SIZE = 32
const MAX_SIZE = 64 * 1024

/** Gives a new version its material. */
export interface Material {
  /** Operators wrap what they import to this key. Another one after every restart. */
  readonly importKey: Recipient
  /**
   * Imported material, or 32 random bytes without one.
   *
   * @param jwe - Its `kid` is the key's URI, without version.
   * @throws {@link VouchsafeError} `ERR_KEY_UNWRAP_FAILED` if it was not wrapped to `importKey` under
   *   this name; `ERR_REQUEST_INVALID` for an empty secret, or one over 64 KiB.
   */
  take(key: KeyId, jwe: unknown): Promise<Uint8Array<ArrayBuffer>>
}

/** Makes the import key. */
export async function createMaterial(random: Random): Promise<Material> {
  const { recipient, privateKey } = await generateReleaseKey()
  return {
    importKey: recipient,
    take: async (key, jwe) => {
      if (jwe === undefined) return random(DATA_KEY_SIZE)
      const material = await unwrapKey(jwe, { kid: keyUri(key), privateKey })
      if (material.length > 0 && material.length <= MAX_SIZE) return material
      const blame = { code: 'ERR_REQUEST_INVALID', at: 'body.material' } as const
      throw new VouchsafeError(blame, `want 1 to ${MAX_SIZE} bytes`)
    },
  }
}
