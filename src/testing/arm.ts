/**
 * A fake maker of Arm CCA machines: platform and realm attestation keys, and tokens in the genuine
 * format, in both collections. Every part can be given, so that one at a time can be wrong in an
 * otherwise validly signed token.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { type CborValue, encodeCbor } from '../core/encoding/cbor.ts'
import { signatureInput } from '../core/encoding/cose.ts'
import type { PlatformKey } from '../core/endorsements/endorsement-set.ts'
import type { DerBytes } from '../drivers/attester/simulated/minting/der.ts'
import {
  type MintedKey,
  mintKey,
  mintSignature,
} from '../drivers/attester/simulated/minting/x509.ts'

/** One machine: its attestation key (CPAK), its ids, and the key of its realm manager (RAK). */
export interface ArmPlatform {
  readonly cpak: MintedKey
  readonly rak: MintedKey
  /** 32 bytes. */
  readonly implementationId: Uint8Array
  /** 33 bytes. */
  readonly instanceId: Uint8Array
  /** SHA-256 of the CPAK's SPKI, lower-case hex: what a verifier pins. */
  readonly anchor: string
  /** The CPAK with its ids, as an endorser hands it over. */
  readonly endorsement: PlatformKey
}

export interface ArmPlatformOptions {
  readonly cpak?: MintedKey
  readonly rak?: MintedKey
  readonly implementationId?: Uint8Array
  readonly instanceId?: Uint8Array
}

/** Claims by label; `undefined` leaves one out. */
export type CcaMembers = Readonly<Record<number | string, CborValue | undefined>>

/** Which specification a token follows. */
export type CcaGeneration = 'legacy' | '2023' | '2024' | '2026'

export interface CcaTokenOptions {
  readonly platform: ArmPlatform
  /** `legacy` unless given: tag 399, no profile of realms, the realm key as a bare point. */
  readonly generation?: CcaGeneration
  /** What differs from good claims. */
  readonly platformClaims?: CcaMembers
  readonly realmClaims?: CcaMembers
  /** What to sign with, and what to say so with; the platform's own keys unless given. */
  readonly cpak?: MintedKey
  readonly rak?: MintedKey
  readonly platformHeader?: CborValue
  readonly realmHeader?: CborValue
  /** Instead of signatures. */
  readonly platformSignature?: Uint8Array
  readonly realmSignature?: Uint8Array
  /** Instead of the whole payloads. */
  readonly platformPayload?: Uint8Array
  readonly realmPayload?: Uint8Array
  /** Tag of the collection; 399 for legacy tokens, else 907. */
  readonly tag?: number
  /** What differs from a good collection: parts by label. */
  readonly parts?: CcaMembers
}

const ALG = { ES256: -7, ES384: -35, PS384: -38, RS256: -257, RS384: -258 } as const
const PROFILES = {
  legacy: { platform: 'http://arm.com/CCA-SSD/1.0.0', realm: undefined },
  '2023': {
    platform: 'tag:arm.com,2023:cca_platform#1.0.0',
    realm: 'tag:arm.com,2023:realm#1.0.0',
  },
  '2024': {
    platform: 'tag:arm.com,2024:cca_platform#2.0.0',
    realm: 'tag:arm.com,2024:realm#2.0.0',
  },
  '2026': {
    platform: 'tag:arm.com,2026:cca_platform#2.0.0',
    realm: 'tag:arm.com,2026:realm#2.0.0',
  },
} as const
const LEGACY_TAG = 399
const CMW_TAG = 907
const EAT_CWT = 263
const PLATFORM = 44234
const REALM = 44241

/** One machine with keys of its own, P-384 both. */
export function mintArmPlatform(options: ArmPlatformOptions = {}): ArmPlatform {
  const cpak = options.cpak ?? mintKey('ES384')
  const rak = options.rak ?? mintKey('ES384')
  const implementationId = options.implementationId ?? fill(32, 0xa1)
  const instanceId = options.instanceId ?? Uint8Array.of(1, ...fill(32, 0xb2))
  return {
    cpak,
    rak,
    implementationId,
    instanceId,
    anchor: sha('sha256', cpak.spki).toString('hex'),
    endorsement: { spki: cpak.spki, implementationId, instanceId },
  }
}

