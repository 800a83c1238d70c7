/** Vendors' services and their cache, as flags name them. @packageDocumentation */
import { dirname, join } from 'node:path'
import { type Command, Option } from 'commander'
import { VENDOR_ANCHORS } from '../core/endorsements/anchors.ts'
import type { TcbFeed } from '../core/endorsements/needs.ts'
import type { NeedOptions } from '../core/endorsements/needs-of.ts'
import { PRODUCTS, type Product } from '../core/evidence/sev-snp/tcb.ts'
import { systemRandom } from '../drivers/random.ts'
import type { EndorsementServices } from '../main/endorsements.ts'
import type { CliContext } from './context.ts'
import { makeDirectory } from './new-directory.ts'
import { usage } from './usage.ts'

export interface CacheFlags {
  readonly cache?: string
}

export interface ServiceFlags extends CacheFlags {
  readonly pcs?: string
  readonly pcsApiKey?: string
  readonly rootCrl?: string
  readonly kds?: string
  readonly nvidiaRim?: string
  readonly nvidiaOcsp?: string
  readonly nvidiaOcspNonce?: 'required' | 'optional'
  readonly feed?: TcbFeed
  readonly product?: Product
}

/** What is opened, and what for. */
interface Opening {
  readonly use: 'cache' | 'online'
  /** Ask for everything, and replace what is kept. */
  readonly fresh?: boolean
  /** Only to look: a cache that cannot be written will do, and none is made. */
  readonly orReadOnly?: boolean
}

/** Long enough for a hundred VCEKs at AMD's pace: nobody waits behind this one. */
const WAIT_SECONDS = 1_000
const DURATION = /^(\d{1,9})(s|m|h|d)?$/
/** From any time of today it is one that dates can say. */
const MAX_SECONDS = 36_525 * 86_400
const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const

/** Adds `--cache`. */
export function withCacheFlag(command: Command): Command {
  return command.option(
    '--cache <file>',
    'of fetched endorsements (default: vouchsafe/endorsements.sqlite in the cache directory)',
  )
}

/** Adds what says which services are asked. */
export function withServiceFlags(command: Command): Command {
  return withCacheFlag(command)
    .option('--pcs <url>', "Intel PCS or a PCCS (default: Intel's)")
    .option('--pcs-api-key <file>', 'key for PCK certificates')
    .option('--root-crl <url>', "CRL of Intel's root (default: Intel's)")
    .option('--kds <url>', "AMD KDS (default: AMD's)")
    .option('--nvidia-rim <url>', "manifests of NVIDIA's devices (default: NVIDIA's)")
    .option('--nvidia-ocsp <url>', "OCSP responder (default: NVIDIA's)")
    .addOption(
      new Option('--nvidia-ocsp-nonce <want>', 'of its answers (default: required)').choices([
        'required',
        'optional',
      ]),
    )
    .addOption(new Option('--feed <feed>', 'of Intel').choices(['standard', 'early']))
    .addOption(
      new Option('--product <product>', 'of SEV-SNP reports that do not say').choices(PRODUCTS),
    )
}

/**
 * Opens the cache, and the services behind it if `use` says so. Close it when done.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` for a URL that cannot be used,
 *   `ERR_STATE_INVALID` for a cache that cannot be opened.
 */
export async function openServices(
  flags: ServiceFlags,
  context: CliContext,
  { use, fresh = false, orReadOnly = false }: Opening,
): Promise<EndorsementServices> {
  // Loaded when it is asked for: most commands that could need no network and no database.
  const { defaultEndorsementSettings, openEndorsementServices } = await import(
    '../main/endorsements.ts'
  )
  const { pcs, pcsApiKey, rootCrl, kds, nvidiaRim, nvidiaOcsp, nvidiaOcspNonce } = flags
  const path = cachePath(flags, context)
  if (!orReadOnly) await makeDirectory(dirname(path), { flag: 'cache', mode: 0o700 })
  const settings = {
    ...defaultEndorsementSettings(),
    use,
    waitSeconds: WAIT_SECONDS,
    ...needOptions(flags).settings,
    ...(pcs !== undefined && { pcs }),
    ...(pcsApiKey !== undefined && { pcsApiKey }),
    ...(rootCrl !== undefined && { intelRootCrl: rootCrl }),
    ...(kds !== undefined && { kds }),
    ...(nvidiaRim !== undefined && { nvidiaRim }),
    ...(nvidiaOcsp !== undefined && { nvidiaOcsp }),
    ...(nvidiaOcspNonce !== undefined && { nvidiaOcspNonce }),
  }
  return openEndorsementServices(settings, {
    cachePath: path,
    anchors: VENDOR_ANCHORS,
    clock: () => context.now(),
    random: systemRandom,
    onFault: (error) => {
      context.err(`note: ${error instanceof Error ? error.message : String(error)}\n`)
    },
    fresh,
    orReadOnly,
  })
}

/** What evidence does not say, from flags. */
export function needOptions({ feed, product }: ServiceFlags): {
  readonly needs: Partial<NeedOptions>
  readonly settings: { readonly tcbFeed?: TcbFeed }
} {
  return {
    needs: { ...(product !== undefined && { assumeProduct: product }) },
    settings: { ...(feed !== undefined && { tcbFeed: feed }) },
  }
}

/** `90`, `90s`, `15m`, `12h` or `7d`, in seconds. */
export function parseDuration(text: string, flag: string): number {
  const [, count, unit = 's'] = DURATION.exec(text) ?? []
  if (count === undefined) throw usage(flag, `${text} is no time span; use 90s, 15m, 12h or 7d`)
  const seconds = Number(count) * SECONDS[unit as keyof typeof SECONDS]
  if (seconds > MAX_SECONDS) throw usage(flag, `${text} is over a hundred years; use 7d or 365d`)
  return seconds
}

function cachePath({ cache }: CacheFlags, { env }: CliContext): string {
  const base = env['XDG_CACHE_HOME'] ?? (env['HOME'] && join(env['HOME'], '.cache'))
  const path = cache ?? (base && join(base, 'vouchsafe', 'endorsements.sqlite'))
  if (path === undefined) throw usage('cache', 'no home directory; say where with --cache FILE')
  return path
}
