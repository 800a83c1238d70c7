/**
 * What each order makes of a key: pure but for making material, so nothing has happened yet when one
 * of these returns.
 *
 * @packageDocumentation
 */
import type { Json } from '../core/encoding/canonical-json.ts'
import { VouchsafeError } from '../core/errors.ts'
import {
  parseReleasePolicy,
  releasePolicyDigest,
  releasePolicyToJson,
} from '../core/keys/release-policy.ts'
import { type KeyId, keyVersionUri } from '../core/keys/uri.ts'
import type { StoredKey, StoredVersion } from '../core/ports/keybroker-store.ts'
import type { KeyLeaf } from '../core/tlog/leaf.ts'
import { conflict, notFound } from './errors.ts'
import type { Material } from './material.ts'
import type { KeyBrokerParts } from './parts.ts'

/** What a new version is. */
export interface VersionOrder {
  /** JWE to the import key; made here if absent. */
  readonly material?: unknown
  readonly notBefore: number | null
  readonly notAfter: number | null
}

/** What a new key is. */
export interface KeyOrder extends VersionOrder {
  readonly policy: Json
  readonly policyImmutable: boolean
  readonly maxReleases: number | null
  readonly leaseSeconds: number
  readonly labels: Readonly<Record<string, string>>
}

/** A key as it shall be, and what the log is told. */
export interface Edit {
  readonly key: Omit<StoredKey, 'revision'>
  readonly version: number
  readonly action: KeyLeaf['action']
}

/** What edits are made with. */
export interface EditTools {
  readonly parts: KeyBrokerParts
  readonly material: Material
}

/** A key that was not there before. */
export async function newKey(
  tools: EditTools,
  { id, order, now }: { readonly id: KeyId; readonly order: KeyOrder; readonly now: number },
): Promise<Edit> {
  const { parts } = tools
  if ((await parts.keys.find(id)) !== undefined) throw conflict('key', 'exists already')
  const policy = await readPolicy(parts, order.policy)
  const first = await newVersion(tools, { id, version: 1 }, { order, now })
  const { policyImmutable, maxReleases, leaseSeconds, labels } = order
  const terms = { policyImmutable, maxReleases, leaseSeconds, labels }
  const key = { id, createdAt: now, ...policy, ...terms, versions: [first] }
  return { key, version: 1, action: 'create' }
}

/** One version more. */
export async function rotated(
  tools: EditTools,
  {
    key,
    order,
    now,
  }: {
    readonly key: StoredKey
    readonly order: VersionOrder & { readonly graceSeconds: number | undefined }
    readonly now: number
  },
): Promise<Edit> {
  const { maxVersions } = tools.parts.limits
  if (key.versions.length >= maxVersions) throw conflict('key.versions', `at most ${maxVersions}`)
  const version = (key.versions.at(-1)?.version ?? 0) + 1
  const next = await newVersion(tools, { id: key.id, version }, { order, now })
  const end = order.graceSeconds === undefined ? undefined : now + order.graceSeconds
  const before = key.versions.map((one) =>
    end === undefined ? one : { ...one, notAfter: Math.min(one.notAfter ?? end, end) },
  )
  return { key: { ...key, versions: [...before, next] }, version, action: 'rotate' }
}

async function newVersion(
  { parts, material }: EditTools,
  { id, version }: { readonly id: KeyId; readonly version: number },
  { order, now }: { readonly order: VersionOrder; readonly now: number },
): Promise<StoredVersion> {
  const { notBefore, notAfter } = order
  if (notBefore !== null && notAfter !== null && notBefore >= notAfter) {
    const blame = { code: 'ERR_REQUEST_INVALID', at: 'body.not_after' } as const
    throw new VouchsafeError(blame, 'not after not_before')
  }
  const taken = await material.take(id, order.material)
  try {
    const wrapped = await parts.kek.wrap(taken, keyVersionUri({ ...id, version }))
    const bounds = { notBefore, notAfter, destroyAt: null }
    return { version, state: 'enabled', createdAt: now, ...bounds, wrapped, releases: 0 }
  } finally {
    // Best effort: the runtime may have copied it.
    taken.fill(0)
  }
}

/** A version on or off. */
export function switched(key: StoredKey, version: number, state: 'enabled' | 'disabled'): Edit {
  const changed = change(key, version, (one) => ({ ...one, state, destroyAt: null }))
  return { key: changed, version, action: state === 'enabled' ? 'enable' : 'disable' }
}

/** A version gone, now or at a time. */
export function destroyed(
  key: StoredKey,
  version: number,
  { at, now }: { readonly at: number; readonly now: number },
): Edit {
  const gone = { state: 'destroyed', destroyAt: null, wrapped: null } as const
  const pending = { state: 'pending-destruction', destroyAt: at } as const
  const changed = change(key, version, (one) => ({ ...one, ...(at <= now ? gone : pending) }))
  return { key: changed, version, action: 'destroy' }
}

/** Nothing brings a destroyed version back. */
function change(
  key: StoredKey,
  version: number,
  to: (one: StoredVersion) => StoredVersion,
): Edit['key'] {
  const old = key.versions.find((one) => one.version === version)
  if (old === undefined) throw notFound()
  if (old.state === 'destroyed') throw conflict('key.state', 'destroyed')
  return { ...key, versions: key.versions.map((one) => (one === old ? to(one) : one)) }
}

/** Another release policy. */
export async function repoliced(
  parts: KeyBrokerParts,
  key: StoredKey,
  { policy, immutable }: { readonly policy: Json; readonly immutable: boolean },
): Promise<Edit> {
  if (key.policyImmutable) throw conflict('key.policy_immutable', 'can never be changed')
  const parsed = await readPolicy(parts, policy)
  const version = key.versions.at(-1)?.version ?? 1
  return { key: { ...key, ...parsed, policyImmutable: immutable }, version, action: 'policy' }
}

async function readPolicy(
  { hasher }: KeyBrokerParts,
  value: Json,
): Promise<Pick<StoredKey, 'policy' | 'policyDigest'>> {
  const policy = parseReleasePolicy(value)
  const policyDigest = await releasePolicyDigest(policy, hasher)
  return { policy: releasePolicyToJson(policy), policyDigest }
}