/** Both signed tokens in their collection. */
export function mintCcaToken(options: CcaTokenOptions): DerBytes {
  const { platform, generation = 'legacy' } = options
  const realm = mapOf({ ...goodRealm(options), ...options.realmClaims })
  const claims = mapOf({ ...goodPlatform(options, realm), ...options.platformClaims })
  const signed = {
    [PLATFORM]: sign({
      key: options.cpak ?? platform.cpak,
      payload: options.platformPayload ?? encodeCbor(claims),
      header: options.platformHeader,
      signature: options.platformSignature,
    }),
    [REALM]: sign({
      key: options.rak ?? platform.rak,
      payload: options.realmPayload ?? encodeCbor(realm),
      header: options.realmHeader,
      signature: options.realmSignature,
    }),
  }
  const tag = options.tag ?? (generation === 'legacy' ? LEGACY_TAG : CMW_TAG)
  const parts = Object.fromEntries(
    Object.entries(signed).map(([label, bytes]) => [
      label,
      tag === CMW_TAG ? [EAT_CWT, bytes] : bytes,
    ]),
  )
  const collection = encodeCbor(mapOf({ ...parts, ...options.parts }))
  // Tags of two bytes, which is what both have.
  return Uint8Array.from([0xd9, tag >> 8, tag & 0xff, ...collection])
}

/** The realm key as a token has it: a bare point in legacy ones, else a COSE_Key. */
export function mintRealmKey({ alg, spki }: MintedKey, generation: CcaGeneration): DerBytes {
  const size = alg === 'ES256' ? 32 : 48
  const point = spki.slice(-(1 + 2 * size))
  if (generation === 'legacy') return point
  const [x, y] = [point.slice(1, 1 + size), point.slice(1 + size)]
  return encodeCbor(mapOf({ 1: 2, [-1]: alg === 'ES256' ? 1 : 2, [-2]: x, [-3]: y }))
}

function goodRealm({ platform, rak, generation = 'legacy' }: CcaTokenOptions): CcaMembers {
  return {
    10: fill(64, 0xc1),
    265: PROFILES[generation].realm,
    44235: fill(64, 0xc2),
    44238: fill(32, 0xd0),
    44239: [1, 2, 3, 4].map((i) => fill(32, 0xd0 + i)),
    44236: 'sha-256',
    44237: mintRealmKey(rak ?? platform.rak, generation),
    44240: 'sha-256',
    ...((generation === '2024' || generation === '2026') && {
      44243: generation === '2024' ? 'private' : 1,
      44244: 0,
      256: Uint8Array.of(1, ...fill(32, 0xc3)),
    }),
  }
}

function goodPlatform(
  { platform, generation = 'legacy' }: CcaTokenOptions,
  realm: ReadonlyMap<number | bigint | string, CborValue>,
): CcaMembers {
  const key = realm.get(44237)
  const named = realm.get(44240)
  const algorithm = typeof named === 'string' ? named.replace('-', '') : ''
  const known = ['sha256', 'sha384', 'sha512'].includes(algorithm) && key instanceof Uint8Array
  const binding = known ? Uint8Array.from(sha(algorithm, key)) : fill(32, 0)
  return {
    265: PROFILES[generation].platform,
    [generation === '2026' ? 2408 : 10]: binding,
    2396: platform.implementationId,
    256: platform.instanceId,
    2401: Uint8Array.of(0xcf, 0xcf, 0xcf, 0xcf),
    2395: 0x3003,
    2402: 'sha-256',
    2400: 'https://verifier.example/',
    2399: ['BL1', 'BL2', 'RMM'].map((type, i) =>
      mapOf({ 1: type, 2: fill(32, 0xe0 + i), 4: `1.${i}`, 5: fill(32, 0xf0), 6: 'sha-256' }),
    ),
    ...((generation === '2024' || generation === '2026') && { 2394: 1 }),
  }
}

interface Signing {
  readonly key: MintedKey
  readonly payload: Uint8Array
  readonly header: CborValue | undefined
  readonly signature: Uint8Array | undefined
}

function sign({ key, payload, header, signature }: Signing): DerBytes {
  const protectedBytes = encodeCbor(header ?? mapOf({ 1: ALG[key.alg] }))
  const good = mintSignature(key, signatureInput({ protectedBytes, payload }), true)
  const message = [protectedBytes, new Map<number, CborValue>(), payload, signature ?? good]
  const TAG_18 = 0xd2
  return Uint8Array.from([TAG_18, ...encodeCbor(message)])
}

/** Names that are numbers become numbers: labels are. */
function mapOf(members: CcaMembers): ReadonlyMap<number | string, CborValue> {
  const map = new Map<number | string, CborValue>()
  for (const [name, value] of Object.entries(members)) {
    if (value !== undefined) map.set(/^-?\d+$/.test(name) ? Number(name) : name, value)
  }
  return map
}

function fill(length: number, byte: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).fill(byte)
}

function sha(algorithm: string, data: Uint8Array): Buffer {
  return createHash(algorithm).update(data).digest()
}
