/**
 * Claims of a realm: what was loaded into it, what it measured since, and the key that signs them.
 *
 * @packageDocumentation
 * @see draft-ffm-rats-cca-token-04 §4.8, and -00 to -03 for the older profiles
 */
import { type CborValue, decodeCbor } from '../../encoding/cbor.ts'
import type { Blame } from '../../errors.ts'
import type { VerifyingKey } from '../../ports/crypto.ts'
import { keyOfPoint } from '../../x509/ec-key.ts'
import { type Claim, ClaimReader, HASH_SIZES, type HashName, show } from './claim-reader.ts'
import { readUeid } from './platform.ts'

export interface RealmClaims {
  /** `undefined` in tokens from before there were profiles of realms. */
  readonly profile: string | undefined
  /** 64 bytes of the realm's own choosing. */
  readonly challenge: Uint8Array
  /** 64 bytes that the host gave at creation, and that only a realm of its own measures. */
  readonly personalizationValue: Uint8Array
  readonly rim: Uint8Array
  readonly rems: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  readonly hashAlgorithm: HashName
  /** The realm attestation key (RAK), as it stands in the token: what the platform hashed. */
  readonly publicKey: Uint8Array
  readonly key: VerifyingKey
  readonly keyHashAlgorithm: HashName
  readonly mecPolicy: MecPolicy | undefined
  readonly lfaPolicy: LfaPolicy | undefined
  readonly instanceId: Uint8Array | undefined
  /** Present if devices are assigned to the realm. */
  readonly devicesTokenHash: Uint8Array | undefined
  /** Labels of claims that this verifier does not know. */
  readonly unknown: readonly string[]
}

/** Whether the realm's memory has an encryption context of its own. */
export type MecPolicy = (typeof MEC_POLICIES)[number]
/** Whether firmware may be replaced below the running realm. */
export type LfaPolicy = (typeof LFA_POLICIES)[number]

interface Profile {
  /** Before the first profile the key was a bare point; from then on it is a COSE_Key. */
  readonly bareKey: boolean
  readonly needsMecPolicy: boolean
  readonly needsInstanceId: boolean
}

/** By number in draft-04, by name in draft-03. */
const MEC_POLICIES = ['shared', 'private'] as const
const LFA_POLICIES = ['disallow', 'allow'] as const

const PROFILE: Claim = [265, 'cca-realm-profile']
const REMS: Claim = [44239, 'cca-realm-extensible-measurements']
const PUBLIC_KEY: Claim = [44237, 'cca-realm-public-key']
const MEC_POLICY: Claim = [44243, 'cca-realm-mec-policy']
const LFA_POLICY: Claim = [44244, 'cca-realm-lfa-policy']
const INSTANCE_ID: Claim = [256, 'cca-realm-instance-id']

const NO_PROFILE: Profile = { bareKey: true, needsMecPolicy: false, needsInstanceId: false }
const FIRST: Profile = { ...NO_PROFILE, bareKey: false }
const PROFILES: ReadonlyMap<string, Profile> = new Map([
  ['tag:arm.com,2023:realm#1.0.0', FIRST],
  ['tag:arm.com,2024:realm#2.0.0', { ...FIRST, needsMecPolicy: true }],
  ['tag:arm.com,2026:realm#2.0.0', { ...FIRST, needsMecPolicy: true, needsInstanceId: true }],
])
/** The profiles that are understood. */
export const REALM_PROFILES: readonly string[] = [...PROFILES.keys()]

const REGISTERS = 4
/** Labels and values of COSE_Key (RFC 9052 §7, RFC 9053 §7.1.1). */
const COSE = { kty: 1, kid: 2, alg: 3, crv: -1, x: -2, y: -3, ec2: 2 } as const
const CURVES: readonly { readonly crv: number; readonly size: number; readonly alg: number }[] = [
  { crv: 1, size: 32, alg: -7 },
  { crv: 2, size: 48, alg: -35 },
]

/**
 * Reads the signed payload of a realm token. Proves nothing.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for a claim that is absent or not what the
 *   specification says; `ERR_EVIDENCE_UNSUPPORTED` for another profile, hash algorithm or kind of
 *   key. Unknown claims are kept by label: EAT lets signers add them.
 */
