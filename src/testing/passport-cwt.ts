/** EARs as CWT, of a fake Verifier. @packageDocumentation */
import { concat, utf8 } from '../core/bytes/bytes.ts'
import { fromHex } from '../core/bytes/hex.ts'
import { type CborValue, encodeCbor } from '../core/encoding/cbor.ts'
import { type MintedKey, mintSignature } from '../drivers/attester/simulated/minting/x509.ts'
import { PASSPORT_BOUND } from './passport-claims.ts'
import type { PassportIssuer } from './passports.ts'

/** By label; `undefined` leaves one out. */
export type CwtMembers = readonly (readonly [number | string, CborValue | undefined])[]

export interface CwtOptions {
  readonly issuer: PassportIssuer
  /** `iat` of good claims. */
  readonly at: Date
  /** What differs from good ones. */
  readonly claims?: CwtMembers
  readonly appraisal?: CwtMembers
  readonly protectedHeader?: CwtMembers
  readonly unprotectedHeader?: CwtMembers
  /** In place of the claims. */
  readonly payload?: Uint8Array
  readonly key?: MintedKey
  /** 61 around 18 unless given. */
  readonly tags?: readonly (18 | 61)[]
}

const ALGORITHMS: Readonly<Partial<Record<MintedKey['alg'], number>>> = { ES256: -7, ES384: -35 }
const TAGS = { 18: Uint8Array.of(0xd2), 61: Uint8Array.of(0xd8, 0x3d) } as const
const BLAME = { code: 'ERR_CONFIG_INVALID', at: 'testing' } as const

/** A signed EAR with the claims of a good JWT of the same issuer. */
export function mintCwt(options: CwtOptions): Uint8Array<ArrayBuffer> {
  const { issuer, at, key = issuer.key, tags = [61, 18] } = options
  const protectedBytes = encodeCbor(
    mapOf([
      [1, ALGORITHMS[key.alg] ?? 0],
      [4, utf8(issuer.kid)],
      ...(options.protectedHeader ?? []),
    ]),
  )
  const payload = options.payload ?? encodeCbor(claimsOf(options, at))
  const input = encodeCbor(['Signature1', protectedBytes, new Uint8Array(), payload])
  const message = encodeCbor([
    protectedBytes,
    mapOf(options.unprotectedHeader ?? []),
    payload,
    mintSignature(key, input, true),
  ])
  return concat(...tags.map((tag) => TAGS[tag]), message)
}

function claimsOf({ claims = [], appraisal = [] }: CwtOptions, at: Date): CborValue {
  const vector = mapOf([
    [0, 2],
    [2, 3],
    [4, 2],
  ])
  const cpu0 = mapOf([
    [1000, 2],
    [1001, vector],
    [1003, ['default']],
    [1005, new Map([['report_data', PASSPORT_BOUND.reportData]])],
    ...appraisal,
  ])
  return mapOf([
    [6, Math.floor(at.getTime() / 1000)],
    [10, fromHex(PASSPORT_BOUND.nonce, BLAME)],
    [265, 'tag:ietf.org,2026:rats/ear#04'],
    [
      1004,
      mapOf([
        [0, 'Example Verifiers'],
        [1, '2.0'],
      ]),
    ],
    [266, new Map([['cpu0', cpu0]])],
    ...claims,
  ])
}

/** The last of each label counts. */
function mapOf(members: CwtMembers): ReadonlyMap<number | string, CborValue> {
  const kept = [...new Map(members)].filter(
    (member): member is [number | string, CborValue] => member[1] !== undefined,
  )
  return new Map(kept)
}
