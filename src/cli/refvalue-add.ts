/** `vouchsafe refvalue add`: an entry from evidence that is known to be good, shown before it is trusted. @packageDocumentation */
import type { Command } from 'commander'
import { type AppraisalInput, appraise } from '../core/appraisal/appraise.ts'
import type { AttestationResult } from '../core/appraisal/result.ts'
import { type ErrorCode, EXIT_CODES, VouchsafeError } from '../core/errors.ts'
import { parseEventLog } from '../core/evidence/common/event-log/parse.ts'
import type { FormatId } from '../core/evidence/common/format-ids.ts'
import { createMemo } from '../core/evidence/common/memo.ts'
import { formatOf } from '../core/evidence/formats.ts'
import { labelOf } from '../core/reference-values/fragments.ts'
import { type LogRegister, registersOf } from '../core/reference-values/log-registers.ts'
import {
  missingMeasurements,
  type ProposedMeasurement,
  proposeMeasurements,
  trustedValues,
} from '../core/reference-values/propose.ts'
import {
  type Measurements,
  parseReferenceValues,
  type ReferenceValueSet,
} from '../core/reference-values/reference-values.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { loadReferenceValues } from '../drivers/policies/directory.ts'
import { openedInput } from './commands/verify.ts'
import type { CliContext } from './context.ts'
import { type ServiceFlags, withServiceFlags } from './endorsement-services.ts'
import { collect, FORMAT_WORDS, readInput } from './inputs.ts'
import { checkLine, clean, jsonText } from './output.ts'
import { requireRoom } from './output-file.ts'
import { setText, type WriteFlags, writeSet } from './refvalue-output.ts'
import { usage } from './usage.ts'

interface AddFlags extends ServiceFlags, WriteFlags {
  readonly fromEvidence?: string
  readonly eventLog?: string
  readonly format: string
  readonly at?: string
  readonly endorsements?: readonly string[]
  readonly unsafeAnchor?: readonly string[]
  readonly online?: boolean
  readonly policy: string
  readonly notAffirming?: boolean
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
  readonly name?: string
  readonly version?: string
  readonly label?: string
  readonly into?: string
}

/** Where measurements come from, and how far they can be believed. */
interface Known {
  readonly format: FormatId
  readonly measurements: Measurements
  /** `undefined`: from a log alone, for which nobody vouches. */
  readonly result: AttestationResult | undefined
  readonly registers: readonly LogRegister[]
}

const crypto = createCrypto()
/** Adds the command. */
export function registerAdd(parent: Command, context: CliContext): void {
  withServiceFlags(parent.command('add'))
    .description('an entry from evidence or an event log that is known to be good')
    .option('--from-evidence <file>', 'evidence of a machine that you know to be good')
    .option('--event-log <file>', 'CCEL or TPM log: of that machine, or instead of evidence')
    .option('--format <format>', FORMAT_WORDS, 'auto')
    .option('--at <time>', 'the time to verify at (default: now)')
    .option('--endorsements <path>', 'collateral: a file, or a directory of them', collect)
    .option('--unsafe-anchor <cert|sha256>', 'also trust this root', collect)
    .option('--online', 'ask vendors for endorsements that are not at hand, and keep them')
    .option('--policy <policy>', 'that the evidence must satisfy', 'authentic')
    .option('--not-affirming', 'also if the policy is not satisfied, but never if it is forged')
    .option('--include <measurement>', 'name it in the entry, whatever the advice', collect)
    .option('--exclude <measurement>', 'leave it out', collect)
    .option('--name <name>', 'of a new set (default: FORMAT-production)')
    .option('--version <version>', 'of the set (default: 1, or that of --into)')
    .option('--label <label>', 'of the entry: which build this is')
    .option('--out <file>', 'write a new set there')
    .option('--into <file>', 'add the entry to this set')
    .option('--yes', 'do not ask')
    .option('--json', 'print JSON')
    .action(async (flags: AddFlags) => add(flags, context))
}

