/**
 * Whether the process that made a directory is still there. A name with a process id would not tell:
 * ids are reused, and differ between containers that share the memory. A socket does: the kernel
 * refuses connections to it from the moment its owner is gone, however it ended.
 *
 * @packageDocumentation
 */
import { once } from 'node:events'
import { lstat, readdir, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VouchsafeError } from '../../core/errors.ts'

/** In the directory that it speaks for. */
const SOCKET = 'alive'
/** Between making a directory and its socket lies far less than this. */
const UNGUARDED_MS = 60_000
/** A socket that is bound and does not listen yet refuses as well, for microseconds. */
const SECOND_LOOK_MS = 50

/**
 * Says that this process lives, for as long as it does or until the result is called.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` if no socket can be made there, such as under
 *   a path over 100 bytes.
 */
export async function sayAlive(directory: string): Promise<() => void> {
  const server = createServer((socket) => socket.destroy())
  try {
    // The listener fails by an event, and `once` rejects with it.
    server.listen(join(directory, SOCKET))
    await once(server, 'listening')
  } catch (cause) {
    const blame = { code: 'ERR_CONFIG_INVALID', at: 'weights.store' } as const
    const next = 'use a directory with a shorter path'
    throw new VouchsafeError(blame, `no socket can be made in ${directory}; ${next}`, { cause })
  }
  server.unref()
  return () => {
    server.close()
  }
}

/**
 * Removes directories of ours whose process is gone: what a kill left in memory would otherwise stay
 * there until the machine ends.
 *
 * @param prefix - Of their names; only real directories that belong to this user are looked at.
 * @returns How many were removed.
 */
export async function removeAbandoned(parent: string, prefix: string): Promise<number> {
  let removed = 0
  for (const name of await readdir(parent)) {
    const path = join(parent, name)
    if (!name.startsWith(prefix) || !(await isOurs(path)) || !(await isAbandoned(path))) continue
    await rm(path, { recursive: true, force: true })
    removed += 1
  }
  return removed
}

/** Anybody may put things into `/dev/shm`, links to elsewhere among them. */
async function isOurs(path: string): Promise<boolean> {
  try {
    const about = await lstat(path)
    return about.isDirectory() && about.uid === process.geteuid?.()
  } catch {
    // Gone since it was listed: its owner removed it.
    return false
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const first = await knock(path)
  if (first === 'absent') return Date.now() - (await lstat(path)).mtimeMs > UNGUARDED_MS
  if (first !== 'refused') return false
  await sleep(SECOND_LOOK_MS)
  return (await knock(path)) === 'refused'
}

type Answer = 'alive' | 'refused' | 'absent'

/** Anything but a plain refusal counts as life: weights of a living process must never go. */
async function knock(path: string): Promise<Answer> {
  const socket = connect(join(path, SOCKET))
  try {
    await once(socket, 'connect')
    return 'alive'
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ECONNREFUSED') return 'refused'
    return code === 'ENOENT' ? 'absent' : 'alive'
  } finally {
    socket.destroy()
  }
}
