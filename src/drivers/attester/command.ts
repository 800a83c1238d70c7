/**
 * Evidence of devices from a program: for GPUs and switches, NVIDIA's `nvattest`. What it prints is
 * JSON of one device, a list of them, or an object with the list in `evidences`; or the bytes of one
 * report. None of it is believed here: a verifier appraises it.
 *
 * @packageDocumentation
 */
import { spawn } from 'node:child_process'
import { toHex } from '../../core/bytes/hex.ts'
import { memberOf, parseJsonTree } from '../../core/encoding/json-tree.ts'
import { NO_ENDORSEMENTS } from '../../core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../core/errors.ts'
import { canBeNamed } from '../../core/evidence/common/format-ids.ts'
import { openEvidence } from '../../core/evidence/formats.ts'
import type { Attestation, DeviceAttester } from '../../core/ports/attester.ts'

/** Where the nonce goes, in 64 hexadecimal digits. */
export const NONCE_WORD = '{nonce}'

const AT = 'attester.command'
const BLAME = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: AT } as const
/** Eight GPUs and four switches with their certificates print some 200 kB. */
const MAX_BYTES = 4 * 1024 * 1024

export interface CommandAttesterOptions {
  /** Program and arguments; no shell reads them. {@link NONCE_WORD} stands for the nonce. */
  readonly command: readonly string[]
  readonly timeoutMs: number
}

/**
 * Devices that a program asks.
 *
 * @returns An attester that throws {@link VouchsafeError} `ERR_DEPENDENCY_MISSING` if there is no such
 *   program, `ERR_UPSTREAM_UNAVAILABLE` if it fails, is too slow or prints too much,
 *   `ERR_EVIDENCE_MALFORMED` and `ERR_EVIDENCE_UNSUPPORTED` if what it prints is evidence of no device.
 */
export function createCommandAttester({
  command,
  timeoutMs,
}: CommandAttesterOptions): DeviceAttester {
  return {
    attest: async (nonce) => {
      const argv = command.map((word) => word.replaceAll(NONCE_WORD, toHex(nonce)))
      const printed = await run(argv, timeoutMs)
      return split(printed).map(attestationOf)
    },
  }
}

async function run(argv: readonly string[], timeoutMs: number): Promise<Uint8Array> {
  const [program = '', ...words] = argv
  // A group of its own: what it started holds its output open, and has to end with it.
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
  const ended = Promise.withResolvers<number | null>()
  const fail = (cause: Error): void => {
    ended.reject(cause)
  }
  const chunks: Buffer[] = []
  let size = 0
  child.once('error', (cause) => {
    const blame = { code: 'ERR_DEPENDENCY_MISSING', at: AT } as const
    fail(new VouchsafeError(blame, `cannot run ${program}`, { cause }))
  })
  child.once('close', ended.resolve)
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > MAX_BYTES)
      fail(new VouchsafeError(BLAME, `${program} printed over ${MAX_BYTES} bytes`))
    else chunks.push(chunk)
  })
  const timer = setTimeout(() => {
    fail(new VouchsafeError(BLAME, `${program} took over ${timeoutMs} ms`))
  }, timeoutMs)
  try {
    const code = await ended.promise
    if (code !== 0) throw new VouchsafeError(BLAME, `${program} ended with ${code ?? 'a signal'}`)
    return new Uint8Array(Buffer.concat(chunks))
  } finally {
    clearTimeout(timer)
    child.stdout.destroy()
    killGroup(child.pid)
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

/** One piece for each device, as `splitDevices` has them: whoever keeps what was printed can verify it. */
function split(printed: Uint8Array): readonly Uint8Array[] {
  if (printed.length === 0) throw new VouchsafeError(BLAME, 'printed nothing')
  const OPENING = /^\s*[[{]/
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(printed)
  if (!OPENING.test(text)) return [printed]
  const tree = parseJsonTree(text, { code: 'ERR_EVIDENCE_MALFORMED', at: AT })
  const list = memberOf(tree, 'evidences')?.node ?? tree
  if (list.kind !== 'array' || list.items.length === 1) return [printed]
  if (list.items.length === 0) throw new VouchsafeError(BLAME, 'printed an empty list')
  return list.items.map(({ start, end }) => new TextEncoder().encode(text.slice(start, end)))
}

function attestationOf(bytes: Uint8Array): Attestation {
  const { format, evidence } = openEvidence(bytes)
  if (canBeNamed(format.id)) return { format: format.id, evidence, endorsements: NO_ENDORSEMENTS }
  const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: AT } as const
  throw new VouchsafeError(blame, `${format.id} is of no companion device`)
}
