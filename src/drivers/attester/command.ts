/**
 * Evidence of devices from a program: for GPUs and switches, NVIDIA's `nvattest`. What it prints is
 * JSON of one device, a list of them, or an object with the list in `evidences`; or the bytes of one
 * report. None of it is believed here: a verifier appraises it.
 *
 * @packageDocumentation
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { toHex } from '../../core/bytes/hex.ts'
import { memberOf, parseJsonTree } from '../../core/encoding/json-tree.ts'
import { NO_ENDORSEMENTS } from '../../core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../core/errors.ts'
import { canBeNamed } from '../../core/evidence/common/format-ids.ts'
import { openEvidence } from '../../core/evidence/formats.ts'
import type { Attestation, DeviceAttester } from '../../core/ports/attester.ts'
import { keepLastWords } from './command/last-words.ts'

/** Where the nonce goes, in 64 hexadecimal digits. */
export const NONCE_WORD = '{nonce}'

const AT = 'attester.command'
const BLAME = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: AT } as const
/** Eight GPUs and four switches with their certificates print some 200 kB. */
const MAX_BYTES = 4 * 1024 * 1024
/** How long to wait for what a program that has ended said. */
const LAST_WORDS_MS = 250

export interface CommandAttesterOptions {
  /** Program and arguments; no shell reads them. {@link NONCE_WORD} stands for the nonce. */
  readonly command: readonly string[]
  readonly timeoutMs: number
}

/**
 * Devices that a program asks.
 *
 * @returns An attester that throws {@link VouchsafeError} `ERR_DEPENDENCY_MISSING` if there is no such
 *   program, `ERR_UPSTREAM_UNAVAILABLE` with what it said last on its standard error if it fails, is
 *   too slow, prints too much, or prints what is no evidence of a device: whoever asked for evidence
 *   is not to blame.
 */
export function createCommandAttester({
  command,
  timeoutMs,
}: CommandAttesterOptions): DeviceAttester {
  return {
    attest: async (nonce) => {
      const argv = command.map((word) => word.replaceAll(NONCE_WORD, toHex(nonce)))
      return run(argv, timeoutMs, devicesIn)
    },
  }
}

/**
 * Runs a program to its end, and reads what it printed.
 *
 * @param read - Throws if it cannot: then what the program said is told too.
 */
async function run<T>(
  argv: readonly string[],
  timeoutMs: number,
  read: (printed: Uint8Array) => T,
): Promise<T> {
  const [program = '', ...words] = argv
  // A group of its own: what it started holds its output open, and has to end with it.
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const lastWords = keepLastWords(child.stderr)
  const silence = new Promise<void>((resolve) => child.stderr.once('close', resolve))
  try {
    const printed = printedBy(child, program, timeoutMs)
    return read(
      await printed.finally(() => {
        killGroup(child.pid)
      }),
    )
  } catch (cause) {
    const isOfProgram = cause instanceof Failure || cause instanceof VouchsafeError
    if (!isOfProgram || ('code' in cause && cause.code === 'ERR_DEPENDENCY_MISSING')) throw cause
    // What it has said may still be on its way; who left its group may never close the pipe.
    await Promise.race([silence, sleep(LAST_WORDS_MS, undefined, { ref: false })])
    const said = lastWords()
    const what = cause instanceof Failure ? cause.message : 'printed no evidence of a device'
    const detail = `${program} ${what}${said === '' ? '' : `, saying: ${said}`}`
    throw new VouchsafeError(BLAME, detail, { cause })
  } finally {
    child.stdout.destroy()
    child.stderr.destroy()
  }
}

/** What a program did instead of printing evidence. */
class Failure extends Error {}

/** Its standard output, whole. */
async function printedBy(
  child: ChildProcessByStdio<null, Readable, Readable>,
  program: string,
  timeoutMs: number,
): Promise<Uint8Array> {
  const ended = Promise.withResolvers<number | null>()
  const chunks: Buffer[] = []
  let size = 0
  child.once('error', (cause) => {
    const blame = { code: 'ERR_DEPENDENCY_MISSING', at: AT } as const
    ended.reject(new VouchsafeError(blame, `cannot run ${program}`, { cause }))
  })
  // Not `close`, which also waits for whoever has its standard error.
  const printed = new Promise<void>((resolve) => child.stdout.once('close', resolve))
  child.once(
    'exit',
    (code) =>
      void printed.then(() => {
        ended.resolve(code)
      }),
  )
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > MAX_BYTES) ended.reject(new Failure(`printed over ${MAX_BYTES} bytes`))
    else chunks.push(chunk)
  })
  const timer = setTimeout(() => {
    ended.reject(new Failure(`took over ${timeoutMs} ms`))
  }, timeoutMs)
  try {
    const code = await ended.promise
    if (code !== 0) throw new Failure(`ended with ${code ?? 'a signal'}`)
    return new Uint8Array(Buffer.concat(chunks))
  } finally {
    clearTimeout(timer)
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // It has ended, which is what was wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function devicesIn(printed: Uint8Array): readonly Attestation[] {
  return split(printed).map(attestationOf)
}

/** One piece for each device, as `splitDevices` has them: whoever keeps what was printed can verify it. */
function split(printed: Uint8Array): readonly Uint8Array[] {
  if (printed.length === 0) throw new Failure('printed nothing')
  const OPENING = /^\s*[[{]/
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(printed)
  if (!OPENING.test(text)) return [printed]
  const tree = parseJsonTree(text, { code: 'ERR_EVIDENCE_MALFORMED', at: AT })
  const list = memberOf(tree, 'evidences')?.node ?? tree
  if (list.kind !== 'array' || list.items.length === 1) return [printed]
  if (list.items.length === 0) throw new Failure('printed an empty list')
  return list.items.map(({ start, end }) => new TextEncoder().encode(text.slice(start, end)))
}

function attestationOf(bytes: Uint8Array): Attestation {
  const { format, evidence } = openEvidence(bytes)
  if (canBeNamed(format.id)) return { format: format.id, evidence, endorsements: NO_ENDORSEMENTS }
  const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: AT } as const
  throw new VouchsafeError(blame, `${format.id} is of no companion device`)
}
