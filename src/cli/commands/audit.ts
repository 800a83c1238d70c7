/** `vouchsafe audit`: everything the log says, checked with nothing but its key. @packageDocumentation */
import type { Command } from 'commander'
import { createBundle, MAX_BUNDLE_BYTES, verifyBundle } from '../../core/audit/bundle.ts'
import type { ReplayTools } from '../../core/audit/replay.ts'
import { type LogReplay, replayLog } from '../../core/audit/replay-log.ts'
import {
  auditLog,
  type LogAudit,
  readLeaf,
  type SeenCheckpoint,
} from '../../core/audit/verify-log.ts'
import { toBase64 } from '../../core/bytes/base64.ts'
import { parseJson } from '../../core/encoding/json-source.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../core/endorsements/anchors.ts'
import { EXIT_CODES } from '../../core/errors.ts'
import { createMemo } from '../../core/evidence/common/memo.ts'
import type { Leaf } from '../../core/tlog/leaf.ts'
import type { OpenedCheckpoint } from '../../core/tlog/open.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { ifAbsent } from '../../drivers/files/read.ts'
import type { CliContext } from '../context.ts'
import { readEarKeys } from '../ear-keys.ts'
import { readWithin } from '../input-file.ts'
import { collect, readInput } from '../inputs.ts'
import { logIdentity, openSource } from '../log-source.ts'
import { clean, jsonText, paint } from '../output.ts'
import { replaceFile, requireRoom } from '../output-file.ts'
import { PASSPORT_TRUST, readPassportTrust } from '../passport-trust.ts'
import { usage } from '../usage.ts'

interface KeyOptions {
  readonly key: readonly string[]
  readonly origin?: string
  readonly json?: boolean
}
interface VerifyOptions extends KeyOptions {
  readonly state?: string
  readonly anyLeaf?: boolean
}
interface ReplayOptions extends KeyOptions {
  readonly simulatedRoot?: readonly string[]
  readonly armPlatformKey?: readonly string[]
  readonly passportTrust?: readonly string[]
  readonly tpmRoot?: readonly string[]
  readonly tpmKey?: readonly string[]
  readonly earKeys?: string
}
interface BundleOptions extends KeyOptions {
  readonly log: string
  readonly output?: string
}

const MAX_STATE_BYTES = 64 * 1024
const MEMO_ENTRIES = 4_096
const SIMULATED_ROOT = 'SHA-256 of a simulated root to trust, for development'
const TPM_ROOT = 'root of TPMs that the verifier trusted: SHA-256 of its DER'
const TPM_KEY = 'attestation key of a TPM that the verifier trusted: SHA-256 of its DER'
const ARM_PLATFORM_KEY = 'SHA-256 of the key of an Arm CCA machine to trust'
const EAR_KEYS = 'URL or file of the verifier’s keys, old ones included: check who signed each EAR'
const crypto = createCrypto()

/** Adds `audit` with `verify`, `replay`, `bundle` and `verify-bundle`. */
export function register(program: Command, context: CliContext): void {
  const audit = program
    .command('audit')
    .description('check a transparency log, without trusting it')
  const common = (name: string, description: string): Command =>
    audit
      .command(name)
      .description(description)
      .requiredOption('--key <vkey>', 'a key of the log; again for its other one', collect)
      .option('--origin <origin>', "the log's name, if it is not that of its key")
      .option('--json', 'print JSON')

  const again = (name: string, description: string): Command =>
    common(name, description)
      .option('--ear-keys <jwks>', EAR_KEYS)
      .option('--simulated-root <hex>', SIMULATED_ROOT, collect)
      .option('--arm-platform-key <hex>', ARM_PLATFORM_KEY, collect)
      .option('--passport-trust <file>', PASSPORT_TRUST, collect)
      .option('--tpm-root <hex>', TPM_ROOT, collect)
      .option('--tpm-key <hex>', TPM_KEY, collect)

  common('verify', 'recompute the whole log from its entries')
    .argument('<log>', 'URL or directory that has the file checkpoint')
    .option('--state <file>', 'remember the newest checkpoint there, and never accept a fork of it')
    .option('--any-leaf', 'the log may have entries that are not vouchsafe leaves')
    .action(async (where: string, options: VerifyOptions) => verify(where, options, context))
  again('replay', 'make every appraisal and release decision again, from the blobs')
    .argument('<log>', 'URL or directory that has the file checkpoint')
    .action(async (where: string, options: ReplayOptions) => replay(where, options, context))
  common('bundle', 'write one leaf with its proof and everything it was decided on')
    .argument('<index>', 'index of the leaf')
    .requiredOption('--log <log>', 'URL or directory that has the file checkpoint')
    .option('--output <file>', 'where to write it (default: stdout)')
    .action(async (index: string, options: BundleOptions) => bundle(index, options, context))
  again('verify-bundle', 'check a bundle with no network')
    .argument('<file>', 'a bundle; - for stdin')
    .action(async (file: string, options: ReplayOptions) => checkBundle(file, options, context))
}

