/** One writer at a time for a file that is read, changed and written again. @packageDocumentation */
import { realpath, rm, writeFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { usage } from './usage.ts'

const WAIT_MS = 5_000
const POLL_MS = 50

/**
 * Does `work` while this process alone holds `FILE.lock`. Waits five seconds for another: it is held
 * for reading and writing alone, never while somebody is asked.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if it stays taken, or cannot be made; what `work`
 *   throws.
 */
export async function withLock<T>(file: string, flag: string, work: () => Promise<T>): Promise<T> {
  // By whatever name: two links to one file share its lock.
  const lock = `${await realpath(file).catch(() => file)}.lock`
  const until = performance.now() + WAIT_MS
  while (!(await take(lock, flag))) {
    if (performance.now() > until) {
      const who = `another vouchsafe is writing ${file}, or was stopped while it did`
      throw usage(flag, `${lock} is there: ${who}; if none runs, remove it and try again`)
    }
    await setTimeout(POLL_MS)
  }
  try {
    return await work()
  } finally {
    await rm(lock, { force: true })
  }
}

async function take(lock: string, flag: string): Promise<boolean> {
  try {
    await writeFile(lock, `${process.pid}\n`, { flag: 'wx' })
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw usage(flag, `cannot write ${lock}; the directory must be one you may write to`, cause)
  }
}
