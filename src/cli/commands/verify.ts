/** `vouchsafe verify`: evidence of one device or one machine, one verdict, every reason. @packageDocumentation */
import { type Command, Option } from 'commander'
import { type AppraisalInput, appraise } from '../../core/appraisal/appraise.ts'
import type { Binding } from '../../core/appraisal/binding.ts'
import { machineTier, nameSubmodules, worstTier } from '../../core/appraisal/composite.ts'
import { arrangeParts, bindParts, type Part } from '../../core/appraisal/parts.ts'
import type { Policy } from '../../core/appraisal/policy.ts'
import type { EndorsementSet } from '../../core/endorsements/endorsement-set.ts'
import { withShipped } from '../../core/endorsements/shipped.ts'
import { EXIT_CODES } from '../../core/errors.ts'
import type { FormatId } from '../../core/evidence/common/format-ids.ts'
import { createMemo } from '../../core/evidence/common/memo.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { readEndorsements } from '../../drivers/endorsements/directory.ts'
import { loadPolicy, loadReferenceValues } from '../../drivers/policies/directory.ts'
import { MAX_REQUEST_BYTES, readRequest } from '../conformance.ts'
import type { CliContext } from '../context.ts'
import {
  needOptions,
  openServices,
  type ServiceFlags,
  withServiceFlags,
} from '../endorsement-services.ts'
import {
  collect,
  FORMAT_WORDS,
  openInput,
  parseHexFlag,
  parseTime,
  readInput,
  withUnsafeAnchors,
} from '../inputs.ts'
import { PASSPORT_TRUST, readPassportTrust } from '../passport-trust.ts'
import { type Piece, piecesOf } from '../pieces.ts'
import {
  type AppraisedPart,
  eachJson,
  machineJson,
  renderEach,
  renderMachine,
  renderResult,
  resultJson,
} from '../result.ts'
import { usage } from '../usage.ts'

/** Flags that say what evidence is verified with. */
export interface Options extends ServiceFlags {
  readonly online?: boolean
  readonly format: string
  readonly at?: string
  readonly endorsements?: readonly string[]
  readonly policy?: readonly string[]
  readonly referenceValues?: readonly string[]
  readonly nonce?: string
  readonly reportData?: string
  readonly statement?: string
  readonly unsafeAnchor?: readonly string[]
  readonly passportTrust?: readonly string[]
  readonly json?: boolean
}

const HELP = `
Without EVIDENCE, --json reads one JSON request from stdin: {"evidence": base64url, "format"?, "at"?,
"policy"?, "nonce"?, "report_data"?, "statement"?, "endorsements"?, "reference_values"?,
"unsafe_anchors"?, "passport_trust"?}.

With --statement, several files are one machine: its CPU's evidence and, in the order in which the
statement names them, its devices'. A list of devices, as NVIDIA's tools print it, is several. Without
--statement each is verified by itself, and nothing shows that they are one machine.

Exit codes: 0 affirming, 10 not affirming, 20 unsupported, 30 malformed, 40 endorsements
unavailable, 50 misconfigured.`

export function register(program: Command, context: CliContext): void {
  withServiceFlags(program.command('verify'))
    .description('verify evidence, and say why it is or is not to be trusted')
    .argument(
      '[evidence...]',
      'files with evidence: raw, hex, base64, JSON or a certificate; - for stdin',
    )
    .option('--format <format>', FORMAT_WORDS, 'auto')
    .option('--at <time>', 'the time to verify at (default: now)')
    .option('--endorsements <path>', 'collateral: a file, or a directory of them', collect)
    .option(
      '--policy <policy>',
      'a file, or the name of one that ships; for each format (default: authentic)',
      collect,
    )
    .option('--reference-values <file>', 'a set of reference values', collect)
    .option('--nonce <hex>', 'the nonce that the evidence must answer')
    .option('--report-data <hex>', 'the report data it must carry, zero-padded')
    .addOption(
      new Option('--statement <file>', 'the exact statement it must vouch for').conflicts(
        'reportData',
      ),
    )
    .option(
      '--unsafe-anchor <cert|sha256>',
      'also trust this root: whoever holds its key can forge evidence',
      collect,
    )
    .option('--passport-trust <file>', PASSPORT_TRUST, collect)
    .option('--online', 'ask vendors for endorsements that are not at hand, and keep them')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (files: readonly string[], options: Options) => run(files, options, context))
}

async function run(files: readonly string[], options: Options, context: CliContext): Promise<void> {
  if (files.length === 0) return verifyRequest(options, context)
  const pieces = await piecesOf(files, options.format, context)
  const [piece] = pieces
  if (piece !== undefined && pieces.length === 1) return verifyOne(piece, options, context)
  if (options.statement === undefined) return verifyEach(pieces, options, context)
  return verifyMachine(pieces, options, context)
}

async function verifyRequest(options: Options, context: CliContext): Promise<void> {
  if (options.json !== true) throw usage('evidence', 'give a file with evidence, or - for stdin')
  if (options.online === true || options.cache !== undefined) {
    throw usage(
      'evidence',
      'a request on stdin brings its endorsements; --online and --cache want a file',
    )
  }
  const input = await readRequest(await context.readStdin(MAX_REQUEST_BYTES), context)
  await showOne({ name: 'request', input }, options, context)
}

async function verifyOne(piece: Piece, options: Options, context: CliContext): Promise<void> {
  const binding = await bindingOf(options, context)
  const input = await inputOf(piece, { binding, options }, context)
  await showOne({ name: piece.file, input }, options, context)
}

