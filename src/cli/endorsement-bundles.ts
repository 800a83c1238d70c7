/** `vouchsafe endorsements export` and `import`: over an air gap in one signed file. @packageDocumentation */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { toHex } from '../core/bytes/hex.ts'
import { decodePem, encodePem } from '../core/encoding/pem.ts'
import { BUNDLE_LIMITS, encodeBundle, openBundle } from '../core/endorsements/bundle.ts'
import { describeNeed } from '../core/endorsements/needs.ts'
import type { VerifyingKey } from '../core/ports/crypto.ts'
import type { CachedEndorsement } from '../core/ports/endorsement-cache.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { openSigner } from '../drivers/signer/file.ts'
import type { CliContext } from './context.ts'
import {
  type CacheFlags,
  openServices,
  parseDuration,
  withCacheFlag,
} from './endorsement-services.ts'
import { readInput } from './inputs.ts'
import { jsonText } from './output.ts'
import { createFile, replaceFile, requireRoom } from './output-file.ts'
import { usage } from './usage.ts'

interface ExportFlags extends CacheFlags {
  readonly key: string
  readonly since?: string
  readonly json?: boolean
}

interface ImportFlags extends CacheFlags {
  readonly signer: string
  readonly maxAge?: string
  readonly json?: boolean
}

/** What of a cache goes into a bundle, and how much is left out for which reason. */
interface Choice {
  readonly items: readonly CachedEndorsement[]
  readonly expired: number
  readonly older: number
  readonly future: readonly CachedEndorsement[]
}

/** RFC 8410 §4: everything before the 32 bytes of an Ed25519 key. */
const ED25519_SPKI = '302a300506032b6570032100'
const DAY_SECONDS = 86_400
const EXPORT_HELP = `
Left out: what is out of date, and what a clock that was ahead has fetched. A bundle holds
${BUNDLE_LIMITS.items} endorsements and ${BUNDLE_LIMITS.bytes} bytes; of a cache with more, --since takes the newest.

--json: {"bundle", "created_at", "endorsements", "left_out": {"expired", "older", "future"}, "signed_by",
"public_key"}; how many, and when in Unix seconds.`
const IMPORT_HELP = `
Left out: what is older than what is there, or unsigned where that is signed by its vendor.

--json: {"endorsements", "left_out", "created_at", "age_seconds"}; how many, and when in Unix seconds.`

/** Adds the commands. */
export function registerBundles(parent: Command, context: CliContext): void {
  withCacheFlag(parent.command('export'))
    .description('write everything that is current into one signed file')
    .argument('<file>', 'the bundle')
    .requiredOption('--key <file>', 'Ed25519 key that signs it; made if absent, with FILE.pub')
    .option('--since <time>', 'only what was fetched in the last: 12h, 7d')
    .option('--json', 'print JSON')
    .addHelpText('after', EXPORT_HELP)
    .action(async (file: string, flags: ExportFlags) => exportBundle(file, flags, context))
  withCacheFlag(parent.command('import'))
    .description('keep what a signed bundle holds')
    .argument('<file>', 'the bundle; - for stdin')
    .requiredOption('--signer <file>', 'public key that must have signed it, in PEM')
    .option('--max-age <time>', 'refuse a bundle that is older: 12h, 7d')
    .option('--json', 'print JSON')
    .addHelpText('after', IMPORT_HELP)
    .action(async (file: string, flags: ImportFlags) => importBundle(file, flags, context))
}

async function exportBundle(file: string, flags: ExportFlags, context: CliContext): Promise<void> {
  const since = flags.since === undefined ? undefined : parseDuration(flags.since, 'since')
  const publicFile = `${flags.key}.pub`
  for (const key of [flags.key, publicFile]) {
    if (await areSame(key, file)) {
      throw usage('file', `${file} is where the key that signs it is; write the bundle elsewhere`)
    }
  }
  await requireRoom(file, { flag: 'file', replace: true })
  const signer = openSigner(flags.key, 'Ed25519')
  await keepPublicKey(publicFile, encodePem(signer.key.spki, 'PUBLIC KEY'), context)
  const services = await openServices(flags, context, { use: 'cache' })
  try {
    const createdAt = context.now()
    const chosen = choose(await services.cache.list(), createdAt, since)
    warn(chosen, context)
    if (chosen.items.length === 0)
      throw usage('cache', 'nothing current in the cache; fetch something first')
    const text = await encodeBundle({ createdAt, items: chosen.items }, signer)
    await replaceFile(file, text, 'file')
    const made = { file, createdAt, signer: signer.kid, publicFile }
    context.out(flags.json === true ? exportJson(made, chosen) : exportText(made, chosen))
  } finally {
    await services.close()
  }
}

