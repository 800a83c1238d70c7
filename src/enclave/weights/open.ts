/**
 * Opens the sealed files of a model into memory. Every file is whole and has the digest that the
 * manifest gives it, or the opening fails, and its caller removes what there is.
 *
 * @packageDocumentation
 */
import { createReadStream } from 'node:fs'
import { mkdir, open, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { toHex } from '../../core/bytes/hex.ts'
import { type ErrorCode, VouchsafeError } from '../../core/errors.ts'
import type { Hasher } from '../../core/ports/crypto.ts'
import type { SegmentCipher, StartDigest } from '../../core/ports/weights.ts'
import { fileSecret } from '../../core/weights/file-key.ts'
import { FLOE_HEADER_SIZE } from '../../core/weights/floe.ts'
import { openFloe } from '../../core/weights/floe-open.ts'
import type { Manifest, ManifestFile } from '../../core/weights/manifest.ts'

/** What sealed files are called, beside the path in the manifest; `vouchsafe seal` writes them so. */
export const SEALED_SUFFIX = '.floe'

export interface WeightsOpening {
  readonly manifest: Manifest
  /** Directory of the sealed files. */
  readonly sealed: string
  /** Where the plaintext goes. */
  readonly target: string
  /** 32-byte data keys by key URI with version, as the manifest names them. */
  readonly dataKeys: ReadonlyMap<string, Uint8Array>
  readonly cipher: SegmentCipher
  readonly startDigest: StartDigest
  readonly hasher: Hasher
  /** Aborted when the boot is given up; its reason is then thrown. */
  readonly signal?: AbortSignal
}

/** What was opened. */
export interface OpenedWeights {
  readonly files: number
  /** Of plaintext. */
  readonly bytes: number
}

/** Key versions that a model needs, each once. */
export function keysOf({ files }: Manifest): readonly string[] {
  return [...new Set(files.map(({ key }) => key))]
}

/**
 * Opens all files.
 *
 * @throws {@link VouchsafeError} `ERR_WEIGHTS_OPEN_FAILED`, `ERR_WEIGHTS_TRUNCATED` or
 *   `ERR_WEIGHTS_MALFORMED` for sealed bytes that are not what was sealed, `ERR_MANIFEST_MISMATCH`
 *   for a size or digest that is not the manifest's, `ERR_STATE_INVALID` for a file that cannot be
 *   read or written.
 */
export async function openWeights(opening: WeightsOpening): Promise<OpenedWeights> {
  const { manifest } = opening
  let bytes = 0
  for (const file of manifest.files) {
    await openFile(opening, file)
    bytes += file.size
  }
  return { files: manifest.files.length, bytes }
}

async function openFile(opening: WeightsOpening, file: ManifestFile): Promise<void> {
  const { manifest, sealed, target, dataKeys, cipher, hasher } = opening
  const path = join(sealed, file.path + SEALED_SUFFIX)
  await assertSealed(path, file, hasher)
  const dataKey = dataKeys.get(file.key)
  if (dataKey === undefined) throw mismatch('key', file, `${file.key} was not released`)
  const { model, version } = manifest
  const name = { model, version, path: file.path, segment: file.segment }
  const secret = await fileSecret(dataKey, name, { cipher, hasher })
  try {
    const source = createReadStream(path, { highWaterMark: file.segment })
    const plaintext = openFloe(source, { secret, cipher, sealedSize: file.sealedSize })
    await writeChecked(plaintext, file, opening)
  } catch (cause) {
    if (cause instanceof VouchsafeError || cause === opening.signal?.reason) throw cause
    const blame = { code: 'ERR_STATE_INVALID', at: `weights.store.${file.path}` } as const
    const next = `needs ${file.size} bytes of free memory there`
    throw new VouchsafeError(blame, `cannot write to ${target}: ${next}`, { cause })
  } finally {
    secret.key.fill(0)
  }
}

/** Cheap checks first, so that a wrong file is named as such and not as a failure to decrypt. */
async function assertSealed(path: string, file: ManifestFile, hasher: Hasher): Promise<void> {
  const blame = { code: 'ERR_STATE_INVALID', at: `weights.sealed.${file.path}` } as const
  const header = new Uint8Array(FLOE_HEADER_SIZE)
  let size: number
  try {
    size = (await stat(path)).size
    const handle = await open(path, 'r')
    try {
      await handle.read(header, 0, header.length, 0)
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw new VouchsafeError(blame, `cannot read ${path}`, { cause })
  }
  if (size < file.sealedSize) throw truncated(file, size)
  if (size !== file.sealedSize) throw mismatch('sealedSize', file, `${path} has ${size} bytes`)
  const digest = `sha256:${toHex(await hasher.digest('SHA-256', header))}`
  if (digest !== file.floeHeaderSha256) throw mismatch('floeHeaderSha256', file, digest)
}

async function writeChecked(
  plaintext: AsyncIterable<Uint8Array>,
  file: ManifestFile,
  { target, startDigest, signal }: WeightsOpening,
): Promise<void> {
  const path = join(target, file.path)
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  // `wx`: the directory was made by us a moment ago, so a file in the way is not ours.
  const output = await open(path, 'wx', 0o600)
  const digest = startDigest()
  try {
    for await (const slice of plaintext) {
      signal?.throwIfAborted()
      digest.update(slice)
      await output.writeFile(slice)
    }
    await output.chmod(0o400)
  } finally {
    await output.close()
  }
  const actual = `sha256:${toHex(digest.digest())}`
  if (actual !== file.sha256) throw mismatch('sha256', file, actual)
}

function mismatch(member: string, file: ManifestFile, detail: string): VouchsafeError {
  return failure('ERR_MANIFEST_MISMATCH', `manifest.${file.path}.${member}`, detail)
}

function truncated(file: ManifestFile, size: number): VouchsafeError {
  const detail = `${size} of ${file.sealedSize} bytes`
  return failure('ERR_WEIGHTS_TRUNCATED', `weights.sealed.${file.path}`, detail)
}

function failure(code: ErrorCode, at: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code, at }, detail)
}