async function showOne(
  { name, input }: Pick<AppraisedPart, 'name' | 'input'>,
  options: Options,
  context: CliContext,
): Promise<void> {
  const result = await appraise(input, { crypto: createCrypto(), memo: createMemo(0) })
  const json = options.json === true
  context.out(json ? resultJson(result) : renderResult(result, { name, input }, context.color))
  if (result.tier !== 'affirming') context.exit(EXIT_CODES.denied)
}

/** Every piece by itself, whatever the others are. */
async function verifyEach(
  pieces: readonly Piece[],
  options: Options,
  context: CliContext,
): Promise<void> {
  const binding = await bindingOf(options, context)
  const bound = pieces.map((part) => ({ part, binding }))
  const appraised = await appraiseAll(bound, options, context)
  const submodules = nameSubmodules(appraised.map(({ result }) => result))
  const tier = worstTier(appraised.map(({ result }) => result.tier))
  const json = options.json === true
  context.out(json ? eachJson(submodules) : renderEach(appraised, submodules, context.color))
  if (tier !== 'affirming') context.exit(EXIT_CODES.denied)
}

/** Every part by itself, then all of them together. */
async function verifyMachine(
  pieces: readonly Piece[],
  options: Options,
  context: CliContext,
): Promise<void> {
  const { nonce, reportData } = await bindingOf(options, context)
  if (!('statement' in reportData)) throw new TypeError('unreachable: a statement is given')
  const parts = arrangeParts(pieces, { code: 'ERR_USAGE_INVALID', at: 'cli.evidence' })
  const question = { nonce, statement: reportData.statement }
  const bound = await bindParts(parts, question, createCrypto())
  const appraised = await appraiseAll(bound, options, context)
  const submodules = nameSubmodules(appraised.map(({ result }) => result))
  const json = options.json === true
  context.out(json ? machineJson(submodules) : renderMachine(appraised, submodules, context.color))
  if (machineTier(submodules) !== 'affirming') context.exit(EXIT_CODES.denied)
}

async function appraiseAll(
  bound: readonly { readonly part: Piece; readonly binding: Binding }[],
  options: Options,
  context: CliContext,
): Promise<readonly AppraisedPart[]> {
  const tools = { crypto: createCrypto(), memo: createMemo(1000) }
  const appraised: AppraisedPart[] = []
  for (const { part, binding } of bound) {
    const input = await inputOf(part, { binding, options }, context)
    appraised.push({ name: part.file, input, result: await appraise(input, tools) })
  }
  return appraised
}

/** Evidence in a file, with everything that it is appraised by. */
export async function openedInput(
  file: string,
  options: Options,
  context: CliContext,
): Promise<AppraisalInput> {
  const { format, evidence } = openInput(await readInput(file, context), options.format)
  const binding = await bindingOf(options, context)
  return inputOf({ format: format.id, evidence }, { binding, options }, context)
}

async function inputOf(
  { format, evidence }: Part,
  { binding, options }: { readonly binding: Binding; readonly options: Options },
  context: CliContext,
): Promise<AppraisalInput> {
  const now = options.at === undefined ? context.now() : parseTime(options.at)
  const vendors = await withUnsafeAnchors(options.unsafeAnchor ?? [], format, context)
  const passports = await readPassportTrust(options.passportTrust ?? [], context)
  const anchors = { ...vendors, passports }
  const policy = await policyFor(format, options.policy ?? ['authentic'])
  const referenceValues = await loadReferenceValues(options.referenceValues ?? [])
  const { endorsements: given, ignored } = await readEndorsements(options.endorsements ?? [])
  const endorsements = await withServices(
    { format, evidence, given: withShipped(format, given) },
    options,
    context,
  )
  // In a directory other files are no surprise; a file that was named for it is.
  for (const path of (options.endorsements ?? []).filter((given) => ignored.includes(given))) {
    context.err(`note: no endorsement found in ${path}\n`)
  }
  return { format, evidence, endorsements, referenceValues, policy, binding, anchors, now }
}

/** Of several policies, the one for the format; a single one is taken at its word. */
async function policyFor(format: FormatId, names: readonly string[]): Promise<Policy> {
  for (const name of names) {
    const policy = await loadPolicy(name, { format, production: false })
    if (policy.format === format || names.length === 1) return policy
  }
  throw usage('policy', `none of them is for ${format}`)
}

/** What is given, and what cache and vendors have besides; neither is asked unless a flag says so. */
async function withServices(
  subject: Pick<AppraisalInput, 'format' | 'evidence'> & { readonly given: EndorsementSet },
  options: Options,
  context: CliContext,
): Promise<EndorsementSet> {
  const { given } = subject
  if (options.online !== true && options.cache === undefined) return given
  const use = options.online === true ? 'online' : 'cache'
  const services = await openServices(options, context, { use })
  try {
    const local = { endorsementsFor: async () => given }
    const source = services.sourceOver(local, needOptions(options).needs)
    return await source.endorsementsFor(subject)
  } finally {
    await services.close()
  }
}

async function bindingOf(options: Options, context: CliContext): Promise<Binding> {
  const { nonce, reportData, statement } = options
  const nonceBinding =
    nonce === undefined
      ? { unchecked: 'no --nonce given' }
      : { require: parseHexFlag(nonce, 'nonce', 64) }
  if (statement !== undefined) {
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(
      await readInput(statement, context),
    )
    return { nonce: nonceBinding, reportData: { statement: text } }
  }
  if (reportData === undefined) {
    return {
      nonce: nonceBinding,
      reportData: { unchecked: 'no --report-data or --statement given' },
    }
  }
  return {
    nonce: nonceBinding,
    reportData: { require: parseHexFlag(reportData, 'report-data', 64) },
  }
}
