/** `vouchsafe verify`: one piece of evidence, one verdict, every reason. @packageDocumentation */
import { type Command, Option } from 'commander'
import { type AppraisalInput, appraise } from '../../core/appraisal/appraise.ts'
import type { Binding } from '../../core/appraisal/binding.ts'
import type { EndorsementSet } from '../../core/endorsements/endorsement-set.ts'
import { withShipped } from '../../core/endorsements/shipped.ts'
import { EXIT_CODES } from '../../core/errors.ts'
import { createMemo } from '../../core/evidence/common/memo.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { readEndorsements } from '../../drivers/endorsements/directory.ts'
import { loadPolicy, loadReferenceValues } from '../../drivers/policies/directory.ts'
import { readRequest } from '../conformance.ts'
import type { CliContext } from '../context.ts'
import {
  needOptions,
  openServices,
  type ServiceFlags,
  withServiceFlags,
} from '../endorsement-services.ts'
import {
  FORMAT_WORDS,
  openInput,
  parseHexFlag,
  parseTime,
  readInput,
  usage,
  withUnsafeAnchors,
} from '../inputs.ts'
import { renderResult, resultJson } from '../result.ts'

interface Options extends ServiceFlags {
  readonly online?: boolean
  readonly format: string
  readonly at?: string
  readonly endorsements?: readonly string[]
  readonly policy: string
  readonly referenceValues?: readonly string[]
  readonly nonce?: string
  readonly reportData?: string
  readonly statement?: string
  readonly unsafeAnchor?: readonly string[]
  readonly json?: boolean
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
]

const HELP = `
Without EVIDENCE, --json reads one JSON request from stdin: {"evidence": base64url, "format"?, "at"?,
"policy"?, "nonce"?, "report_data"?, "statement"?, "endorsements"?, "reference_values"?,
"unsafe_anchors"?}.

Exit codes: 0 affirming, 10 not affirming, 20 unsupported, 30 malformed, 40 endorsements
unavailable, 50 misconfigured.`

export function register(program: Command, context: CliContext): void {
  withServiceFlags(program.command('verify'))
    .description('verify evidence, and say why it is or is not to be trusted')
    .argument(
      '[evidence]',
      'file with evidence: raw, hex, base64, JSON or a certificate; - for stdin',
    )
    .option('--format <format>', FORMAT_WORDS, 'auto')
    .option('--at <time>', 'the time to verify at (default: now)')
    .option('--endorsements <path>', 'collateral: a file, or a directory of them', collect)
    .option('--policy <policy>', 'a file, or the name of one that ships', 'authentic')
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
    .option('--online', 'ask vendors for endorsements that are not at hand, and keep them')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (file: string | undefined, options: Options) => {
      await verify(file, options, context)
    })
}

async function verify(
  file: string | undefined,
  options: Options,
  context: CliContext,
): Promise<void> {
  const json = options.json === true
  if (file === undefined && !json) {
    throw usage('evidence', 'give a file with evidence, or - for stdin')
  }
  if (file === undefined && (options.online === true || options.cache !== undefined)) {
    throw usage(
      'evidence',
      'a request on stdin brings its endorsements; --online and --cache want a file',
    )
  }
  const input =
    file === undefined
      ? await readRequest(await context.readStdin(), context)
      : await inputOf(file, options, context)
  const result = await appraise(input, { crypto: createCrypto(), memo: createMemo(0) })
  const name = file ?? 'request'
  context.out(json ? resultJson(result) : renderResult(result, { name, input }, context.color))
  if (result.tier !== 'affirming') context.exit(EXIT_CODES.denied)
}

async function inputOf(
  file: string,
  options: Options,
  context: CliContext,
): Promise<AppraisalInput> {
  const opened = openInput(await readInput(file, context), options.format)
  const { evidence } = opened
  const format = opened.format.id
  const now = options.at === undefined ? context.now() : parseTime(options.at)
  const binding = await bindingOf(options, context)
  const anchors = await withUnsafeAnchors(options.unsafeAnchor ?? [], format, context)
  const policy = await loadPolicy(options.policy, { format, production: false })
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