async function verify(where: string, options: VerifyOptions, context: CliContext): Promise<void> {
  const counts = new Map<string, number>()
  const onEntry = (index: number, entry: Uint8Array): void => {
    const type = options.anyLeaf === true ? 'entry' : readLeaf(index, entry).type
    counts.set(type, (counts.get(type) ?? 0) + 1)
  }
  const seen = options.state === undefined ? undefined : await readState(options.state)
  const opened = await withLog(where, options, async (base) => {
    return auditLog({ ...base, seen, onEntry, ...progress(context, options) })
  })
  if (options.state !== undefined) await writeState(options.state, opened)
  if (options.json === true) {
    context.out(jsonText({ ...checkpointJson(opened), leaves: Object.fromEntries(counts) }))
    return
  }
  const lines = [...counts].map(([type, count]) => `  ${type.padEnd(16)}  ${count}\n`)
  context.out(
    `${paint('consistent', 'green', context.color)}  ${describe(opened)}\n${lines.join('')}`,
  )
}

async function replay(where: string, options: ReplayOptions, context: CliContext): Promise<void> {
  const tools = {
    ...(await earTools(options)),
    memo: createMemo(MEMO_ENTRIES),
    anchors: await anchorsOf(options, context),
  }
  const done = await withLog(where, options, async (base) =>
    replayLog({ ...base, ...progress(context, options) }, tools),
  )
  const bad = done.counts.differs + done.counts.unreplayable
  if (bad > 0) context.exit(EXIT_CODES.denied)
  if (options.json === true) {
    const { counts, findings, checkpoint } = done
    const report = { counts, ear_signatures: earWords(options), findings }
    context.out(jsonText({ ...checkpointJson(checkpoint), ...report }))
    return
  }
  context.out(renderReplay(done, context.color) + earLine(options, context.color))
}

async function bundle(index: string, options: BundleOptions, context: CliContext): Promise<void> {
  if (!/^(0|[1-9][0-9]{0,15})$/.test(index)) throw usage('index', `${index} is not an index`)
  if (options.output !== undefined) {
    await requireRoom(options.output, { flag: 'output', replace: true })
  }
  const text = await withLog(options.log, options, async (base) =>
    createBundle(base, Number(index)),
  )
  if (options.output === undefined) context.out(text)
  else await replaceFile(options.output, text, 'output')
}

async function checkBundle(
  file: string,
  options: ReplayOptions,
  context: CliContext,
): Promise<void> {
  const bytes = await readInput(file, context, MAX_BUNDLE_BYTES)
  const anchors = await anchorsOf(options, context)
  const tools = { ...(await earTools(options)), crypto, memo: createMemo(MEMO_ENTRIES), anchors }
  const {
    index,
    leaf,
    checkpoint,
    replay: again,
  } = await verifyBundle(bytes, await logIdentity(options), tools)
  const good = again.outcome === 'same' || again.outcome === 'not-replayed'
  if (!good) context.exit(EXIT_CODES.denied)
  if (options.json === true) {
    const report = { index, leaf, replay: again, ear_signatures: earWords(options) }
    context.out(jsonText({ ...report, ...checkpointJson(checkpoint) }))
    return
  }
  context.out(`${describeLeaf(index, leaf)}\n  in the log: ${describe(checkpoint)}\n`)
  const detail = 'detail' in again ? `: ${clean(again.detail)}` : ''
  context.out(`  ${paint(again.outcome, good ? 'green' : 'red', context.color)}${detail}\n`)
  if (leaf.type === 'release' || leaf.type === 'keyset') {
    context.out(earLine(options, context.color))
  }
}

type Base = Pick<LogAudit, 'source' | 'log' | 'crypto'>

async function withLog<T>(
  where: string,
  options: KeyOptions,
  work: (base: Base) => Promise<T>,
): Promise<T> {
  const log = await logIdentity(options)
  const opened = await openSource(where)
  try {
    return await work({ source: opened.source, log, crypto })
  } finally {
    await opened.close()
  }
}

