/** CoRIMs of our own making. */
import { Tag } from 'cbor-x/index-no-eval'
import { type CborValue, encodeCbor } from '../../src/core/encoding/cbor.ts'
import { signatureInput } from '../../src/core/encoding/cose.ts'
import { type Imported, importFile } from '../../src/core/reference-values/import.ts'
import {
  type MintedKey,
  mintKey,
  mintSignature,
} from '../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'

const TAGS = [
  ...[1, 18, 32, 37, 111, 500, 501, 502, 505, 506, 508],
  ...[550, 552, 554, 555, 560, 563, 600, 601, 602, 60_010, 60_020],
]
export const NOW = new Date('2026-09-01T12:00:00Z')
export const SIGNER = mintKey('ES256')
export const PLATFORM = 'tag:arm.com,2025:cca_platform#1.0.0'
export const REALM = 'tag:arm.com,2025:cca_realm#1.0.0'
export const bytes = (size: number, fill: number): Uint8Array => new Uint8Array(size).fill(fill)
export const hex = (size: number, fill: number): string =>
  Buffer.from(bytes(size, fill)).toString('hex')
export const tag = (number: number, value: CborValue): CborValue => new Tag(value, number)
export const time = (date: Date): CborValue => tag(1, Math.floor(date.getTime() / 1000))
export const map = (entries: readonly (readonly [number | string, CborValue])[]): CborValue =>
  new Map(entries)
export const encode = (value: CborValue): Uint8Array<ArrayBuffer> => encodeCbor(value, TAGS)

/** `[environment, measurements]`. */
export const triple = (environment: CborValue, ...measurements: CborValue[]): CborValue => [
  environment,
  measurements,
]
export const measurement = (
  key: CborValue | undefined,
  ...values: (readonly [number, CborValue])[]
): CborValue => map([...(key === undefined ? [] : ([[0, key]] as const)), [1, map(values)]])
export const environment = (
  classId: CborValue | undefined,
  others: readonly (readonly [number, CborValue])[] = [],
): CborValue =>
  map([[0, map([...(classId === undefined ? [] : ([[0, classId]] as const)), ...others])]])

/** A class of AMD's, by its OID in hexadecimal. */
export const oid = (text: string): CborValue => tag(111, new Uint8Array(Buffer.from(text, 'hex')))
/** A class of Intel's, by its model. */
export const intel = (model: string): CborValue =>
  environment(undefined, [
    [1, 'Intel Corporation'],
    [2, model],
  ])
/** An Arm CCA platform, and a component of its software. */
export const CCA = environment(tag(560, bytes(32, 1)))
export const component = (
  name: string,
  fill: number,
  ...others: (readonly [number, CborValue])[]
): CborValue =>
  measurement('cca.software-component', [2, [[1, bytes(32, fill)]]], [11, name], ...others)

export interface CorimOptions {
  readonly profile?: string
  readonly references?: readonly CborValue[]
  readonly keys?: readonly CborValue[]
  readonly triples?: readonly (readonly [number | string, CborValue])[]
  readonly validity?: CborValue
  readonly tags?: readonly CborValue[]
  readonly members?: readonly (readonly [number, CborValue])[]
}

/** A CoRIM of one CoMID, tagged 501. */
export function mintCorim(options: CorimOptions): Uint8Array<ArrayBuffer> {
  const { references, keys, triples = [], profile, validity, tags = [], members = [] } = options
  const comid = map([
    [1, map([[0, 'comid']])],
    [
      4,
      map([
        ...(references === undefined ? [] : ([[0, references]] as const)),
        ...(keys === undefined ? [] : ([[3, keys]] as const)),
        ...triples,
      ]),
    ],
  ])
  return encode(
    tag(
      501,
      map([
        [0, 'manifest'],
        [1, [tag(506, encode(comid)), ...tags]],
        ...(profile === undefined ? [] : ([[3, tag(32, profile)]] as const)),
        ...(validity === undefined ? [] : ([[4, validity]] as const)),
        ...members,
      ]),
    ),
  )
}

export interface SignOptions {
  readonly key?: MintedKey
  readonly algorithm?: number
  readonly headers?: readonly (readonly [number, CborValue])[]
  readonly unprotected?: readonly (readonly [number, CborValue])[]
  /** Around it, outermost first. */
  readonly wrappers?: readonly number[]
}

/** `#6.18([...])` around a CoRIM. */
export function signCorim(
  payload: Uint8Array,
  { key = SIGNER, algorithm = -7, headers, unprotected = [], wrappers = [] }: SignOptions = {},
): Uint8Array<ArrayBuffer> {
  const protectedBytes = encode(
    map([[1, algorithm], ...(headers ?? ([[3, 'application/rim+cbor']] as const))]),
  )
  const signature = mintSignature(key, signatureInput({ protectedBytes, payload }), true)
  const message = tag(18, [protectedBytes, map(unprotected), payload, signature])
  return encode(wrappers.reduceRight<CborValue>((inner, number) => tag(number, inner), message))
}

/** An Arm CCA platform with two components and a key. */
export const ccaPlatform = (): Uint8Array<ArrayBuffer> =>
  mintCorim({
    profile: PLATFORM,
    references: [
      triple(
        CCA,
        ...['BL', 'RMM'].map((name, i) =>
          component(name, 0x10 + i, [13, [tag(560, bytes(32, 0x20))]]),
        ),
      ),
    ],
  })

/** Its realm. */
export const ccaRealm = (fill = 0x30): Uint8Array<ArrayBuffer> =>
  mintCorim({
    profile: REALM,
    references: [
      triple(
        environment(tag(560, bytes(32, fill))),
        measurement('cca.rim', [2, [[1, bytes(32, fill)]]]),
        measurement('cca.rem0', [2, [[1, bytes(32, fill + 1)]]]),
      ),
    ],
  })

/** Imports what nobody signed. */
export const readUnsigned = async (corim: Uint8Array, now = NOW): Promise<Imported> =>
  importFile(corim, {
    authority: { unsigned: true },
    now,
    crypto: createCrypto(),
    anyProfile: true,
  })

/** Imports a manifest of these parts. */
export const readCorim = async (options: CorimOptions): Promise<Imported> =>
  readUnsigned(mintCorim(options))

/** What its fragments say, by the names of measurements. */
export async function claimsOf(
  options: CorimOptions,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { fragments } = await readCorim(options)
  return fragments.map(({ format, layer, claims }) => ({
    format,
    layer,
    ...Object.fromEntries(claims.map(({ name, anyOf }) => [name, anyOf])),
  }))
}

/** Imports what the key must have signed. */
export const readSigned = async (
  corim: Uint8Array,
  { key = SIGNER, now = NOW }: { readonly key?: MintedKey; readonly now?: Date } = {},
): Promise<Imported> => importFile(corim, { authority: { key }, now, crypto: createCrypto() })
