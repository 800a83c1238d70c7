/**
 * One round of proof: a challenge answered with evidence, appraised, and what the EAR opens. The same
 * round runs at boot and at every renewal.
 *
 * @see DESIGN.md §3, steps 3 to 5
 * @packageDocumentation
 */
import { fromBase64url } from '../core/bytes/base64url.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { VouchsafeError } from '../core/errors.ts'
import { unwrapKey } from '../core/keys/jwe.ts'
import type { NamedKeyset } from './boot-keys.ts'
import type { Testify } from './evidence.ts'
import type { Journal } from './journal.ts'
import type { BrokerPeer, Release, VerifierPeer } from './peers/peer.ts'

export interface ProveDeps {
  readonly verifier: VerifierPeer
  readonly testify: Testify
  /** Name of an appraisal policy of the verifier; its default if absent. */
  readonly policy: string | undefined
  /** The same for companion devices; their own format's default if absent. */
  readonly devicePolicy: string | undefined
  readonly journal: Journal
}

/** An affirming verdict on a keyset. */
export interface Proof {
  readonly ear: string
  /** Unix seconds, from the EAR. */
  readonly expiresAt: number
  readonly policyId: string
  /** `sha256:<hex>` of the policy. */
  readonly policyDigest: string
}

/**
 * Proves a keyset to the verifier.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_NOT_AFFIRMING` with the checks that failed; whatever
 *   attester and verifier throw.
 */
export async function prove({ keyset, digest }: NamedKeyset, deps: ProveDeps): Promise<Proof> {
  const { verifier, testify, policy, devicePolicy, journal } = deps
  const nonce = await verifier.challenge()
  const { statement, attestations } = await testify(digest, nonce)
  journal.step('The hardware vouches for the keyset and the challenge', {
    format: attestations.map(({ format }) => format).join(', '),
    evidence_bytes: attestations.reduce((sum, { evidence }) => sum + evidence.length, 0),
    keyset: digest,
    models: keyset.vouchsafe.models.map(({ id }) => id).join(', '),
  })
  const verdict = await verifier.appraise({
    nonce,
    statement,
    policy,
    devicePolicy,
    attestations,
  })
  const { tier, policyId, policyDigest, passed, failed, ear, logIndex } = verdict
  if (tier !== 'affirming') {
    const why = failed.length === 0 ? tier : failed.join('; ')
    const blame = { code: 'ERR_RESULT_NOT_AFFIRMING', at: 'enclave.appraisal' } as const
    throw new VouchsafeError(blame, `policy ${policyId} says ${tier}: ${why}`)
  }
  journal.step('The verifier affirms this enclave', {
    policy: policyId,
    checks_passed: passed,
    log_index: logIndex,
  })
  return { ear, policyId, policyDigest, expiresAt: expiryOf(ear) }
}

/**
 * Obtains one key version.
 *
 * @returns The lease, and the key itself: the caller wipes it when done.
 * @throws {@link VouchsafeError} `ERR_RELEASE_DENIED`, `ERR_KEY_UNWRAP_FAILED`.
 */
export async function obtainKey(
  uri: string,
  proof: { readonly ear: string; readonly keyset: NamedKeyset },
  deps: {
    readonly broker: BrokerPeer
    readonly privateKey: CryptoKey
    readonly journal: Journal
  },
): Promise<{ readonly release: Release; readonly key: Uint8Array }> {
  const keyset = proof.keyset.keyset as unknown as Json
  const release = await deps.broker.release(uri, { ear: proof.ear, keyset })
  const key = await unwrapKey(release.jwe, { kid: uri, privateKey: deps.privateKey })
  deps.journal.step('The broker released a key, after the log had it', {
    key: uri,
    lease: release.leaseId,
    lease_expires: new Date(release.leaseExpiresAt * 1000).toISOString(),
    log_index: release.logIndex,
  })
  return { release, key }
}

/**
 * When to renew. Not verified: nothing here is decided by it, and
 * whoever relies on it verifies it.
 */
function expiryOf(ear: string): number {
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'verifier.answer.ear' } as const
  const payload = fromBase64url(ear.split('.')[1] ?? '', blame)
  const claims = parseJson(new TextDecoder().decode(payload), blame) as { readonly exp?: unknown }
  if (typeof claims.exp === 'number') return claims.exp
  throw new VouchsafeError(blame, 'an EAR without exp')
}
