/**
 * The enclaves that the gateway routes to: only such as a verifier affirmed, whose keyset is in the
 * log. Clients check all of that again for themselves; the gateway does it so that it never offers
 * an enclave that they would refuse.
 *
 * @packageDocumentation
 */
import { requireAffirmingMachine } from '../core/appraisal/composite.ts'
import type { Ear } from '../core/attestation-result/ear.ts'
import { utf8 } from '../core/bytes/bytes.ts'
import { fromHex, toHex } from '../core/bytes/hex.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Clock, Hasher, Random } from '../core/ports/crypto.ts'
import type { EnclaveStore, RegisteredEnclave } from '../core/ports/gateway-store.ts'
import type { BlobStore, LogAppender } from '../core/ports/log.ts'
import {
  type Keyset,
  keysetDigest,
  keysetText,
  parseKeyset,
  requireInForce,
} from '../core/sealing/keyset.ts'

/** What the registry needs from the world. */
export interface RegistryOptions {
  readonly store: EnclaveStore
  /** Checks signature, issuer and time of an EAR against configured keys. */
  readonly readEar: (token: string, now: Date) => Promise<Ear>
  readonly log: LogAppender
  readonly blobs: BlobStore
  readonly hasher: Hasher
  readonly clock: Clock
  readonly random: Random
}

/** An enclave, ready to be routed to. */
export interface Enclave extends RegisteredEnclave {
  readonly parsed: Keyset
  /** First 16 bytes of SHA-256 over each Key Config, hex: how clients name a node (§9). */
  readonly keyHashes: ReadonlySet<string>
}

export interface Registry {
  /**
   * Verifies, logs and remembers an enclave.
   *
   * @throws {@link VouchsafeError} `ERR_KEYSET_MALFORMED`, `ERR_KEYSET_REFUSED`,
   *   `ERR_RESULT_UNTRUSTED`, `ERR_RESULT_NOT_AFFIRMING`, `ERR_LOG_UNAVAILABLE`.
   */
  register(request: {
    readonly url: string
    readonly keyset: unknown
    readonly ear: string
  }): Promise<Enclave>
  /** Routes nobody there any more. @returns Whether there was such a registration. */
  remove(id: string): boolean
  /** Those in force now. */
  live(): readonly Enclave[]
  /**
   * Where in the log a keyset is that the enclave at `url` serves: the registered one or, while it
   * moves from one to the next, the one before.
   *
   * @throws {@link VouchsafeError} `ERR_UPSTREAM_UNAVAILABLE` for a keyset that never was registered.
   */
  logIndex(url: string, keysetDigest: string): number
  /**
   * One enclave for a request, spread evenly. With key hashes: one of those nodes and no other,
   * since nobody else could open it.
   *
   * @throws {@link VouchsafeError} `ERR_RESOURCE_NOT_FOUND` if none serves the model,
   *   `ERR_ENVELOPE_KEY_UNKNOWN` if some do but none has the key, `ERR_UPSTREAM_UNAVAILABLE` if there
   *   is no enclave at all.
   */
  pick(want: { readonly model?: string; readonly nodes?: readonly string[] }): Enclave
}

/** What is at one address, and what was there just before. */
interface Place {
  readonly enclave: Enclave
  readonly before: Enclave | undefined
}

/** A registry over its ports; what the store still has comes back at start. */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { store, clock, hasher } = options
  /** By URL. */
  const enclaves = new Map<string, Place>()
  const remember = async (registered: RegisteredEnclave): Promise<Enclave> => {
    const enclave = await withHashes(registered, hasher)
    const { url, logIndex } = enclave
    // Of two registrations under way at once the later leaf counts, in whatever order they end.
    const before = enclaves.get(url)
    if (before !== undefined && before.enclave.logIndex > logIndex) return enclave
    const now = unix(clock())
    for (const [other, place] of enclaves) {
      if (place.enclave.expiresAt <= now) enclaves.delete(other)
    }
    // A restarted or renewed enclave at the same address replaces what was there: its old keys are
    // still in `previous` of the new keyset if they can still open anything.
    enclaves.set(url, { enclave, before: before?.enclave })
    return enclave
  }
  for (const registered of store.live(unix(clock()))) await remember(registered)
  const live = (): readonly Enclave[] => {
    const now = unix(clock())
    return [...enclaves.values()].map(({ enclave }) => enclave).filter((e) => e.expiresAt > now)
  }
  let turn = 0
  return {
    live,
    register: async (request) => {
      const registered = await verifyAndLog(request, options)
      store.save(registered)
      return remember(registered)
    },
    remove: (id) => removeFrom(enclaves, id, store),
    logIndex: (url, keysetDigest) => logIndexOf(enclaves.get(url), keysetDigest),
    pick: ({ model, nodes }) => {
      const fitting = live().filter((enclave) => fits(enclave, model, nodes))
      const enclave = fitting[turn++ % fitting.length]
      if (enclave === undefined) throw noneFor(model, live())
      return enclave
    },
  }
}

