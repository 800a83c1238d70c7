/** Sealing files on disk. Nothing holds more than a few segments at a time. @packageDocumentation */
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { toHex } from '../../core/bytes/hex.ts'
import { VouchsafeError } from '../../core/errors.ts'
import type { RunningDigest, StartDigest } from '../../core/ports/weights.ts'
import { FLOE_HEADER_SIZE } from '../../core/weights/floe.ts'
import { type FloeSealing, sealFloe } from '../../core/weights/floe-seal.ts'
import type { ManifestFile } from '../../core/weights/manifest.ts'

/** What one file needs to be sealed. */
export interface FileSealing extends FloeSealing {
  readonly source: string
  /** Must not exist; its folder is made. */
  readonly target: string
  readonly startDigest: StartDigest
  /** Told how many more bytes of plaintext were read. */
  readonly onProgress: (bytes: number) => void
}

/** What the manifest says about content. */
export type SealedContent = Pick<
  ManifestFile,
  'size' | 'sha256' | 'sealedSize' | 'sealedSha256' | 'floeHeaderSha256'
>

const READ_SIZE = 256 * 1024
const WRITE_SIZE = 1 << 20

/**
 * Seals one file into another, durably.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` at `weights.file` if one cannot be read or the
 *   other not be written; what there is of the target is left to the caller to remove.
 */
export async function sealFile(sealing: FileSealing): Promise<SealedContent> {
  const { source, target } = sealing
  try {
    await mkdir(dirname(target), { recursive: true })
    await using input = await open(source, 'r')
    await using output = await open(target, 'wx', 0o644)
    return await sealInto(sealing, input, output)
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    const blame = { code: 'ERR_STATE_INVALID', at: 'weights.file' } as const
    throw new VouchsafeError(blame, `cannot seal ${source} into ${target}`, { cause })
  }
}

async function sealInto(
  sealing: FileSealing,
  input: FileHandle,
  output: FileHandle,
): Promise<SealedContent> {
  const plain = counted(sealing.startDigest())
  const sealed = counted(sealing.startDigest())
  const header = sealing.startDigest()
  const source = readAll(input, (bytes) => {
    plain.update(bytes)
    sealing.onProgress(bytes.length)
  })
  let pending: Uint8Array[] = []
  let waiting = 0
  for await (const piece of sealFloe(source, sealing)) {
    if (sealed.size() < FLOE_HEADER_SIZE) header.update(piece)
    sealed.update(piece)
    pending.push(piece)
    waiting += piece.length
    if (waiting < WRITE_SIZE) continue
    await writeAll(output, pending)
    pending = []
    waiting = 0
  }
  await writeAll(output, pending)
  await output.sync()
  return {
    size: plain.size(),
    sha256: plain.digest(),
    sealedSize: sealed.size(),
    sealedSha256: sealed.digest(),
    floeHeaderSha256: digestText(header),
  }
}

/** Through one buffer: each chunk is valid until the next. */
async function* readAll(
  input: FileHandle,
  onChunk: (bytes: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const buffer = new Uint8Array(READ_SIZE)
  for (;;) {
    const { bytesRead } = await input.read(buffer, 0, buffer.length, null)
    if (bytesRead === 0) return
    const chunk = buffer.subarray(0, bytesRead)
    onChunk(chunk)
    yield chunk
  }
}

/** `writev` may write less than it was given, on a full disk or a signal. */
async function writeAll(output: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
  if (pieces.length === 0) return
  const total = pieces.reduce((sum, { length }) => sum + length, 0)
  const { bytesWritten } = await output.writev([...pieces])
  if (bytesWritten !== total) await output.writeFile(Buffer.concat(pieces).subarray(bytesWritten))
}

function counted(digest: RunningDigest): {
  update(bytes: Uint8Array): void
  size(): number
  digest(): string
} {
  let size = 0
  return {
    update: (bytes) => {
      size += bytes.length
      digest.update(bytes)
    },
    size: () => size,
    digest: () => digestText(digest),
  }
}

function digestText(digest: RunningDigest): string {
  return `sha256:${toHex(digest.digest())}`
}