async function add(flags: AddFlags, context: CliContext): Promise<void> {
  if (flags.out !== undefined && flags.into !== undefined) {
    throw usage('into', 'give --out or --into, not both')
  }
  await requirePlace(flags)
  const known =
    flags.fromEvidence === undefined
      ? await fromLog(flags, context)
      : await fromEvidence(flags.fromEvidence, flags, context)
  const proposed = proposeMeasurements(known.format, known.measurements, {
    include: flags.include ?? [],
    exclude: flags.exclude ?? [],
  })
  const set = await setWith(proposed, known.format, flags)
  if (flags.json === true) context.out(jsonText(reportOf(known, proposed, set)))
  else context.out(reportText(known, proposed, context.color))
  const file = flags.into ?? flags.out
  if (file === undefined) {
    if (flags.json !== true) context.out(`\n${setText(set)}`)
    return
  }
  const yes = flags.yes === true || flags.json === true
  const again = async (): Promise<ReferenceValueSet> => setWith(proposed, known.format, flags)
  const written = await writeSet(
    set,
    { file, yes, ...(flags.into !== undefined && { again }) },
    context,
  )
  context.err(written ? `written to ${file}\n` : 'not written\n')
  if (!written) context.exit(EXIT_CODES.denied)
}

/** Before evidence is read and vendors are asked: what could not be written, or not be added to. */
async function requirePlace({ out, into }: AddFlags): Promise<void> {
  if (out !== undefined) await requireRoom(out, { flag: 'out', replace: false })
  if (into === undefined) return
  await loadReferenceValues([into])
  await requireRoom(into, { flag: 'into', replace: true })
}

async function fromEvidence(file: string, flags: AddFlags, context: CliContext): Promise<Known> {
  const input = await openedInput(file, { ...flags, policy: [flags.policy] }, context)
  const tools = { crypto, memo: createMemo(0) }
  const result = await appraise(input, tools)
  const measurements = await measurementsOf(input)
  if (measurements === undefined) {
    // Nobody signed these measurements, so there is no flag for trusting them.
    throw refusal('ERR_RESULT_NOT_AFFIRMING', result, 'not authentic, so its word is nobody’s')
  }
  if (result.tier !== 'affirming' && flags.notAffirming !== true) {
    const what = `${result.tier} by ${result.policyId}; --not-affirming takes it all the same`
    throw refusal('ERR_RESULT_NOT_AFFIRMING', result, what)
  }
  const { format } = input
  const registers = await logRegisters(flags.eventLog, format, context)
  return { format, measurements, result, registers }
}

function refusal(code: ErrorCode, result: AttestationResult, what: string): VouchsafeError {
  const failed = result.checks.filter(({ outcome }) => outcome === 'fail')
  const lines = failed.map(
    ({ id, expected, actual }) => `\n${id}: found ${actual}, want ${expected}`,
  )
  return new VouchsafeError({ code, at: 'refvalue.evidence' }, `${what}${lines.join('')}`)
}

/** Of authenticated evidence; the result that was appraised has them in words only. */
async function measurementsOf(input: AppraisalInput): Promise<Measurements | undefined> {
  const format = formatOf(input.format)
  const { endorsements, anchors, now } = input
  const context = { endorsements, anchors, now, crypto, memo: createMemo(0) }
  const authenticated = await format.authenticate(format.parse(input.evidence.slice()), context)
  return authenticated.authentic ? authenticated.claims.measurements : undefined
}

async function fromLog(flags: AddFlags, context: CliContext): Promise<Known> {
  if (flags.eventLog === undefined) {
    throw usage('from-evidence', 'give --from-evidence FILE, or --event-log FILE alone')
  }
  const format = formatOf(flags.format === 'auto' ? 'tdx' : flags.format, 'cli.format').id
  const registers = await logRegisters(flags.eventLog, format, context)
  const measurements = Object.fromEntries(registers.map(({ name, value }) => [name, value]))
  return { format, measurements, result: undefined, registers }
}

