/** Vendors' services on their drivers, behind one cache. @packageDocumentation */
import { setTimeout } from 'node:timers/promises'
import type { TrustAnchors } from '../core/endorsements/anchors.ts'
import { type EndorsementNeed, vendorOf } from '../core/endorsements/needs.ts'
import type { NeedOptions } from '../core/endorsements/needs-of.ts'
import { isProven } from '../core/endorsements/proven.ts'
import { type EndorsementEndpoints, parseBaseUrl } from '../core/endorsements/urls.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Clock, Random } from '../core/ports/crypto.ts'
import type { EndorsementCache } from '../core/ports/endorsement-cache.ts'
import type { EndorsementService } from '../core/ports/endorsement-service.ts'
import type { EndorsementSource } from '../core/ports/endorsement-source.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { createAmdKds } from '../drivers/endorsements/amd-kds.ts'
import {
  type CachingService,
  type CachingSettings,
  createCachingService,
  DEFAULT_CACHING,
} from '../drivers/endorsements/caching.ts'
import { createIntelPcs } from '../drivers/endorsements/intel-pcs.ts'
import { createNvidia } from '../drivers/endorsements/nvidia.ts'
import { createOnlineSource } from '../drivers/endorsements/online.ts'
import { createPoliteGetter, DEFAULT_POLITE_LIMITS } from '../drivers/endorsements/polite.ts'
import { createHttpClient } from '../drivers/http.ts'
import { readSecretFile } from '../drivers/signer/file.ts'
import { openEndorsementCache } from '../drivers/store/sqlite/endorsements.ts'
import type { EndorsementServiceSettings } from '../verifier/config.ts'
import { parseConfig } from './config.ts'

export interface EndorsementTools {
  readonly cachePath: string
  readonly clock: Clock
  readonly random: Random
  /** Told of what goes wrong in the background. */
  readonly onFault: (error: unknown) => void
  /** Whose signatures make an answer one to keep; VENDOR_ANCHORS everywhere but in tests. */
  readonly anchors: TrustAnchors
  /** Ask for everything, and replace what is kept. */
  readonly fresh?: boolean
  /** Open a cache that cannot be written all the same, and make none. */
  readonly orReadOnly?: boolean
}

/** Services and their cache, opened. */
export interface EndorsementServices {
  readonly service: CachingService
  readonly cache: EndorsementCache
  /** Vendors' answers besides what `local` has. */
  sourceOver(local: EndorsementSource, needs?: Partial<NeedOptions>): EndorsementSource
  close(): Promise<void>
}

const REFRESH_EVERY_MS = 5 * 60_000

/** What a configuration file that says nothing stands for. */
export function defaultEndorsementSettings(): EndorsementServiceSettings {
  return parseConfig({ file: 'defaults', text: '{}' }).verifier.endorsementServices
}

/**
 * Opens the cache, and the services behind it if the settings say `online`.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` for a URL that is none, `ERR_STATE_INVALID` for
 *   a cache or key file that cannot be used.
 */
export function openEndorsementServices(
  settings: EndorsementServiceSettings,
  tools: EndorsementTools,
): EndorsementServices {
  const vendors = settings.use === 'online' ? openVendors(settings, tools) : undefined
  const cache = openEndorsementCache(tools.cachePath, {
    clock: tools.clock,
    orReadOnly: tools.orReadOnly === true,
  })
  const proof = { anchors: tools.anchors, crypto: createCrypto() }
  const service = createCachingService({
    ...tools,
    service: vendors?.service,
    isProven: async ({ need, endorsements }) => isProven(need, endorsements, proof),
    cache: tools.fresh === true ? { ...cache, get: () => undefined } : cache,
    settings: cachingSettings(settings),
  })
  const timer = setInterval(() => void service.refreshDue(), REFRESH_EVERY_MS)
  timer.unref()
  return {
    service,
    cache,
    sourceOver: (local, needs) =>
      createOnlineSource({
        service,
        local,
        clock: tools.clock,
        needs: { crypto: createCrypto(), feed: settings.tcbFeed, ...needs },
      }),
    close: async () => {
      clearInterval(timer)
      await vendors?.close()
      cache.close()
    },
  }
}

/** @throws {@link VouchsafeError} `ERR_CONFIG_INVALID`, naming the setting. */
export function endpointsOf(settings: EndorsementServiceSettings): EndorsementEndpoints {
  const checked = (name: keyof EndorsementEndpoints): string =>
    parseBaseUrl(settings[name], {
      code: 'ERR_CONFIG_INVALID',
      at: `verifier.endorsementServices.${name}`,
    })
  return {
    pcs: checked('pcs'),
    intelRootCrl: checked('intelRootCrl'),
    kds: checked('kds'),
    nvidiaRim: checked('nvidiaRim'),
    nvidiaOcsp: checked('nvidiaOcsp'),
  }
}

function cachingSettings({
  refreshSeconds,
  maxAgeSeconds,
  allowExpiredSeconds,
}: EndorsementServiceSettings): CachingSettings {
  return {
    ...DEFAULT_CACHING,
    refreshMs: refreshSeconds * 1000,
    maxAgeMs: maxAgeSeconds === undefined ? undefined : maxAgeSeconds * 1000,
    allowExpiredMs: allowExpiredSeconds * 1000,
  }
}

function openVendors(
  settings: EndorsementServiceSettings,
  { clock, random }: EndorsementTools,
): { readonly service: EndorsementService; close(): Promise<void> } {
  const endpoints = endpointsOf(settings)
  const apiKey = settings.pcsApiKey && readSecretFile(settings.pcsApiKey).trim()
  const client = createHttpClient()
  const stop = new AbortController()
  const http: Pick<typeof client, 'fetch'> = {
    fetch: async (request) => client.fetch({ ...request, signal: stop.signal }),
  }
  const tools = { http, clock, random, sleep: async (ms: number) => sleep(ms, stop.signal) }
  const getter = (name: string, scarceEveryMs = 0) =>
    createPoliteGetter(name, { ...politeLimits(settings), scarceEveryMs }, tools)
  const kds = getter('amd-kds', settings.kdsEverySeconds * 1000)
  const [rim, ocsp] = [getter('nvidia-rim'), getter('nvidia-ocsp')]
  const vendors = {
    intel: createIntelPcs({ http: getter('intel-pcs'), endpoints, clock, apiKey }),
    amd: createAmdKds({ http: kds, endpoints, clock }),
    nvidia: createNvidia({
      rim,
      ocsp,
      endpoints,
      clock,
      random,
      ocspNonce: settings.nvidiaOcspNonce,
    }),
  }
  return {
    service: {
      fetchEndorsement: async (need: EndorsementNeed) =>
        vendors[vendorOf(need)].fetchEndorsement(need),
    },
    close: async () => {
      // What still waits for a turn is for nobody any more.
      stop.abort()
      await client.close()
    },
  }
}

function politeLimits({
  attemptSeconds,
  waitSeconds,
}: EndorsementServiceSettings): typeof DEFAULT_POLITE_LIMITS {
  return {
    ...DEFAULT_POLITE_LIMITS,
    attemptMs: attemptSeconds * 1000,
    maxWaitMs: waitSeconds * 1000,
  }
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(ms, undefined, { signal })
  } catch (cause) {
    const blame = { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'endorsements.closed' } as const
    throw new VouchsafeError(blame, 'the service is closing', { cause })
  }
}
