/** The policies and reference values that a verifier applies, fixed at start. @packageDocumentation */
import {
  assertProductionPolicy,
  encodePolicy,
  type Policy,
  policyDigest,
} from '../core/appraisal/policy.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { FormatId } from '../core/evidence/common/format-ids.ts'
import type { Hasher } from '../core/ports/crypto.ts'

/** A policy with its canonical form and the digest that names it. */
export interface LoadedPolicy {
  readonly policy: Policy
  /** `sha256:<hex>` of `bytes`. */
  readonly digest: string
  readonly bytes: Uint8Array
}

export interface PolicySet {
  readonly all: readonly LoadedPolicy[]
  /**
   * The policy for evidence of a format: the one named, else the default.
   *
   * @throws {@link VouchsafeError} `ERR_RESOURCE_NOT_FOUND` at `body.policy` if there is none.
   */
  choose(format: FormatId, id: string | undefined): LoadedPolicy
  /** By id or digest. */
  find(idOrDigest: string): LoadedPolicy | undefined
}

export interface PolicySetOptions {
  readonly policies: readonly Policy[]
  /** By format; each must be among `policies`. */
  readonly defaults: Readonly<Partial<Record<FormatId, string>>>
  /** In production, a policy that accepts simulated evidence is refused. */
  readonly production: boolean
}

/**
 * Checks that the policies fit together.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID` if two have one name, or production has one for
 *   simulated evidence; `ERR_CONFIG_INVALID` if a default names no policy.
 */
export async function createPolicySet(
  { policies, defaults, production }: PolicySetOptions,
  hasher: Hasher,
): Promise<PolicySet> {
  const all: LoadedPolicy[] = []
  for (const policy of policies) {
    if (production) assertProductionPolicy(policy)
    if (all.some(({ policy: { id } }) => id === policy.id)) {
      const blame = { code: 'ERR_POLICY_INVALID', at: 'policy.id' } as const
      throw new VouchsafeError(blame, `two policies are named ${policy.id}`)
    }
    const digest = await policyDigest(policy, hasher)
    all.push({ policy, digest, bytes: encodePolicy(policy) })
  }
  // A family has a member for each format: `authentic` means `authentic-tdx` for TDX.
  const named = (format: FormatId, id: string) =>
    [id, `${id}-${format}`]
      .map((name) => all.find(({ policy }) => policy.id === name && policy.format === format))
      .find((found) => found !== undefined)
  const loaded = (format: FormatId): string =>
    all.flatMap(({ policy }) => (policy.format === format ? [policy.id] : [])).join(', ') || 'none'
  assertDefaults(defaults, (format, id) => {
    return named(format, id) === undefined ? `loaded for it: ${loaded(format)}` : undefined
  })
  return {
    all,
    choose: (format, id) => {
      const wanted = id ?? defaults[format]
      const found = wanted === undefined ? undefined : named(format, wanted)
      if (found !== undefined) return found
      const blame = { code: 'ERR_RESOURCE_NOT_FOUND', at: 'body.policy' } as const
      const missing =
        wanted === undefined
          ? `no policy by default for ${format}: verifier.defaultPolicies names none`
          : `no policy ${wanted} for ${format}`
      throw new VouchsafeError(blame, `${missing}; loaded for it: ${loaded(format)}`)
    },
    find: (name) => all.find(({ policy, digest }) => policy.id === name || digest === name),
  }
}

/** @param missing - What to say if there is no such policy. */
function assertDefaults(
  defaults: PolicySetOptions['defaults'],
  missing: (format: FormatId, id: string) => string | undefined,
): void {
  for (const [format, id] of Object.entries(defaults)) {
    const found = missing(format as FormatId, id)
    if (found === undefined) continue
    const at = `verifier.defaultPolicies.${format}`
    const detail = `no policy ${id} for ${format} is loaded; ${found}`
    throw new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at }, detail)
  }
}
