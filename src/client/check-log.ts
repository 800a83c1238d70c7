/**
 * The client's questions to the log: is the keyset in it, has it only ever grown, and is what it
 * shows now made of what it showed before? A log that keeps two histories can show each victim its
 * own, but never the same client first the one and then the other.
 *
 * @packageDocumentation
 */
import { type Check, checkOf } from '../core/appraisal/check.ts'
import { type LogSource, treeOfSource } from '../core/audit/source.ts'
import { utf8 } from '../core/bytes/bytes.ts'
import { toHex } from '../core/bytes/hex.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { CryptoProvider, Hasher } from '../core/ports/crypto.ts'
import type { Checkpoint } from '../core/tlog/checkpoint.ts'
import { decodeLeaf } from '../core/tlog/leaf.ts'
import { consistencyProof } from '../core/tlog/merkle.ts'
import { requireConsistency } from '../core/tlog/merkle-check.ts'
import type { OpenedCheckpoint } from '../core/tlog/open.ts'
import { parseProof, requireLogged } from '../core/tlog/proof.ts'
import type { ClientPin } from './pin.ts'

/** What a session remembers of a log. */
export interface LogMemory {
  /** The largest checkpoint that was consistent with all others. */
  newest(): Checkpoint | undefined
  /**
   * Holds a checkpoint against the newest, whichever is the larger, and remembers it if they agree.
   *
   * @throws {@link VouchsafeError} `ERR_LOG_INCONSISTENT` if they are not of one log;
   *   `ERR_LOG_UNAVAILABLE` if the log does not say.
   */
  admit(checkpoint: Checkpoint): Promise<void>
}

/** What a check of the log is about. */
export interface LogQuestion {
  /** `tlog-proof` text. */
  readonly proof: string
  /** Of the keyset that must be in the leaf. */
  readonly keysetDigest: string
  readonly pin: Pick<ClientPin, 'log' | 'checkpointAge'>
  readonly now: Date
  /** Newest when the proof was asked for: the log must not have gone back behind it. */
  readonly seen: Checkpoint | undefined
}

/** Seconds that the log's clock may be ahead of ours. */
const MAX_SKEW = 300
const IDS = ['inclusion', 'forward', 'consistency', 'age'].map((name) => `client.log.${name}`)

/** Memory of one session, empty at first. */
export function createLogMemory(source: LogSource, hasher: Hasher): LogMemory {
  let newest: Checkpoint | undefined
  // One after the other: two that were compared with the same third need not agree with each other.
  let last: Promise<void> = Promise.resolve()
  const admit = async (checkpoint: Checkpoint): Promise<void> => {
    if (newest !== undefined) {
      const [older, newer] = inOrder(newest, checkpoint)
      await requireOneLog(older, newer, { source, hasher })
    }
    if (newest === undefined || checkpoint.size > newest.size) newest = checkpoint
  }
  return {
    newest: () => newest,
    admit: async (checkpoint) => {
      const turn = last.then(async () => admit(checkpoint))
      // The next in line is not to blame for this one.
      last = turn.catch(() => undefined)
      return turn
    },
  }
}

/**
 * Asks all of it. The checks are the same ones every time, in this order.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_UNAVAILABLE` if consistency cannot be looked at.
 */
export async function checkLog(
  question: LogQuestion,
  { crypto, memory }: { readonly crypto: CryptoProvider; readonly memory: LogMemory },
): Promise<readonly Check[]> {
  const { pin, now, seen } = question
  const good = `keyset in the log ${pin.log.origin}`
  try {
    const opened = await openProof(question, crypto)
    return [
      checkOf('client.log.inclusion', undefined, good),
      checkForward(opened.checkpoint, seen),
      await checkConsistency(opened.checkpoint, memory),
      checkAge(opened, pin, now),
    ]
  } catch (error) {
    if (!(error instanceof VouchsafeError) || error.kind === 'unavailable') throw error
    return IDS.map((id) => checkOf(id, { expected: good, actual: error.message }, ''))
  }
}

