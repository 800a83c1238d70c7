/**
 * The event log of a TD, as the kernel shows the memory that firmware wrote it to.
 *
 * @packageDocumentation
 * @see ACPI 6.5 §5.2.34 (CCEL); Linux, Documentation/ABI/testing/sysfs-firmware-acpi
 */
import { type FileHandle, open } from 'node:fs/promises'
import { VouchsafeError } from '../../../core/errors.ts'
import { withoutPadding } from '../../../core/evidence/common/event-log/parse.ts'

/** Where Linux shows it, to root. */
export const CCEL_PATH = '/sys/firmware/acpi/tables/data/CCEL'

/** What firmware reserves is 64 to 256 KiB; more is not read. */
const MAX_MEMORY = 1024 * 1024
/** Of the log itself: with a quote and in base64 it must fit a request. The field's have up to 50. */
const MAX_LOG = 96 * 1024

/**
 * The log without its padding.
 *
 * @returns `undefined` where there is none, where it may not be read, and where it is one that no
 *   verifier would take: evidence without a log is better than none, and policies may ask for it.
 */
export async function readCcel(path: string): Promise<Uint8Array | undefined> {
  const memory = await readBounded(path)
  if (memory === undefined) return undefined
  try {
    const log = withoutPadding(memory)
    return log.length <= MAX_LOG ? log : undefined
  } catch (cause) {
    // Not a log that anyone could replay; the quote is good all the same.
    if (cause instanceof VouchsafeError) return undefined
    throw cause
  }
}

/** Reads until the end, since sizes in sysfs promise nothing. */
async function readBounded(path: string): Promise<Uint8Array | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      return await readAll(file)
    } finally {
      await file.close()
    }
  } catch {
    // Absent, not ours to read, or a directory: whichever it is, there is no log to send.
    return undefined
  }
}

async function readAll(file: FileHandle): Promise<Uint8Array | undefined> {
  const buffer = new Uint8Array(MAX_MEMORY + 1)
  let length = 0
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null)
    if (bytesRead === 0) return buffer.subarray(0, length)
    length += bytesRead
  }
  return undefined
}
