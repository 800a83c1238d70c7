/** `vouchsafe endorsements fetch`: what vendors say about the hardware that evidence is of. @packageDocumentation */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { toHex } from '../core/bytes/hex.ts'
import { endorsementsToJson, NO_ENDORSEMENTS } from '../core/endorsements/endorsement-set.ts'
import { describeNeed, type EndorsementNeed, needKey } from '../core/endorsements/needs.ts'
import { withShipped } from '../core/endorsements/shipped.ts'
import type { VouchsafeError } from '../core/errors.ts'
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
import { clean, table } from './output.ts'

interface FetchFlags extends ServiceFlags {
  readonly format: string
  readonly out?: string
  readonly fresh?: boolean
}

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
    .action(async (files: readonly string[], flags: FetchFlags) => fetchAll(files, flags, context))
}

async function fetchAll(
  files: readonly string[],
  flags: FetchFlags,
  context: CliContext,
): Promise<void> {
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
    for (const file of files) {
      const opened = openInput(await readInput(file, context), flags.format)
      const { evidence } = opened
      const format = opened.format.id
      const given = withShipped(format, NO_ENDORSEMENTS)
      // What failed is in the list; the others are worth having all the same.
      await source.endorsementsFor({ format, evidence, given }).catch(ignoreRecorded(results))
    }
  } finally {
    await services.close()
  }
  const all = [...results.values()]
  context.out(table(all.map(fetchedRow)))
  if (all.length === 0)
    context.err('note: the evidence needs nothing that a vendor could be asked for\n')
  if (flags.out !== undefined) await writeAll(flags.out, all)
  const failed = all.find((result) => 'error' in result)
  if (failed !== undefined && 'error' in failed) throw failed.error
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

async function writeAll(target: string, results: readonly Fetched[]): Promise<void> {
  const crypto = createCrypto()
  await createDirectory(target, async (directory) => {
    for (const result of results) {
      if ('error' in result) continue
      const { need, answer } = result
      const digest = await crypto.digest('SHA-256', new TextEncoder().encode(needKey(need)))
      const name = `${need.kind}-${toHex(digest.subarray(0, 6))}.json`
      const text = JSON.stringify(endorsementsToJson(answer.endorsements), null, 2)
      await writeFile(join(directory, name), `${text}\n`)
    }
  })
}