interface Made {
  readonly file: string
  readonly createdAt: Date
  readonly signer: string
  readonly publicFile: string
}

function exportText({ signer, publicFile }: Made, { items, expired, older }: Choice): string {
  const earlier = older === 0 ? '' : `, ${older} as fetched earlier`
  const counts = `${items.length} endorsements, ${expired} left out as out of date${earlier}`
  return `${counts}\nsigned by ${signer} (${publicFile})\n`
}

function exportJson(made: Made, { items, expired, older, future }: Choice): string {
  return jsonText({
    bundle: resolve(made.file),
    created_at: unix(made.createdAt),
    endorsements: items.length,
    left_out: { expired, older, future: future.length },
    signed_by: made.signer,
    public_key: resolve(made.publicFile),
  })
}

function unix(time: Date): number {
  return Math.floor(time.getTime() / 1000)
}

/** What is out of date or of the future would be refused by whoever imports it, or believed by nobody. */
function choose(
  all: readonly CachedEndorsement[],
  now: Date,
  sinceSeconds: number | undefined,
): Choice {
  const future = all.filter(({ fetchedAt }) => fetchedAt > now)
  const past = all.filter(({ fetchedAt }) => fetchedAt <= now)
  const current = past.filter(({ validUntil }) => validUntil === undefined || now <= validUntil)
  const from = sinceSeconds === undefined ? undefined : now.getTime() - sinceSeconds * 1000
  const items = current.filter(({ fetchedAt }) => from === undefined || fetchedAt.getTime() >= from)
  return {
    items,
    expired: past.length - current.length,
    older: current.length - items.length,
    future,
  }
}

function warn({ future: [first, ...more] }: Choice, context: CliContext): void {
  if (first === undefined) return
  const others = more.length === 0 ? '' : ` and ${more.length} others`
  const what = `${describeNeed(first.need)}${others}`
  const when = first.fetchedAt.toISOString()
  context.err(`note: left out, fetched by a clock that was ahead (${when}): ${what}; fetch again\n`)
}

async function areSame(one: string, other: string): Promise<boolean> {
  if (resolve(one) === resolve(other)) return true
  const [a, b] = await Promise.all(
    [one, other].map(async (file) => stat(file).catch(() => undefined)),
  )
  // By any name: a link to the key is the key.
  return a !== undefined && a.ino === b?.ino && a.dev === b.dev
}

/** Beside its key; what somebody else has put there is neither replaced nor written through. */
async function keepPublicKey(file: string, pem: string, context: CliContext): Promise<void> {
  try {
    await createFile(file, pem, 'key')
  } catch (cause) {
    const found = await readInput(file, context).catch(() => undefined)
    if (found === undefined) throw cause
    if (new TextDecoder().decode(found) === pem) return
    throw usage('key', `${file} is not the public half of the key; move it away`, cause)
  }
}

async function importBundle(file: string, flags: ImportFlags, context: CliContext): Promise<void> {
  const now = context.now()
  const maxAgeSeconds =
    flags.maxAge === undefined ? undefined : parseDuration(flags.maxAge, 'max-age')
  const signer = await readPublicKey(flags.signer, context)
  const bytes = await readInput(file, context, BUNDLE_LIMITS.bytes)
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
  const { createdAt, items } = bundle
  const age = Math.max(0, unix(now) - unix(createdAt))
  if (flags.json === true) {
    const about = { created_at: unix(createdAt), age_seconds: age }
    context.out(jsonText({ endorsements: kept, left_out: items.length - kept, ...about }))
    return
  }
  const days = (age / DAY_SECONDS).toFixed(1)
  const when = `exported ${createdAt.toISOString()}, ${days} days ago`
  const others = items.length - kept
  const leftOut = others === 0 ? '' : `, ${others} left out for what is there`
  context.out(`${kept} endorsements${leftOut}, ${when}\n`)
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
