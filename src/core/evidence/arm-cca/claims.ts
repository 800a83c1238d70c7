/** What an authenticated Arm CCA token says. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import { canonicalBytes, type Json } from '../../encoding/canonical-json.ts'
import type { CborValue } from '../../encoding/cbor.ts'
import type { Hasher } from '../../ports/crypto.ts'
import type { Claims } from '../common/format.ts'
import type { PlatformClaims, SwComponent } from './platform.ts'
import type { RealmClaims } from './realm.ts'
import type { CcaEvidence } from './token.ts'

export interface CcaClaims extends Claims {
  readonly platform: PlatformClaims
  readonly realm: RealmClaims
  /** SHA-256 of the key that signed the platform's token, lower-case hex. */
  readonly platformKey: string
}

/** A component whose type can be a measurement's name is one, by that name. */
const NAME = /^[A-Za-z0-9_]{1,28}$/

/**
 * Claims of a token whose signatures have been checked.
 *
 * `reportData` is the realm's challenge. Measurements are the realm's `rim`, `rem0` to `rem3` and `rpv`,
 * and the platform's `implementation_id`; `sw_components`, the SHA-256 over the canonical JSON
 * (RFC 8785) of all firmware as it is printed; and `sw_<type>` for each component whose type is a word
 * that occurs once.
 */
export async function claimsOf(
  { tag, platform, realm }: CcaEvidence,
  platformKey: string,
  crypto: Hasher,
): Promise<CcaClaims> {
  const components = platform.claims.swComponents.map(printComponent)
  const digest = await crypto.digest('SHA-256', canonicalBytes(components))
  return {
    reportData: realm.claims.challenge,
    nonce: undefined,
    platform: platform.claims,
    realm: realm.claims,
    platformKey,
    measurements: {
      ...realmMeasurements(realm.claims),
      implementation_id: toHex(platform.claims.implementationId),
      sw_components: toHex(digest),
      ...componentMeasurements(platform.claims.swComponents),
    },
    // Arm publishes no levels; makers of machines publish reference values, which policies require.
    tcb: { status: 'unpublished', date: undefined, advisoryIds: [] },
    printable: {
      collection_tag: tag,
      platform_key_sha256: platformKey,
      platform: printPlatform(platform.claims, components),
      realm: printRealm(realm.claims),
    },
  }
}

function realmMeasurements({ rim, rems, personalizationValue }: RealmClaims) {
  const registers = rems.map((rem, i) => [`rem${i}`, toHex(rem)] as const)
  return { rim: toHex(rim), ...Object.fromEntries(registers), rpv: toHex(personalizationValue) }
}

function componentMeasurements(components: readonly SwComponent[]) {
  const named = components.filter(
    ({ type }) =>
      type !== undefined &&
      NAME.test(type) &&
      components.filter((other) => other.type === type).length === 1,
  )
  return Object.fromEntries(
    named.map(({ type = '', measurement }) => [`sw_${type}`, toHex(measurement)]),
  )
}

function printPlatform(claims: PlatformClaims, components: readonly Json[]): Json {
  const { others, unknown } = claims
  return {
    profile: claims.profile,
    binding: toHex(claims.binding),
    implementation_id: toHex(claims.implementationId),
    instance_id: toHex(claims.instanceId),
    config: toHex(claims.config),
    lifecycle: claims.lifecycle,
    lifecycle_state: claims.state,
    hash_algo_id: claims.hashAlgorithm,
    sw_components: components,
    verification_service: claims.verificationService ?? null,
    manufacturing_config: printCbor(others.manufacturingConfig),
    extension: printCbor(others.extension),
    tbb_rotpk: printCbor(others.tbbRotpk),
    peer_signers: printCbor(others.peerSigners),
    discrete_tpm_binding_data: printCbor(others.tpmBinding),
    unknown_claims: unknown,
  }
}

function printComponent(component: SwComponent): Json {
  const { type, measurement, version, signer, hashAlgorithm, liveActivation } = component
  return {
    type: type ?? null,
    measurement: toHex(measurement),
    version: version ?? null,
    signer_id: toHex(signer),
    hash_algo_id: hashAlgorithm ?? null,
    live_activation: liveActivation ?? null,
    countersigners: component.countersigners.map(toHex),
  }
}

function printRealm(claims: RealmClaims): Json {
  const optional = (bytes: Uint8Array | undefined): Json => (bytes ? toHex(bytes) : null)
  return {
    profile: claims.profile ?? null,
    challenge: toHex(claims.challenge),
    personalization_value: toHex(claims.personalizationValue),
    initial_measurement: toHex(claims.rim),
    extensible_measurements: claims.rems.map(toHex),
    hash_algo_id: claims.hashAlgorithm,
    public_key: toHex(claims.publicKey),
    public_key_hash_algo_id: claims.keyHashAlgorithm,
    mec_policy: claims.mecPolicy ?? null,
    lfa_policy: claims.lfaPolicy ?? null,
    instance_id: optional(claims.instanceId),
    devices_token_hash: optional(claims.devicesTokenHash),
    unknown_claims: claims.unknown,
  }
}

/** Any value: bytes in hex, keys of maps as texts, integers beyond 2^53 as texts. */
export function printCbor(value: CborValue | undefined): Json {
  if (value === undefined) return null
  if (value instanceof Uint8Array) return toHex(value)
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return (value as readonly CborValue[]).map(printCbor)
  if (value instanceof Map) {
    const entries = [...(value as ReadonlyMap<number | bigint | string, CborValue>)]
    return Object.fromEntries(entries.map(([key, item]) => [String(key), printCbor(item)]))
  }
  return value as Json
}