function removeFrom(places: Map<string, Place>, id: string, store: EnclaveStore): boolean {
  const place = [...places.values()].find(({ enclave }) => enclave.id === id)
  if (place === undefined) return false
  store.remove(id)
  return places.delete(place.enclave.url)
}

function logIndexOf(place: Place | undefined, keysetDigest: string): number {
  const known = [place?.enclave, place?.before]
  const found = known.find((enclave) => enclave?.keysetDigest === keysetDigest)
  if (found !== undefined) return found.logIndex
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'gateway.keyset' } as const
  throw new VouchsafeError(blame, 'the enclave serves a keyset that it has not registered')
}

function noneFor(model: string | undefined, live: readonly Enclave[]): VouchsafeError {
  if (live.length === 0) {
    const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'gateway.node' } as const
    return new VouchsafeError(blame, 'no verified enclave is registered now')
  }
  if (model !== undefined && !live.some((enclave) => fits(enclave, model))) {
    const blame = { code: 'ERR_RESOURCE_NOT_FOUND', at: 'model' } as const
    return new VouchsafeError(
      blame,
      `no enclave serves ${model}; GET /v1/models lists what is there`,
    )
  }
  const blame = { code: 'ERR_ENVELOPE_KEY_UNKNOWN', at: 'hints.nodes' } as const
  return new VouchsafeError(blame, 'no enclave has this key now; fetch the keyset again')
}

function fits(enclave: Enclave, model?: string, nodes?: readonly string[]): boolean {
  const { models } = enclave.parsed.vouchsafe
  if (model !== undefined && !models.some(({ id }) => id === model)) return false
  return nodes === undefined || nodes.some((node) => enclave.keyHashes.has(node))
}

async function verifyAndLog(
  request: { readonly url: string; readonly keyset: unknown; readonly ear: string },
  { readEar, log, blobs, hasher, clock, random }: RegistryOptions,
): Promise<RegisteredEnclave> {
  const now = clock()
  const url = checkUrl(request.url)
  const keyset = parseKeyset(request.keyset)
  requireInForce(keyset, now)
  const digest = await keysetDigest(keyset, hasher)
  const ear = await readEar(request.ear, now)
  requireAffirmingMachine(ear.results)
  if (ear.keysetDigest !== digest) {
    const blame = { code: 'ERR_KEYSET_REFUSED', at: 'body.keyset' } as const
    throw new VouchsafeError(blame, 'the EAR vouches for another keyset')
  }
  const text = keysetText(keyset)
  const [, earDigest] = await Promise.all([blobs.put(utf8(text)), blobs.put(utf8(request.ear))])
  const { index } = await log.append({
    v: 1,
    type: 'keyset',
    time: unix(now),
    keyset: digest,
    ear: earDigest,
    not_after: keyset.not_after,
    models: keyset.vouchsafe.models,
  })
  return {
    id: `node_${toHex(random(8))}`,
    url,
    keysetDigest: digest,
    keyset: text,
    ear: request.ear,
    logIndex: index,
    expiresAt: Math.min(keyset.not_after, unix(ear.expiresAt)),
  }
}

/** An origin and nothing more: what an enclave says must not choose paths or credentials for us. */
function checkUrl(text: string): string {
  const blame = { code: 'ERR_REQUEST_INVALID', at: 'body.url' } as const
  if (!URL.canParse(text)) throw new VouchsafeError(blame, 'not a URL')
  const { protocol, origin, pathname, search, hash, username, password } = new URL(text)
  const plain = pathname === '/' && `${search}${hash}${username}${password}` === ''
  if (!plain || !['http:', 'https:'].includes(protocol)) {
    throw new VouchsafeError(blame, 'want an http or https origin without path or credentials')
  }
  return origin
}

async function withHashes(registered: RegisteredEnclave, hasher: Hasher): Promise<Enclave> {
  const parsed = parseKeyset(JSON.parse(registered.keyset))
  const blame = { code: 'ERR_KEYSET_MALFORMED', at: 'keyset.e2ee_public_keys' } as const
  const hashes = await Promise.all(
    parsed.e2ee_public_keys.map(async ({ public_key }) => {
      const digest = await hasher.digest('SHA-256', fromHex(public_key, blame))
      return toHex(digest.subarray(0, 16))
    }),
  )
  return { ...registered, parsed, keyHashes: new Set(hashes) }
}

function unix(time: Date): number {
  return Math.floor(time.getTime() / 1000)
}
