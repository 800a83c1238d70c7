/** A model sealed for a test, with the code that seals real ones. */
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { toHex } from '../../src/core/bytes/hex.ts'
import { fileSecret } from '../../src/core/weights/file-key.ts'
import { FLOE_HEADER_SIZE } from '../../src/core/weights/floe.ts'
import { sealFloe } from '../../src/core/weights/floe-seal.ts'
import { MANIFEST_SCHEMA, type Manifest } from '../../src/core/weights/manifest.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createSegmentCipher } from '../../src/drivers/weights/node.ts'
import { SEALED_SUFFIX } from '../../src/enclave/weights/open.ts'

const hasher = createCrypto()
const cipher = createSegmentCipher()

export async function digestOf(bytes: Uint8Array): Promise<string> {
  return `sha256:${toHex(await hasher.digest('SHA-256', bytes))}`
}

export interface SealOptions {
  readonly directory: string
  readonly dataKey: Uint8Array
  readonly model: string
  /** `kbs:///namespace/type/name?version=N`. */
  readonly key: string
  readonly segment?: number
}

/** Seals files into `directory`, each under the name that the enclave looks for. */
export async function sealModel(
  files: Readonly<Record<string, Uint8Array>>,
  { directory, dataKey, model, key, segment = 4096 }: SealOptions,
): Promise<Manifest> {
  const version = '1'
  const listed = []
  for (const [path, plaintext] of Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const secret = await fileSecret(dataKey, { model, version, path, segment }, { cipher, hasher })
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield plaintext
    }
    const parts: Uint8Array[] = []
    const random = (length: number) => Uint8Array.from(randomBytes(length))
    for await (const part of sealFloe(source(), { secret, cipher, random })) {
      parts.push(Uint8Array.from(part))
    }
    const sealed = Buffer.concat(parts)
    const place = join(directory, path + SEALED_SUFFIX)
    await mkdir(dirname(place), { recursive: true })
    await writeFile(place, sealed)
    listed.push({
      path,
      size: plaintext.length,
      sha256: await digestOf(plaintext),
      sealedSize: sealed.length,
      sealedSha256: await digestOf(sealed),
      floeHeaderSha256: await digestOf(sealed.subarray(0, FLOE_HEADER_SIZE)),
      segment,
      key,
    })
  }
  return { schema: MANIFEST_SCHEMA, model, version, files: listed }
}
