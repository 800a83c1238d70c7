/**
 * Key configurations: which public key and which algorithms a server takes (RFC 9458 §3).
 *
 * @packageDocumentation
 */
import { concat } from '../bytes/bytes.ts'
import { ByteReader } from '../bytes/reader.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { Bytes } from '../ports/sealing.ts'
import { u16 } from './kdf.ts'
import {
  AEAD_PREFERENCE,
  isAead,
  isKdf,
  isKem,
  KDF_HKDF_SHA256,
  KEM_PREFERENCE,
  KEMS,
  type KemId,
  type Suite,
} from './suites.ts'

/** Of a list, as served at `/.well-known/ohttp-gateway` (RFC 9540). */
export const OHTTP_KEYS_MEDIA_TYPE = 'application/ohttp-keys'

/** Public keys we can skip over without being able to use them: MLKEM768-P256, MLKEM1024-P384. */
const OTHER_PUBLIC_KEYS: Readonly<Record<number, number>> = { 0x0050: 1249, 0x0051: 1665 }

/** One Key Config. Algorithms are numbers as on the wire: a server may offer ones we do not know. */
export interface KeyConfig {
  readonly keyId: number
  readonly kem: number
  readonly publicKey: Uint8Array
  readonly suites: readonly { readonly kdf: number; readonly aead: number }[]
}

/** A Key Config together with the suite chosen from it. */
export interface ChosenConfig {
  readonly config: KeyConfig & { readonly kem: KemId }
  readonly suite: Suite
}

/** What we advertise for one key: its suites in the order of preference. */
export function keyConfigOf(keyId: number, kem: KemId, publicKey: Uint8Array): KeyConfig {
  const suites = AEAD_PREFERENCE.map((aead) => ({ kdf: KDF_HKDF_SHA256, aead }))
  return { keyId, kem, publicKey, suites }
}

/** A bare Key Config (RFC 9458 §3.1). */
export function encodeKeyConfig(config: KeyConfig): Bytes {
  const suites = config.suites.flatMap(({ kdf, aead }) => [u16(kdf), u16(aead)])
  return concat(
    Uint8Array.of(config.keyId),
    u16(config.kem),
    config.publicKey,
    u16(4 * config.suites.length),
    ...suites,
  )
}

/** An `application/ohttp-keys` list (RFC 9458 §3.2). */
export function encodeKeyConfigs(configs: readonly KeyConfig[]): Bytes {
  const encoded = configs.map(encodeKeyConfig)
  return concat(...encoded.flatMap((config) => [u16(config.length), config]))
}

/**
 * Parses one bare Key Config. It proves nothing: whose key it is, the keyset has to say.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for any encoding error, trailing bytes
 *   included; `ERR_ENVELOPE_UNSUPPORTED` for a KEM whose keys we cannot even measure.
 */
export function parseKeyConfig(bytes: Uint8Array, blame: Blame): KeyConfig {
  const r = new ByteReader(bytes, 'be', blame)
  const keyId = r.u8('key_id')
  const kem = r.u16('kem')
  const length = isKem(kem) ? KEMS[kem].publicKey : OTHER_PUBLIC_KEYS[kem]
  if (length === undefined) {
    const unsupported = { code: 'ERR_ENVELOPE_UNSUPPORTED', at: `${blame.at}.kem` } as const
    throw new VouchsafeError(unsupported, `KEM ${kem}`)
  }
  const publicKey = r.bytes(length, 'public_key')
  const size = r.u16('suites')
  if (size < 4 || size % 4 !== 0) r.fail('suites', `${size} bytes are no list of suites`)
  const suites = []
  for (let i = 0; i < size; i += 4) suites.push({ kdf: r.u16('kdf'), aead: r.u16('aead') })
  r.end()
  return { keyId, kem, publicKey, suites }
}

/**
 * Parses an `application/ohttp-keys` list. An encoding error anywhere discards it whole (RFC 9458
 * §3.2); a config with an unknown KEM is skipped, since its length is known from outside.
 *
 * @throws {@link VouchsafeError} with the code of `blame`, also for an empty list.
 */
export function parseKeyConfigs(bytes: Uint8Array, blame: Blame): readonly KeyConfig[] {
  const r = new ByteReader(bytes, 'be', blame)
  if (r.remaining === 0) r.fail('length', 'an empty list')
  const configs: KeyConfig[] = []
  while (r.remaining > 0) {
    const config = r.bytes(r.u16('length'), 'config')
    // Key id and KEM must be there, or this is an encoding error and not an unknown KEM.
    if (config.length < 3) r.fail('config', `${config.length} bytes`)
    if (isMeasurable(config)) configs.push(parseKeyConfig(config, blame))
  }
  return configs
}

/**
 * Picks the strongest key and suite that both sides know, in the order of `kems`.
 *
 * @param kems - What the caller accepts; leaving one out here is how a downgrade is refused.
 * @returns `undefined` if there is none in common.
 */
export function chooseConfig(
  configs: readonly KeyConfig[],
  kems: readonly KemId[] = KEM_PREFERENCE,
): ChosenConfig | undefined {
  for (const kem of kems) {
    for (const config of configs) {
      const suite = config.kem === kem ? chooseSuite(config, kem) : undefined
      if (suite !== undefined) return { config: { ...config, kem }, suite }
    }
  }
  return undefined
}

function chooseSuite({ suites }: KeyConfig, kem: KemId): Suite | undefined {
  for (const aead of AEAD_PREFERENCE) {
    const offered = suites.some((suite) => isKdf(suite.kdf) && suite.aead === aead)
    if (offered && isAead(aead)) return { kem, kdf: KDF_HKDF_SHA256, aead }
  }
  return undefined
}

function isMeasurable(config: Uint8Array): boolean {
  const kem = ((config[1] ?? 0) << 8) | (config[2] ?? 0)
  return isKem(kem) || kem in OTHER_PUBLIC_KEYS
}
