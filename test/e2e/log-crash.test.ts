import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { auditLog, type SeenCheckpoint } from '../../src/core/audit/verify-log.ts'
import { toBase64 } from '../../src/core/bytes/base64.ts'
import { encodeLeaf } from '../../src/core/tlog/leaf.ts'
import { hashLeaf, hashNode, rootAt, type Tree } from '../../src/core/tlog/merkle.ts'
import { parseVkey } from '../../src/core/tlog/note-key.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import type { LogStatus } from '../../src/log/service.ts'
import { leafOf } from '../support/log.ts'
import { openDurableLog } from '../support/log-durable.ts'
import type { LineKind } from '../support/log-process.ts'
import { runCli } from '../support/serve.ts'

const CRASHES = 16
const PROCESS = join(import.meta.dirname, '../support/log-process.ts')
const crypto = createCrypto()
const root = mkdtempSync(join(tmpdir(), 'vouchsafe-crash-'))
afterAll(() => {
  rmSync(root, { recursive: true })
})

interface Run {
  readonly key: string
  /** Acknowledged: index and number of the leaf. */
  readonly leaves: readonly (readonly [index: number, number: number])[]
  readonly checkpoints: readonly SeenCheckpoint[]
}

/** Starts the log, lets it work for a while, kills it, and says what it had said. */
async function runAndKill(first: number, afterMs: number): Promise<Run> {
  const child = spawn(process.execPath, [PROCESS, root, String(first)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ready = new Promise<void>((resolve) =>
    child.stdout.once('data', () => {
      resolve()
    }),
  )
  await Promise.race([ready, once(child, 'close')])
  await new Promise((resolve) => setTimeout(resolve, afterMs))
  const killed = child.kill('SIGKILL')
  await once(child, 'close')
  expect(killed, stderr).toBe(true)
  expect(stdout).not.toContain('fault')
  // The last line may have been cut by the kill.
  const lines = stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split(' '))
  const of = (kind: LineKind): string[][] => lines.filter(([word]) => word === kind)
  return {
    key: of('key')[0]?.[1] ?? '',
    leaves: of('leaf').map(([, index, number]) => [Number(index), Number(number)] as const),
    checkpoints: of('checkpoint').map(([, size, hash = '']) => ({
      size: Number(size),
      root: hash,
    })),
  }
}

/** Reads the whole log from its files alone. */
async function readAll(
  key: string,
  seen: SeenCheckpoint | undefined,
): Promise<{ readonly entries: readonly Uint8Array[]; readonly served: SeenCheckpoint }> {
  const vkey = await parseVkey(key, crypto)
  const entries: Uint8Array[] = []
  const { checkpoint } = await auditLog({
    source: {
      read: async (path) => {
        const file = join(root, 'log', path)
        return existsSync(file) ? new Uint8Array(readFileSync(file)) : undefined
      },
    },
    log: { origin: vkey.name, keys: [vkey] },
    crypto,
    seen,
    onEntry: (_, entry) => {
      entries.push(entry)
    },
  })
  return { entries, served: { size: checkpoint.size, root: toBase64(checkpoint.root) } }
}

it('kill -9 at random moments: nothing acknowledged is lost, and no checkpoint is taken back', async () => {
  const acknowledged = new Map<number, number>()
  let checkpoints: SeenCheckpoint[] = []
  let key = ''
  let served: SeenCheckpoint | undefined
  for (let crash = 0; crash < CRASHES; crash++) {
    // From before the first batch to well past the first full tiles.
    const run = await runAndKill(crash * 1_000_000, Math.floor(Math.random() * 300))
    if (key !== '' && run.key !== '') expect(run.key).toBe(key)
    key ||= run.key
    for (const [index, number] of run.leaves) {
      expect(acknowledged.has(index), `index ${index} given twice`).toBe(false)
      acknowledged.set(index, number)
    }
    checkpoints = [...checkpoints, ...run.checkpoints]
    // Whatever the moment was, the files as they lie are a log, and contain what was served before.
    served = (await readAll(key, served)).served
  }

  const last = await runAndKill(CRASHES * 1_000_000, 300)
  for (const [index, number] of last.leaves) acknowledged.set(index, number)
  const { size, next } = await finish()
  expect(size).toBe(next)

  const { entries } = await readAll(key, served)
  for (const [index, number] of acknowledged) {
    expect(entries[index], `leaf ${index}`).toEqual(encodeLeaf(leafOf(number)))
  }
  // Every checkpoint that was ever signed, in the file or not, is a prefix of the tree of today.
  const tree = createTree(entries)
  for (const { size, root: hash } of checkpoints) {
    expect(toBase64(await rootAt(tree, size)), `checkpoint ${size}`).toBe(hash)
  }
  expect(acknowledged.size).toBeGreaterThan(1_000)
  // A busy machine signs few before each kill; there must be enough to have been taken back.
  expect(checkpoints.length).toBeGreaterThan(CRASHES / 2)

  const { code, stdout } = await runCli([
    'audit',
    'verify',
    join(root, 'log'),
    '--key',
    key,
    '--json',
  ])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ size: entries.length })
}, 120_000)

/** Starts once more and closes properly, so that everything acknowledged gets integrated. */
async function finish(): Promise<LogStatus> {
  const { log, store } = await openDurableLog(root, (err) => {
    throw err
  })
  await log.close()
  store.close()
  return log.status()
}

/** Complete subtrees are hashed once: there are many checkpoints to compare. */
function createTree(entries: readonly Uint8Array[]): Tree {
  const known = new Map<string, Promise<Uint8Array>>()
  const hash = async (level: number, index: number): Promise<Uint8Array> => {
    if (level === 0) return hashLeaf(crypto, entries[index] ?? new Uint8Array())
    const [left, right] = [await node(level - 1, 2 * index), await node(level - 1, 2 * index + 1)]
    return hashNode(crypto, left, right)
  }
  const node = async (level: number, index: number): Promise<Uint8Array> => {
    const id = `${level}/${index}`
    const made = known.get(id) ?? hash(level, index)
    known.set(id, made)
    return made
  }
  return { hasher: crypto, node }
}
