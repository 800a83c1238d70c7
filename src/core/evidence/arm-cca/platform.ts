/**
 * Claims of the platform: what it is, in which state, and which firmware it measured.
 *
 * @packageDocumentation
 * @see draft-ffm-rats-cca-token-04 §4.2 to §4.7, and -00 to -03 for the older profiles
 */
import type { CborValue } from '../../encoding/cbor.ts'
import type { Blame } from '../../errors.ts'
import { type Claim, ClaimReader, HASH_SIZES, type HashName, show } from './claim-reader.ts'

export interface PlatformClaims {
  readonly profile: string
  /** What ties the realm's token to this one: the hash of the key that signs it. */
  readonly binding: Uint8Array
  /** 32 bytes. */
  readonly implementationId: Uint8Array
  /** 33 bytes, the first of them 01. */
  readonly instanceId: Uint8Array
  readonly config: Uint8Array
  readonly lifecycle: number
  readonly state: LifecycleState
  readonly hashAlgorithm: HashName
  readonly swComponents: readonly SwComponent[]
  readonly verificationService: string | undefined
  /** Claims that are understood as far as their meaning, and printed: by name. */
  readonly others: Readonly<Partial<Record<OtherClaim, CborValue>>>
  /** Labels of claims that this verifier does not know. */
  readonly unknown: readonly string[]
}

/** One piece of firmware or configuration. Hashes are of 32, 48 or 64 bytes. */
export interface SwComponent {
  readonly type: string | undefined
  readonly measurement: Uint8Array
  readonly version: string | undefined
  readonly signer: Uint8Array
  readonly hashAlgorithm: string | undefined
  /** Whether it can be replaced while the platform runs. */
  readonly liveActivation: boolean | undefined
  readonly countersigners: readonly Uint8Array[]
}

/** By the high byte of the claim (§4.5.2, table 1). */
const STATES = {
  0x00: 'unknown',
  0x10: 'assembly-and-test',
  0x20: 'provisioning',
  0x30: 'secured',
  0x40: 'non-platform-rot-debug',
  0x50: 'recoverable-platform-rot-debug',
  0x60: 'decommissioned',
} as const
export type LifecycleState = (typeof STATES)[keyof typeof STATES]

interface Profile {
  /** The claim that holds the binding. */
  readonly binding: Claim
  /** From 2.0 on a token says who asked for it, which must be the realm manager. */
  readonly clientId: boolean
}

const PROFILE: Claim = [265, 'cca-platform-profile']
const CHALLENGE: Claim = [10, 'cca-platform-challenge']
const WORKLOAD_BINDING: Claim = [2408, 'cca-platform-workload-binding']
const CLIENT_ID: Claim = [2394, 'cca-platform-client-id']
const LIFECYCLE: Claim = [2395, 'cca-platform-lifecycle']
const SW_COMPONENTS: Claim = [2399, 'cca-platform-sw-components']
const INSTANCE_ID: Claim = [256, 'cca-platform-instance-id']

const OTHERS = {
  manufacturingConfig: [2403, 'cca-platform-manufacturing-config'],
  extension: [2404, 'cca-platform-extension'],
  tbbRotpk: [2405, 'cca-platform-tbb-rotpk'],
  peerSigners: [2406, 'cca-platform-peer-signers'],
  tpmBinding: [2407, 'cca-platform-discrete-tpm-binding-data'],
} as const satisfies Record<string, Claim>
export type OtherClaim = keyof typeof OTHERS

const FIRST: Profile = { binding: CHALLENGE, clientId: false }
const SECOND: Profile = { binding: CHALLENGE, clientId: true }
/** §4.3.3 still prints `eat_nonce` here; §4.3.1 and §4.3.3.10 say what it is, and refuse a nonce. */
const THIRD: Profile = { binding: WORKLOAD_BINDING, clientId: true }
/**
 * Those in which the platform vouches for a key and the key for the realm. In the others, `;direct`
 * and `;HESRAK`, the claims mean something else, so they are refused by name.
 */
