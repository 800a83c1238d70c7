/** `vouchsafe endorsements fetch`: what vendors say about the hardware that evidence is of. @packageDocumentation */
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { toHex } from '../core/bytes/hex.ts'
import { endorsementsToJson, NO_ENDORSEMENTS } from '../core/endorsements/endorsement-set.ts'
import { describeNeed, type EndorsementNeed, needKey } from '../core/endorsements/needs.ts'
import { withShipped } from '../core/endorsements/shipped.ts'
import { EXIT_CODES, type VouchsafeError } from '../core/errors.ts'
import type { FormatId } from '../core/evidence/common/format-ids.ts'
import type { Endorsement, EndorsementService } from '../core/ports/endorsement-service.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { createOnlineSource } from '../drivers/endorsements/online.ts'
import type { CliContext } from './context.ts'
import {
  needOptions,
  openServices,
  type ServiceFlags,
  withServiceFlags,
} from './endorsement-services.ts'
import { openInput, readInput } from './inputs.ts'
import { createDirectory } from './new-directory.ts'
import { clean, errorJson, jsonText, table } from './output.ts'
import { createFile } from './output-file.ts'

interface FetchFlags extends ServiceFlags {
  readonly format: string
  readonly out?: string
  readonly fresh?: boolean
  readonly json?: boolean
}

interface Subject {
  readonly format: FormatId
  readonly evidence: Uint8Array
}

const HELP = `
--json: {"endorsements": [{"need", "valid_until", "error"}], "out"}. Times are Unix seconds, null for what
never goes out of date; "error" is null or {"code", "at", "detail"}, and decides the exit code.`

/** Adds the command. */
export function registerFetch(parent: Command, context: CliContext): void {
  withServiceFlags(parent.command('fetch'))
    .description('ask vendors for what evidence needs, and keep it')
    .argument('<evidence...>', 'files with evidence; - for stdin')
    .option(
      '--format <format>',
      'auto, tdx, sgx, sev-snp, azure-tdx-vtpm, azure-snp-vtpm, nvidia-gpu or nvidia-switch',
      'auto',
    )
    .option('--out <directory>', 'also write them there, for verify --endorsements')
    .option('--fresh', 'ask for everything, and replace what is kept')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (files: readonly string[], flags: FetchFlags) => fetchAll(files, flags, context))
}

async function fetchAll(
  files: readonly string[],
  flags: FetchFlags,
  context: CliContext,
): Promise<void> {
  // All of it before anybody is asked: vendors' patience is not spent on a mistyped name.
  const subjects: Subject[] = []
  for (const file of files) {
    const { format, evidence } = openInput(await readInput(file, context), flags.format)
    subjects.push({ format: format.id, evidence })
  }
  const fetched =
    flags.out === undefined
      ? await ask(subjects, flags, context)
      : await createDirectory(flags.out, async (directory) => {
          const answers = await ask(subjects, flags, context)
          await writeAll(directory, answers)
          return answers
        })
  report(fetched, flags, context)
}

/** What failed is in the list; the others are worth having all the same. */
async function ask(
  subjects: readonly Subject[],
  flags: FetchFlags,
  context: CliContext,
): Promise<readonly Fetched[]> {
  const services = await openServices(flags, context, {
    use: 'online',
    fresh: flags.fresh === true,
  })
  const results = new Map<string, Fetched>()
  try {
    const source = createOnlineSource({
      service: recording(services.service, results),
      local: { endorsementsFor: async () => NO_ENDORSEMENTS },
      clock: () => context.now(),
      needs: {
        crypto: createCrypto(),
        feed: flags.feed ?? 'standard',
        ...needOptions(flags).needs,
      },
    })
    for (const { format, evidence } of subjects) {
      const given = withShipped(format, NO_ENDORSEMENTS)
      await source.endorsementsFor({ format, evidence, given }).catch(ignoreRecorded(results))
    }
  } finally {
    await services.close()
  }
  return [...results.values()]
}

function report(fetched: readonly Fetched[], flags: FetchFlags, context: CliContext): void {
  if (fetched.length === 0) {
    context.err('note: the evidence needs nothing that a vendor could be asked for\n')
  }
  const failed = fetched.find((result) => 'error' in result)
  if (flags.json !== true) {
    context.out(table(fetched.map(fetchedRow)))
    if (failed !== undefined && 'error' in failed) throw failed.error
    return
  }
  const out = flags.out === undefined ? null : resolve(flags.out)
  context.out(jsonText({ endorsements: fetched.map(fetchedJson), out }))
  // Thrown, it would be a second value on stdout.
  if (failed !== undefined && 'error' in failed) context.exit(EXIT_CODES[failed.error.kind])
}

type Fetched =
  | { readonly need: EndorsementNeed; readonly answer: Endorsement }
  | { readonly need: EndorsementNeed; readonly error: VouchsafeError }

function recording(service: EndorsementService, results: Map<string, Fetched>): EndorsementService {
  return {
    fetchEndorsement: async (need) => {
      try {
        const answer = await service.fetchEndorsement(need)
        results.set(needKey(need), { need, answer })
        return answer
      } catch (error) {
        results.set(needKey(need), { need, error: error as VouchsafeError })
        throw error
      }
    },
  }
}

function ignoreRecorded(results: ReadonlyMap<string, Fetched>): (error: unknown) => void {
  return (error) => {
    const known = [...results.values()].some(
      (result) => 'error' in result && result.error === error,
    )
    if (!known) throw error
  }
}

function fetchedRow(result: Fetched): readonly string[] {
  const what = describeNeed(result.need)
  if ('error' in result) return ['failed', what, clean(result.error.message)]
  const { validUntil } = result.answer
  return ['ok', what, validUntil === undefined ? 'for ever' : `until ${validUntil.toISOString()}`]
}

function fetchedJson(result: Fetched): object {
  const { need } = result
  if ('error' in result) return { need, valid_until: null, error: errorJson(result.error) }
  const { validUntil } = result.answer
  const seconds = validUntil === undefined ? null : Math.floor(validUntil.getTime() / 1000)
  return { need, valid_until: seconds, error: null }
}

async function writeAll(directory: string, results: readonly Fetched[]): Promise<void> {
  const crypto = createCrypto()
  for (const result of results) {
    if ('error' in result) continue
    const { need, answer } = result
    const digest = await crypto.digest('SHA-256', new TextEncoder().encode(needKey(need)))
    const name = `${need.kind}-${toHex(digest.subarray(0, 6))}.json`
    const text = jsonText(endorsementsToJson(answer.endorsements))
    await createFile(join(directory, name), text, 'out')
  }
}