async function logRegisters(
  file: string | undefined,
  format: FormatId,
  context: CliContext,
): Promise<readonly LogRegister[]> {
  if (file === undefined) return []
  return registersOf(parseEventLog(await readInput(file, context)), format, crypto)
}

async function setWith(
  proposed: readonly ProposedMeasurement[],
  format: FormatId,
  flags: AddFlags,
): Promise<ReferenceValueSet> {
  const [before] = flags.into === undefined ? [] : await loadReferenceValues([flags.into])
  if (before !== undefined && before.format !== format) {
    throw usage(
      'into',
      `${flags.into ?? ''} is for ${before.format}, and the evidence is ${format}`,
    )
  }
  const file = flags.fromEvidence ?? flags.eventLog ?? ''
  const label = labelOf(flags.label ?? `from ${file}`)
  const values = trustedValues(proposed)
  const entries = before?.entries ?? []
  const sorted = (one: Measurements): string => JSON.stringify(Object.entries(one).sort())
  const twin = entries.find((entry) => sorted(entry.values) === sorted(values))
  if (twin !== undefined) throw usage('into', `the entry ${twin.label} says the same already`)
  return parseReferenceValues({
    name: flags.name ?? before?.name ?? `${format}-production`,
    version: flags.version ?? before?.version ?? '1',
    format,
    entries: [...entries, { label, values }].map((entry) => ({
      label: entry.label,
      values: { ...entry.values },
    })),
  })
}

/** Whether the log explains what was signed; `undefined` where nothing was, or there is no log. */
function explains({ result, measurements, registers }: Known, name: string): boolean | undefined {
  const register = registers.find((one) => one.name === name)
  if (register === undefined || result === undefined) return undefined
  return register.value === measurements[name]
}

function reportOf(
  known: Known,
  proposed: readonly ProposedMeasurement[],
  set: ReferenceValueSet,
): object {
  const { format, result, registers } = known
  return {
    format,
    tier: result?.tier ?? null,
    failed: result?.checks.filter(({ outcome }) => outcome === 'fail') ?? [],
    not_covered: missingMeasurements(format, known.measurements),
    measurements: proposed.map((one) => ({
      ...one,
      log_explains: explains(known, one.name) ?? null,
      events: registers.find(({ name }) => name === one.name)?.events ?? null,
    })),
    set,
  }
}

function reportText(
  known: Known,
  proposed: readonly ProposedMeasurement[],
  color: boolean,
): string {
  const { result, format, registers } = known
  const head =
    result === undefined
      ? `${format}, from a log alone: nobody vouches for it but whoever wrote it\n`
      : `${format}, ${result.tier} by ${result.policyId}\n`
  const failed = result?.checks.filter(({ outcome }) => outcome === 'fail') ?? []
  const part = (trusted: boolean): readonly string[] =>
    proposed
      .filter((one) => one.trusted === trusted)
      .flatMap((one) => [
        `  ${one.name}  ${one.value}\n      ${one.why}\n`,
        explanation(known, one.name),
        ...(trusted && explains(known, one.name) !== false ? eventLines(registers, one.name) : []),
      ])
  const out = part(false)
  return [
    head,
    ...failed.map((one) => checkLine(one, color)),
    '\nwould be trusted:\n',
    ...part(true),
    ...(out.length > 0 ? ['\nleft out:\n', ...out] : []),
    ...missingMeasurements(format, known.measurements).map(
      (name) => `\nnot covered: ${name}; any will do\n`,
    ),
  ].join('')
}

function explanation(known: Known, name: string): string {
  const explained = explains(known, name)
  if (explained === undefined) return ''
  if (explained) return '      the event log replays to it\n'
  return '      THE EVENT LOG DOES NOT REPLAY TO IT: its events are not what is measured here\n'
}

function eventLines(registers: readonly LogRegister[], name: string): readonly string[] {
  const events = registers.find((one) => one.name === name)?.events ?? []
  return events.map(({ event, digest, covered, said }) => {
    const words = covered ?? `(not covered by its digest) ${said}`
    return `      ${event}  ${digest.slice(0, 16)}…  ${clean(words)}\n`
  })
}