const PROFILES: ReadonlyMap<string, Profile> = new Map([
  ['http://arm.com/CCA-SSD/1.0.0', FIRST],
  ['tag:arm.com,2023:cca_platform#1.0.0', FIRST],
  ['tag:arm.com,2024:cca_platform#1.1.0', FIRST],
  ['tag:arm.com,2024:cca_platform#2.0.0', SECOND],
  ['tag:arm.com,2026:cca_platform#2.0.0', THIRD],
  ['tag:arm.com,2026:cca_platform#2.0.0;delegated', THIRD],
  ['tag:arm.com,2026:cca_platform#2.1.0', THIRD],
  ['tag:arm.com,2026:cca_platform#2.1.0;delegated', THIRD],
])
/** The profiles that are understood. */
export const PLATFORM_PROFILES: readonly string[] = [...PROFILES.keys()]

const REALM_MANAGER = 1
const UEID_RAND = 0x01
const MAX_COMPONENTS = 128
const MAX_COUNTERSIGNERS = 16

/**
 * Reads the signed payload of a platform token. Proves nothing.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for a claim that is absent or not what the
 *   specification says; `ERR_EVIDENCE_UNSUPPORTED` for another profile, hash algorithm, or attribute
 *   of a software component. Unknown claims are kept by label: EAT lets signers add them.
 */
export function parsePlatformClaims(payload: Uint8Array, blame: Blame): PlatformClaims {
  const r = ClaimReader.of(payload, blame)
  const profile = r.text(PROFILE)
  const rules = PROFILES.get(profile) ?? r.unsupported(PROFILE, show(profile))
  if (rules.clientId && r.uint16(CLIENT_ID) !== REALM_MANAGER) r.fail(CLIENT_ID, 'not 1')
  if (rules.binding !== CHALLENGE && r.any(CHALLENGE) !== undefined) {
    r.fail(CHALLENGE, 'this profile has none')
  }
  const lifecycle = r.uint16(LIFECYCLE)
  return {
    profile,
    binding: r.bytes(rules.binding, HASH_SIZES),
    implementationId: r.bytes([2396, 'cca-platform-implementation-id'], [32]),
    instanceId: readUeid(r, INSTANCE_ID),
    config: r.bytes([2401, 'cca-platform-config']),
    lifecycle,
    state: stateOf(lifecycle) ?? r.fail(LIFECYCLE, `${lifecycle} is no state`),
    hashAlgorithm: r.hash([2402, 'cca-platform-hash-algo-id']),
    swComponents: r.list(SW_COMPONENTS, MAX_COMPONENTS).map((value, i) =>
      readComponent(value, {
        code: blame.code,
        at: `${blame.at}.${SW_COMPONENTS[1]}[${i}]`,
      }),
    ),
    verificationService: r.optionalText([2400, 'cca-platform-service-indicator']),
    others: readOthers(r),
    unknown: r.unknown(),
  }
}

/** An EAT UEID of type RAND: 33 bytes that begin with 01. */
export function readUeid(r: ClaimReader, claim: Claim): Uint8Array<ArrayBuffer> {
  const ueid = r.bytes(claim, [33])
  return ueid[0] === UEID_RAND ? ueid : r.fail(claim, 'not a random UEID')
}

function stateOf(lifecycle: number): LifecycleState | undefined {
  const states: Readonly<Record<number, LifecycleState>> = STATES
  return states[lifecycle >> 8]
}

function readComponent(value: CborValue, blame: Blame): SwComponent {
  const r = new ClaimReader(value, blame)
  const countersigners: Claim = [8, 'countersigners']
  const component = {
    type: r.optionalText([1, 'component-type']),
    measurement: r.bytes([2, 'measurement-value'], HASH_SIZES),
    version: r.optionalText([4, 'version']),
    signer: r.bytes([5, 'signer-id'], HASH_SIZES),
    hashAlgorithm: r.optionalText([6, 'hash-algo-id']),
    liveActivation: readFlag(r, [7, 'live-firmware-activation']),
    countersigners:
      r.any(countersigners) === undefined
        ? []
        : r
            .list(countersigners, MAX_COUNTERSIGNERS)
            .map((id) => r.asBytes(countersigners, id, HASH_SIZES)),
  }
  // One that nobody here understands would be in no digest and in no policy.
  const [unknown] = r.unknown()
  return unknown === undefined ? component : r.unsupported([0, 'attribute'], unknown)
}

function readFlag(r: ClaimReader, claim: Claim): boolean | undefined {
  const value = r.any(claim)
  return value === undefined || typeof value === 'boolean' ? value : r.fail(claim, 'not a flag')
}

function readOthers(r: ClaimReader): PlatformClaims['others'] {
  const present = Object.entries(OTHERS).flatMap(([name, claim]) => {
    const value = r.any(claim)
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(present)
}