export function parseRealmClaims(payload: Uint8Array, blame: Blame): RealmClaims {
  const r = ClaimReader.of(payload, blame)
  const profile = r.optionalText(PROFILE)
  const rules = rulesOf(r, profile)
  const publicKey = r.bytes(PUBLIC_KEY)
  const at = `${blame.at}.${PUBLIC_KEY[1]}`
  return {
    profile,
    challenge: r.bytes([10, 'cca-realm-challenge'], [64]),
    personalizationValue: r.bytes([44235, 'cca-realm-personalization-value'], [64]),
    rim: r.bytes([44238, 'cca-realm-initial-measurement'], HASH_SIZES),
    rems: readRegisters(r),
    hashAlgorithm: r.hash([44236, 'cca-realm-hash-algo-id']),
    publicKey,
    key: rules.bareKey
      ? (keyOfPoint(publicKey) ?? r.fail(PUBLIC_KEY, 'not an uncompressed point'))
      : keyOfCose(publicKey, { code: blame.code, at }),
    keyHashAlgorithm: r.hash([44240, 'cca-realm-public-key-hash-algo-id']),
    mecPolicy: readChoice(r, MEC_POLICY, { words: MEC_POLICIES, needed: rules.needsMecPolicy }),
    lfaPolicy: readChoice(r, LFA_POLICY, { words: LFA_POLICIES, needed: false }),
    instanceId:
      rules.needsInstanceId || r.any(INSTANCE_ID) !== undefined
        ? readUeid(r, INSTANCE_ID)
        : undefined,
    devicesTokenHash: r.optionalBytes([44257, 'cca-realm-devices-token-hash'], HASH_SIZES),
    unknown: r.unknown(),
  }
}

function rulesOf(r: ClaimReader, profile: string | undefined): Profile {
  if (profile !== undefined) return PROFILES.get(profile) ?? r.unsupported(PROFILE, show(profile))
  // The profile may be left out of later tokens too (§4.8.2), and no COSE_Key begins like a point.
  const UNCOMPRESSED = 0x04
  const key = r.any(PUBLIC_KEY)
  return key instanceof Uint8Array && key[0] === UNCOMPRESSED ? NO_PROFILE : FIRST
}

function readRegisters(r: ClaimReader): RealmClaims['rems'] {
  const [rem0, rem1, rem2, rem3, ...more] = r
    .list(REMS, REGISTERS)
    .map((value) => r.asBytes(REMS, value, HASH_SIZES))
  if (!rem0 || !rem1 || !rem2 || !rem3 || more.length > 0) return r.fail(REMS, 'want four')
  return [rem0, rem1, rem2, rem3]
}

function readChoice<T extends string>(
  r: ClaimReader,
  claim: Claim,
  { words, needed }: { readonly words: readonly T[]; readonly needed: boolean },
): T | undefined {
  const value = r.any(claim)
  if (value === undefined) return needed ? r.fail(claim, 'absent') : undefined
  const word = words.find((candidate, i) => value === i || value === candidate)
  return word ?? r.fail(claim, `neither ${words.join(' nor ')}`)
}

/** An EC2 key with both coordinates, and nothing in it that would restrict or extend its use. */
function keyOfCose(bytes: Uint8Array, blame: Blame): VerifyingKey {
  const r = new ClaimReader(decodeCbor(bytes, [], blame), blame)
  const number = (label: number, name: string): CborValue | undefined => r.any([label, name])
  if (number(COSE.kty, 'kty') !== COSE.ec2) r.unsupported([COSE.kty, 'kty'], 'another kind of key')
  const crv = number(COSE.crv, 'crv')
  const curve = CURVES.find((candidate) => candidate.crv === crv)
  if (curve === undefined) return r.unsupported([COSE.crv, 'crv'], 'another curve')
  const alg = number(COSE.alg, 'alg')
  if (alg !== undefined && alg !== curve.alg) r.fail([COSE.alg, 'alg'], 'not of this curve')
  r.optionalBytes([COSE.kid, 'kid'])
  const x = r.bytes([COSE.x, 'x'], [curve.size])
  // A flag in its place is a compressed point (RFC 9053 §7.1.1), which no RMM makes.
  const y = r.bytes([COSE.y, 'y'], [curve.size])
  const [unknown] = r.unknown()
  if (unknown !== undefined) r.unsupported([0, 'parameter'], unknown)
  return keyOfPoint(Uint8Array.of(0x04, ...x, ...y)) ?? r.fail([COSE.x, 'x'], 'no point')
}
