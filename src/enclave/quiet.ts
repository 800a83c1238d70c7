/**
 * The quiet end of an enclave: what is being answered is answered, and the receipts for it are
 * fetched. They are in memory only, so a receipt that nobody came for in time is a bill that nobody
 * can write.
 *
 * @packageDocumentation
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Receipts } from './receipts.ts'

interface QuietOptions {
  /** How long answers may take to end. */
  readonly answersMs: number
  /** How long receipts are kept for whoever fetches them, once the last answer has ended. */
  readonly receiptsMs: number
}

const LOOK_MS = 25

/** Resolves when nothing is left to wait for, or the time is up. */
export async function untilQuiet(
  receipts: Pick<Receipts, 'open'>,
  { answersMs, receiptsMs }: QuietOptions,
): Promise<void> {
  const start = performance.now()
  let ended: number | undefined
  for (;;) {
    const { unsigned, unfetched } = receipts.open()
    const now = performance.now()
    ended = unsigned === 0 ? (ended ?? now) : undefined
    const over = ended === undefined ? now - start >= answersMs : now - ended >= receiptsMs
    if (over || unsigned + unfetched === 0) return
    await sleep(LOOK_MS)
  }
}
