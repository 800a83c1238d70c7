/**
 * What this enclave may say of itself at the moment: a keyset that was attested, and until when its
 * keys are leased. It is replaced as a whole by every renewal, and gone when the lease is.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import type { Hasher } from '../core/ports/crypto.ts'
import type { SealingCrypto } from '../core/ports/sealing.ts'
import { type BootKeys, makeKeyset, type NamedKeyset } from './boot-keys.ts'
import type { Journal } from './journal.ts'
import { type KeyRing, makeRing, type RingTimes, turnRing } from './key-ring.ts'
import type { BrokerPeer } from './peers/peer.ts'
import { obtainKey, type Proof, type ProveDeps, prove } from './prove.ts'

export interface Standing {
  readonly ring: KeyRing
  readonly keyset: NamedKeyset
  /** Digest of the keyset in which a key was last sealed to, by key id: receipts name that one. */
  readonly digests: ReadonlyMap<number, string>
  readonly proof: Proof
  readonly leaseId: string
  /** Unix seconds: the earliest end among the leases. */
  readonly leasedUntil: number
}

export interface StandingDeps extends ProveDeps {
  readonly broker: BrokerPeer
  readonly hasher: Hasher
  readonly crypto: SealingCrypto
  readonly keys: BootKeys
  readonly times: RingTimes
  readonly subject: string | null
  readonly models: readonly { readonly id: string; readonly manifest: string }[]
  /** Key versions that the model needs. */
  readonly keyUris: readonly string[]
  readonly journal: Journal
}

/**
 * The first standing of this boot, with the keys that open the weights.
 *
 * @returns `dataKeys` by URI; the caller wipes them when the weights are open.
 * @throws {@link VouchsafeError} whatever {@link prove} and {@link obtainKey} throw.
 */
export async function takeStanding(
  now: number,
  deps: StandingDeps,
): Promise<{ readonly standing: Standing; readonly dataKeys: ReadonlyMap<string, Uint8Array> }> {
  const { crypto, times } = deps
  const ring = await makeRing(now, { crypto, times, random: crypto.random })
  return earn(now, { ring, before: undefined }, deps)
}

/**
 * The next standing: fresh evidence over a fresh challenge, fresh leases, and new sealing keys when
 * those are due. Nothing in force changes before all of it has succeeded.
 *
 * @param options - `turn`: make new sealing keys although they are not due.
 */
export async function renewStanding(
  before: Standing,
  { now, turn }: { readonly now: number; readonly turn: boolean },
  deps: StandingDeps,
): Promise<Standing> {
  const due = turn || now >= before.ring.turnAt
  const ring = due ? await turnRing(before.ring, now, deps) : before.ring
  const { standing, dataKeys } = await earn(now, { ring, before }, deps)
  // The weights are open already; what was asked for was the lease.
  for (const key of dataKeys.values()) key.fill(0)
  return standing
}

/** Digest of the keyset to name for a request that was sealed to a key. */
export function digestFor({ digests, keyset }: Standing, keyId: number): string {
  return digests.get(keyId) ?? keyset.digest
}

async function earn(
  now: number,
  { ring, before }: { readonly ring: KeyRing; readonly before: Standing | undefined },
  deps: StandingDeps,
): Promise<{ standing: Standing; dataKeys: ReadonlyMap<string, Uint8Array> }> {
  const same = before?.ring === ring
  const keyset = same ? before.keyset : await keysetOf(ring, now, deps)
  const proof = await prove(keyset, deps)
  const dataKeys = new Map<string, Uint8Array>()
  let leasedUntil = Number.POSITIVE_INFINITY
  let leaseId = ''
  for (const uri of deps.keyUris) {
    const proved = { ear: proof.ear, keyset }
    const privateKey = deps.keys.release.privateKey
    const { release, key } = await obtainKey(uri, proved, { ...deps, privateKey })
    dataKeys.set(uri, key)
    if (release.leaseExpiresAt < leasedUntil) leaseId = release.leaseId
    leasedUntil = Math.min(leasedUntil, release.leaseExpiresAt)
  }
  if (leasedUntil <= now) {
    const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'broker.answer.lease' } as const
    throw new VouchsafeError(blame, 'the lease is over before it begins; compare the clocks')
  }
  const digests = new Map([...(before?.digests ?? []), ...currentIds(ring, keyset)])
  return { standing: { ring, keyset, digests, proof, leaseId, leasedUntil }, dataKeys }
}

async function keysetOf(ring: KeyRing, now: number, deps: StandingDeps): Promise<NamedKeyset> {
  const { subject, keys, models, times, hasher } = deps
  const notAfter = ring.turnAt + times.overlap
  return makeKeyset({ subject, ring, keys, models, now, notAfter }, hasher)
}

function currentIds(
  ring: KeyRing,
  { digest }: NamedKeyset,
): readonly (readonly [number, string])[] {
  return ring.current.keys.map(({ keyId }) => [keyId, digest] as const)
}
