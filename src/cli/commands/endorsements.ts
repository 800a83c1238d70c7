/** `vouchsafe endorsements`: fetch them, carry them over an air gap, see how current they are. @packageDocumentation */
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { toHex } from '../../core/bytes/hex.ts'
import { decodePem, encodePem } from '../../core/encoding/pem.ts'
import { encodeBundle, openBundle } from '../../core/endorsements/bundle.ts'
import { endorsementsToJson, NO_ENDORSEMENTS } from '../../core/endorsements/endorsement-set.ts'
import { describeNeed, type EndorsementNeed, needKey } from '../../core/endorsements/needs.ts'
import { withShipped } from '../../core/endorsements/shipped.ts'
import type { VouchsafeError } from '../../core/errors.ts'
import type { VerifyingKey } from '../../core/ports/crypto.ts'
import type { Endorsement, EndorsementService } from '../../core/ports/endorsement-service.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { createOnlineSource } from '../../drivers/endorsements/online.ts'
import { openSigner } from '../../drivers/signer/file.ts'
import type { CliContext } from '../context.ts'
import {
  type CacheFlags,
  needOptions,
  openServices,
  parseDuration,
  type ServiceFlags,
  withCacheFlag,
  withServiceFlags,
} from '../endorsement-services.ts'
import { registerStatus } from '../endorsement-status.ts'
import { openInput, readInput, usage } from '../inputs.ts'
import { createDirectory } from '../new-directory.ts'
import { clean, table } from '../output.ts'

interface FetchFlags extends ServiceFlags {
  readonly format: string
  readonly out?: string
  readonly fresh?: boolean
}

/** RFC 8410 §4: everything before the 32 bytes of an Ed25519 key. */
const ED25519_SPKI = '302a300506032b6570032100'
const DAY_SECONDS = 86_400

export function register(program: Command, context: CliContext): void {
  const parent = program
    .command('endorsements')
    .description('fetch vendor endorsements, carry them over an air gap, see how current they are')
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
  withCacheFlag(parent.command('export'))
    .description('write everything that is current into one signed file')
    .argument('<file>', 'the bundle')
    .requiredOption('--key <file>', 'Ed25519 key that signs it; made if absent, with FILE.pub')
    .action(async (file: string, flags: CacheFlags & { readonly key: string }) =>
      exportBundle(file, flags, context),
    )
  withCacheFlag(parent.command('import'))
    .description('keep what a signed bundle holds')
    .argument('<file>', 'the bundle; - for stdin')
    .requiredOption('--signer <file>', 'public key that must have signed it, in PEM')
    .option('--max-age <time>', 'refuse a bundle that is older: 12h, 7d')
    .action(async (file: string, flags: ImportFlags) => importBundle(file, flags, context))
  registerStatus(parent, context)
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

async function exportBundle(
  file: string,
  flags: CacheFlags & { readonly key: string },
  context: CliContext,
): Promise<void> {
  const keys = [flags.key, `${flags.key}.pub`].map((one) => resolve(one))
  if (keys.includes(resolve(file))) {
    throw usage('file', `${file} is where the key that signs it is; write the bundle elsewhere`)
  }
  const signer = openSigner(flags.key, 'Ed25519')
  await writeFile(`${flags.key}.pub`, encodePem(signer.key.spki, 'PUBLIC KEY'))
  const services = await openServices(flags, context, { use: 'cache' })
  try {
    const now = context.now()
    const all = await services.cache.list()
    // What is out of date already would be refused by whoever imports it, or believed by nobody.
    const items = all.filter(({ validUntil }) => validUntil === undefined || now <= validUntil)
    if (items.length === 0)
      throw usage('cache', 'nothing current in the cache; fetch something first')
    await writeFile(file, await encodeBundle({ createdAt: now, items }, signer))
    const left = all.length - items.length
    context.out(
      `${items.length} endorsements, ${left} left out as out of date\nsigned by ${signer.kid} (${flags.key}.pub)\n`,
    )
  } finally {
    await services.close()
  }
}

interface ImportFlags extends CacheFlags {
  readonly signer: string
  readonly maxAge?: string
}

async function importBundle(file: string, flags: ImportFlags, context: CliContext): Promise<void> {
  const now = context.now()
  const signer = await readPublicKey(flags.signer, context)
  const maxAgeSeconds =
    flags.maxAge === undefined ? undefined : parseDuration(flags.maxAge, 'max-age')
  const bytes = await readInput(file, context)
  const bundle = await openBundle(bytes, { signer, now, maxAgeSeconds }, createCrypto())
  const services = await openServices(flags, context, { use: 'cache' })
  let kept = 0
  try {
    for (const item of bundle.items) {
      if (await services.service.keep(item)) kept++
    }
  } finally {
    await services.close()
  }
  const older = bundle.items.length - kept
  const leftOut = older === 0 ? '' : `, ${older} left out as older than what is there`
  const days = (now.getTime() - bundle.createdAt.getTime()) / 1000 / DAY_SECONDS
  context.out(
    `${kept} endorsements${leftOut}, exported ${bundle.createdAt.toISOString()}, ${days.toFixed(1)} days ago\n`,
  )
}

async function readPublicKey(file: string, context: CliContext): Promise<VerifyingKey> {
  const text = new TextDecoder().decode(await readInput(file, context))
  const [spki, ...more] = decodePem(text, 'PUBLIC KEY', {
    code: 'ERR_USAGE_INVALID',
    at: 'cli.signer',
  })
  const fits = spki?.length === 44 && toHex(spki).startsWith(ED25519_SPKI)
  if (spki === undefined || !fits || more.length > 0) {
    throw usage('signer', `${file} holds no Ed25519 public key`)
  }
  return { alg: 'Ed25519', spki }
}
