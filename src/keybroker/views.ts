/** Keys as operators see them: everything but the material, wrapped or not. @packageDocumentation */
import type { Json } from '../core/encoding/canonical-json.ts'
import { keyUri } from '../core/keys/uri.ts'
import type { StoredKey, StoredVersion } from '../core/ports/keybroker-store.ts'

/** One version; times are Unix seconds, `null` is no bound. */
export interface VersionView {
  readonly version: number
  readonly state: StoredVersion['state']
  readonly created_at: number
  readonly not_before: number | null
  readonly not_after: number | null
  readonly destroy_at: number | null
  readonly releases: number
}

/** One key with all its versions, oldest first. */
export interface KeyView {
  readonly uri: string
  readonly created_at: number
  readonly policy: Json
  readonly policy_digest: string
  readonly policy_immutable: boolean
  readonly max_releases: number | null
  readonly lease_seconds: number
  readonly labels: Readonly<Record<string, string>>
  readonly versions: readonly VersionView[]
}

/** The view of a stored key. */
export function viewOf(key: StoredKey): KeyView {
  return {
    uri: keyUri(key.id),
    created_at: key.createdAt,
    policy: key.policy,
    policy_digest: key.policyDigest,
    policy_immutable: key.policyImmutable,
    max_releases: key.maxReleases,
    lease_seconds: key.leaseSeconds,
    labels: key.labels,
    versions: key.versions.map((one) => ({
      version: one.version,
      state: one.state,
      created_at: one.createdAt,
      not_before: one.notBefore,
      not_after: one.notAfter,
      destroy_at: one.destroyAt,
      releases: one.releases,
    })),
  }
}
