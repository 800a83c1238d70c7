/** Data keys that their owner keeps. @packageDocumentation */
import { fromHex, toHex } from '../core/bytes/hex.ts'
import type { Random } from '../core/ports/crypto.ts'
import { DATA_KEY_SIZE } from '../core/weights/file-key.ts'
import { openSecretFile, readSecretFile } from '../drivers/signer/file.ts'
import { usage } from './usage.ts'

/**
 * The 32-byte key in a file of 64 hexadecimal digits, made with mode 0600 if there is none.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` for a file that others may read,
 *   `ERR_USAGE_INVALID` for other content.
 */
export function openKeyFile(path: string, random: Random): Uint8Array<ArrayBuffer> {
  return decode(openSecretFile(path, () => `${toHex(random(DATA_KEY_SIZE))}\n`))
}

/** {@link openKeyFile} for a file that must be there. */
export function readKeyFile(path: string): Uint8Array<ArrayBuffer> {
  return decode(readSecretFile(path))
}

function decode(text: string): Uint8Array<ArrayBuffer> {
  const hex = text.trimEnd()
  // The content is a key, or was meant to be one: it is in no message.
  if (!/^[0-9a-f]{64}$/.test(hex)) throw usage('key-file', 'want 64 lower-case hexadecimal digits')
  return fromHex(hex, { code: 'ERR_USAGE_INVALID', at: 'cli.key-file' })
}