/** A keyset that is in nobody's log could be one made for us alone (RFC 9458 §7). */
async function openProof(
  { proof: text, keysetDigest, pin }: LogQuestion,
  crypto: CryptoProvider,
): Promise<OpenedCheckpoint> {
  const proof = parseProof(utf8(text))
  const entry = proof.extra ?? new Uint8Array(0)
  const leaf = decodeLeaf(entry)
  if (leaf.type !== 'keyset' || leaf.keyset !== keysetDigest) {
    const actual = leaf.type === 'keyset' ? `a leaf about ${leaf.keyset}` : `a ${leaf.type} leaf`
    throw new VouchsafeError({ code: 'ERR_LOG_INCONSISTENT', at: 'client.log' }, actual)
  }
  return requireLogged({ entry, proof }, pin.log, crypto)
}

function checkForward({ size }: Checkpoint, seen: Checkpoint | undefined): Check {
  const id = 'client.log.forward'
  if (seen === undefined) return checkOf(id, undefined, 'first checkpoint seen')
  const expected = `size ${seen.size} or more`
  const problem = size < seen.size ? { expected, actual: `size ${size}` } : undefined
  return checkOf(id, problem, expected)
}

async function checkConsistency(checkpoint: Checkpoint, memory: LogMemory): Promise<Check> {
  const id = 'client.log.consistency'
  const before = memory.newest()
  const expected =
    before === undefined
      ? 'first checkpoint seen'
      : `one history with size ${before.size}, root ${toHex(before.root)}`
  try {
    await memory.admit(checkpoint)
    return checkOf(id, undefined, expected)
  } catch (error) {
    if (!(error instanceof VouchsafeError) || error.kind === 'unavailable') throw error
    const actual = `size ${checkpoint.size}, root ${toHex(checkpoint.root)}: ${error.message}`
    return checkOf(id, { expected, actual }, '')
  }
}

function inOrder(a: Checkpoint, b: Checkpoint): readonly [older: Checkpoint, newer: Checkpoint] {
  return a.size <= b.size ? [a, b] : [b, a]
}

async function requireOneLog(
  older: Checkpoint,
  newer: Checkpoint,
  { source, hasher }: { readonly source: LogSource; readonly hasher: Hasher },
): Promise<void> {
  const tree = treeOfSource(readingOnce(source), hasher, newer.size)
  await requireConsistency(hasher, {
    oldSize: older.size,
    size: newer.size,
    oldRoot: older.root,
    root: newer.root,
    proof: older.size === newer.size ? [] : await consistencyProof(tree, older.size, newer.size),
  })
}

/** Many nodes of a proof lie in one tile. */
function readingOnce(source: LogSource): LogSource {
  const tiles = new Map<string, Promise<Uint8Array | undefined>>()
  return {
    read: async (path) => {
      const reading = tiles.get(path) ?? source.read(path)
      tiles.set(path, reading)
      return reading
    },
  }
}

function checkAge(
  opened: OpenedCheckpoint,
  { checkpointAge }: Pick<ClientPin, 'checkpointAge'>,
  now: Date,
): Check {
  const id = 'client.log.age'
  const times = opened.verified.flatMap(({ timestamp }) => timestamp ?? [])
  const newest = times.length === 0 ? undefined : Math.max(...times)
  const age = newest === undefined ? undefined : Math.floor(now.getTime() / 1000) - newest
  const actual = age === undefined ? 'no signed time by a pinned key' : `${age} s`
  if ('waive' in checkpointAge) {
    return { id, outcome: 'waived', expected: `any (${checkpointAge.waive})`, actual }
  }
  const limit = checkpointAge.require
  // Ahead of our clock by a little is skew, by more is a promise about the future.
  const ok = age !== undefined && age <= limit && age >= -MAX_SKEW
  return { id, outcome: ok ? 'pass' : 'fail', expected: `at most ${limit} s old`, actual }
}
