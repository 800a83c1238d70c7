/**
 * The three services an enclave talks to while it boots, as ports. The enclave believes none of them
 * more than it must: the verifier and the broker decide, the gateway only learns.
 *
 * @packageDocumentation
 */
import type { Tier } from '../../core/appraisal/result.ts'
import type { Json } from '../../core/encoding/canonical-json.ts'
import type { Attestation } from '../../core/ports/attester.ts'

/** What the verifier is asked. */
export interface AppraisalRequest {
  /** 64 lower-case hex digits, from {@link VerifierPeer.challenge}. */
  readonly nonce: string
  readonly statement: string
  /** Which of the verifier's policies; its default if absent. */
  readonly policy: string | undefined
  /** Which of them companion devices are judged by. */
  readonly devicePolicy: string | undefined
  /** The CPU's first. */
  readonly attestations: readonly [Attestation, ...Attestation[]]
}

/** The verdict, as the verifier words it. Only the EAR itself convinces the broker. */
interface Appraisal {
  readonly ear: string
  readonly tier: Tier
  readonly policyId: string
  /** `sha256:<hex>`. */
  readonly policyDigest: string
  /** How many checks passed, and the ids of those that did not, each with what was wanted and found. */
  readonly passed: number
  readonly failed: readonly string[]
  readonly logIndex: number
}

export interface VerifierPeer {
  challenge(): Promise<string>
  /** A verdict that is not affirming is a result, not an error. */
  appraise(request: AppraisalRequest): Promise<Appraisal>
}

export interface Release {
  /** Flattened JWE JSON. */
  readonly jwe: Json
  readonly uri: string
  readonly version: number
  readonly leaseId: string
  /** Unix seconds. */
  readonly leaseExpiresAt: number
  readonly logIndex: number
}

export interface BrokerPeer {
  /**
   * @param key - `kbs:///namespace/type/name?version=N`.
   * @throws {@link VouchsafeError} `ERR_RELEASE_DENIED` with the failing checks.
   */
  release(key: string, proof: { readonly ear: string; readonly keyset: Json }): Promise<Release>
}

interface Registration {
  readonly id: string
  /** Unix seconds. */
  readonly expiresAt: number
  readonly logIndex: number
}

export interface GatewayPeer {
  register(enclave: {
    readonly url: string
    readonly keyset: Json
    readonly ear: string
  }): Promise<Registration>
  /** Takes a registration back. One that is not there any more is as good. */
  withdraw(id: string): Promise<void>
}