async function anchorsOf(options: ReplayOptions, context: CliContext): Promise<TrustAnchors> {
  const { simulatedRoot = [], armPlatformKey = [], tpmRoot = [], tpmKey = [] } = options
  const { passportTrust = [] } = options
  const given = {
    'simulated-root': simulatedRoot,
    'arm-platform-key': armPlatformKey,
    'tpm-root': tpmRoot,
    'tpm-key': tpmKey,
  }
  for (const [flag, digests] of Object.entries(given)) {
    if (digests.some((digest) => !/^[0-9a-f]{64}$/.test(digest))) {
      throw usage(flag, `--${flag} wants a SHA-256 in lower-case hex`)
    }
  }
  return {
    ...VENDOR_ANCHORS,
    arm: [...VENDOR_ANCHORS.arm, ...armPlatformKey],
    passports: await readPassportTrust(passportTrust, context),
    tpm: [...VENDOR_ANCHORS.tpm, ...tpmRoot],
    tpmKeys: [...VENDOR_ANCHORS.tpmKeys, ...tpmKey],
    simulated: [...VENDOR_ANCHORS.simulated, ...simulatedRoot],
  }
}

async function earTools({ earKeys }: ReplayOptions): Promise<Pick<ReplayTools, 'isEarSigned'>> {
  if (earKeys === undefined) return {}
  return { isEarSigned: await readEarKeys(earKeys) }
}

function earWords({ earKeys }: ReplayOptions): 'checked' | 'not checked' {
  return earKeys === undefined ? 'not checked' : 'checked'
}

/** What was not looked at is said, every time. */
function earLine(options: ReplayOptions, color: boolean): string {
  if (options.earKeys !== undefined) return '  EAR signatures: checked\n'
  const words = paint('not checked', 'yellow', color)
  return `  EAR signatures: ${words} (--ear-keys takes the verifier’s keys)\n`
}

/** On a terminal only, and on stderr, so that output can be piped. */
function progress(context: CliContext, { json }: KeyOptions): Pick<LogAudit, 'onProgress'> {
  if (!context.color || json === true) return {}
  const width = 30
  return {
    onProgress: (done, size) => {
      const full = Math.floor((done / size) * width)
      const bar = `${'█'.repeat(full)}${'░'.repeat(width - full)}`
      context.err(`\r${bar} ${done} of ${size}${done === size ? '\r\u001B[K' : ''}`)
    },
  }
}

async function readState(file: string): Promise<SeenCheckpoint | undefined> {
  await requireRoom(file, { flag: 'state', replace: true })
  const bytes = await readWithin(file, { flag: 'state', most: MAX_STATE_BYTES }).catch(ifAbsent)
  if (bytes === undefined) return undefined
  const text = new TextDecoder().decode(bytes)
  const value = parseJson(text, { code: 'ERR_STATE_INVALID', at: 'cli.state' })
  const { size, root } = (value ?? {}) as { readonly size?: unknown; readonly root?: unknown }
  if (typeof size === 'number' && typeof root === 'string') return { size, root }
  throw usage('state', `${file} is not a state file of audit verify`)
}

/** Replaced in one step: half a state would forget what was seen. */
async function writeState(file: string, { checkpoint }: OpenedCheckpoint): Promise<void> {
  const { origin, size, root } = checkpoint
  await replaceFile(file, jsonText({ origin, size, root: toBase64(root) }), 'state')
}

function checkpointJson({ checkpoint, verified }: OpenedCheckpoint): object {
  const { origin, size, root } = checkpoint
  const signatures = verified.map(({ key, timestamp }) => ({
    name: key.name,
    type: key.type,
    timestamp,
  }))
  return { origin, size, root: toBase64(root), signatures }
}

function describe({ checkpoint, verified }: OpenedCheckpoint): string {
  const times = verified.flatMap(({ timestamp }) => (timestamp === undefined ? [] : [timestamp]))
  const when =
    times.length > 0 ? `, signed ${new Date(Math.max(...times) * 1000).toISOString()}` : ''
  const { origin, size, root } = checkpoint
  return `${clean(origin)}, ${size} entries, root ${toBase64(root)}${when}`
}

function describeLeaf(index: number, leaf: Leaf): string {
  return `leaf ${index}: ${leaf.type} of ${new Date(leaf.time * 1000).toISOString()}`
}

function renderReplay({ checkpoint, counts, findings }: LogReplay, color: boolean): string {
  const lines = findings.map(({ index, type, outcome, detail }) => {
    return `  ${paint(outcome, 'red', color)}  ${index}  ${type}  ${clean(detail)}\n`
  })
  const bad = counts.differs + counts.unreplayable
  const verdict =
    bad === 0 ? paint('every decision again', 'green', color) : paint(`${bad} differ`, 'red', color)
  const summary = `${counts.same} the same, ${counts.differs} differ, ${counts.unreplayable} cannot be replayed`
  return `${verdict}  ${describe(checkpoint)}\n  ${summary}, ${counts['not-replayed']} record no decision\n${lines.join('')}`
}
