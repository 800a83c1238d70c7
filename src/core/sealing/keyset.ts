/**
 * The keyset: every public key of one enclave, and the models it serves. Report data vouches for its
 * digest, so that a key outside the keyset is nobody's key. A native keyset is an ACI keyset with
 * one more member; ACI verifiers hash that along with the rest (spec/envelope.md §10).
 *
 * Its types are aliases and not interfaces: only those are also `Json`, which is what gets hashed.
 *
 * @packageDocumentation
 */

import { toHex } from '../bytes/hex.ts'
import { canonicalBytes, canonicalJson } from '../encoding/canonical-json.ts'
import { VouchsafeError } from '../errors.ts'
import type { Hasher } from '../ports/crypto.ts'
import { type JsonNode, jsonNode } from './json.ts'
import {
  type ChosenConfig,
  chooseConfig,
  encodeKeyConfig,
  type KeyConfig,
  parseKeyConfig,
} from './key-config.ts'
import type { KemId } from './suites.ts'

/** `next` keys are announced, `current` ones are sealed to, `previous` ones still opened. */
export type KeyState = 'next' | 'current' | 'previous'

/** How a key of `e2ee_public_keys` is to be used. */
export type SealingAlgorithm = 'rfc9458-key-config' | 'ehbp-x25519-aes-256-gcm'

/** One key to seal to. */
export type SealingKey = {
  readonly key_id: string
  readonly algo: SealingAlgorithm
  /** Hexadecimal: a bare Key Config, or for EHBP the X25519 key. */
  readonly public_key: string
}

/** When one sealing key is in force. */
export type KeyLife = {
  readonly key_id: string
  readonly state: KeyState
  /** Unix seconds; the first at which it may be used. */
  readonly not_before: number
  /** Unix seconds; the first at which it may not. */
  readonly not_after: number
}

/** As served, as hashed: names and order of RFC 8785 do the rest. */
export type Keyset = {
  readonly subject: string | null
  /** Unix seconds; the first at which the keyset is no more. */
  readonly not_after: number
  readonly receipt_signing_keys: readonly {
    readonly key_id: string
    readonly algo: 'ed25519'
    readonly public_key: string
  }[]
  readonly e2ee_public_keys: readonly SealingKey[]
  readonly tls_public_keys: readonly { readonly spki_sha256: string; readonly domain: string }[]
  readonly vouchsafe: {
    readonly version: 1
    readonly not_before: number
    /** One for each key of `e2ee_public_keys`. */
    readonly keys: readonly KeyLife[]
    /** Keys are released to this one: an uncompressed P-256 point, 65 bytes in hexadecimal. */
    readonly release_key: { readonly algo: 'p256'; readonly public_key: string }
    readonly models: readonly { readonly id: string; readonly manifest: string }[]
  }
}

/** What a client seals to. */
export interface ChosenKey extends ChosenConfig {
  /** Of the key in the keyset. */
  readonly keyName: string
}

const AT = 'keyset'
const NAME = /^[A-Za-z0-9._-]{1,64}$/
/** Model ids go into headers, so they are printable ASCII. */
const MODEL = /^[\x21-\x7e]{1,128}$/
const SUBJECT = /^[\x20-\x7e]{1,256}$/
const DOMAIN = /^[a-z0-9.-]{1,253}$/

/**
 * Parses a keyset. It proves nothing: report data, Attestation Result and log do, by its digest.
 *
 * @param value - From `JSON.parse`.
 * @throws {@link VouchsafeError} `ERR_KEYSET_MALFORMED`, for unknown members too.
 */
export function parseKeyset(value: unknown): Keyset {
  const root = jsonNode(value, 'ERR_KEYSET_MALFORMED', AT).object([
    'subject',
    'not_after',
    'receipt_signing_keys',
    'e2ee_public_keys',
    'tls_public_keys',
    'vouchsafe',
  ])
  const keyset: Keyset = {
    subject: root.subject.value === null ? null : root.subject.text(SUBJECT),
    not_after: root.not_after.integer(),
    receipt_signing_keys: root.receipt_signing_keys.array(8).map(receiptKey),
    e2ee_public_keys: root.e2ee_public_keys.array(16).map(sealingKey),
    tls_public_keys: root.tls_public_keys.array(16).map((node) => {
      const { spki_sha256, domain } = node.object(['spki_sha256', 'domain'])
      return { spki_sha256: spki_sha256.hex(32), domain: domain.text(DOMAIN) }
    }),
    vouchsafe: extension(root.vouchsafe),
  }
  assertConsistent(keyset)
  return keyset
}

/** The canonical text (RFC 8785) whose digest report data vouches for. */
export function keysetText(keyset: Keyset): string {
  return canonicalJson(keyset)
}

/** `sha256:<hex>` of {@link keysetText}. */
export async function keysetDigest(keyset: Keyset, hasher: Hasher): Promise<string> {
  return `sha256:${toHex(await hasher.digest('SHA-256', canonicalBytes(keyset)))}`
}

/**
 * Refuses a keyset that is not in force at `now`.
 *
 * @throws {@link VouchsafeError} `ERR_KEYSET_REFUSED` at `keyset.not_before` or `keyset.not_after`.
 */
export function requireInForce(keyset: Keyset, now: Date): void {
  const seconds = now.getTime() / 1000
  if (seconds < keyset.vouchsafe.not_before) throw refused('not_before', 'not in force yet')
  if (seconds >= keyset.not_after) throw refused('not_after', 'no longer in force')
}

/** The Key Configs in a given state whose time is now, by the name of their key. */
export function keyConfigs(
  keyset: Keyset,
  { now, states = ['current'] }: { readonly now: Date; readonly states?: readonly KeyState[] },
): ReadonlyMap<string, KeyConfig> {
  const seconds = now.getTime() / 1000
  const found = new Map<string, KeyConfig>()
  for (const { key_id, algo, public_key } of keyset.e2ee_public_keys) {
    const life = keyset.vouchsafe.keys.find((key) => key.key_id === key_id)
    if (life === undefined || algo !== 'rfc9458-key-config') continue
    const live = life.not_before <= seconds && seconds < life.not_after
    if (live && states.includes(life.state)) found.set(key_id, keyConfig(public_key, AT))
  }
  return found
}

/**
 * The strongest current key of an enclave that serves a model.
 *
 * @param options - `kems`: what the caller accepts, strongest first; a weaker offer is refused.
 * @throws {@link VouchsafeError} `ERR_KEYSET_REFUSED` at `keyset.models` if it serves no such model,
 *   at `keyset.keys` if it has no usable key, or as of {@link requireInForce}.
 */
export function chooseKey(
  keyset: Keyset,
  options: {
    readonly model: string
    readonly now: Date
    readonly kems?: readonly KemId[]
  },
): ChosenKey {
  requireInForce(keyset, options.now)
  if (!keyset.vouchsafe.models.some(({ id }) => id === options.model)) {
    throw refused('models', 'this enclave does not serve the model')
  }
  const configs = keyConfigs(keyset, { now: options.now })
  const chosen = chooseConfig([...configs.values()], options.kems)
  if (chosen === undefined) throw refused('keys', 'no current key that is accepted')
  const { keyId } = chosen.config
  const names = [...configs].filter(([, config]) => config.keyId === keyId)
  return { ...chosen, keyName: names[0]?.[0] ?? '' }
}

/** A member of `e2ee_public_keys` from a Key Config. */
export function sealingKeyOf(keyName: string, config: KeyConfig): SealingKey {
  const public_key = toHex(encodeKeyConfig(config))
  return { key_id: keyName, algo: 'rfc9458-key-config', public_key }
}

function receiptKey(node: JsonNode): Keyset['receipt_signing_keys'][number] {
  const { key_id, algo, public_key } = node.object(['key_id', 'algo', 'public_key'])
  return {
    key_id: key_id.text(NAME),
    algo: algo.oneOf(['ed25519']),
    public_key: public_key.hex(32),
  }
}

function sealingKey(node: JsonNode): SealingKey {
  const members = node.object(['key_id', 'algo', 'public_key'])
  const algo = members.algo.oneOf(['rfc9458-key-config', 'ehbp-x25519-aes-256-gcm'])
  const public_key = members.public_key.hex(algo === 'rfc9458-key-config' ? undefined : 32)
  if (algo === 'rfc9458-key-config') keyConfig(public_key, members.public_key.at)
  return { key_id: members.key_id.text(NAME), algo, public_key }
}

function keyConfig(text: string, at: string): KeyConfig {
  const blame = { code: 'ERR_KEYSET_MALFORMED', at } as const
  return parseKeyConfig(jsonNode(text, blame.code, at).bytes(), blame)
}

function extension(node: JsonNode): Keyset['vouchsafe'] {
  const members = node.object(['version', 'not_before', 'keys', 'release_key', 'models'])
  if (members.version.integer() !== 1) members.version.fail('1')
  const releaseKey = members.release_key.object(['algo', 'public_key'])
  return {
    version: 1,
    not_before: members.not_before.integer(),
    keys: members.keys.array(16).map((key) => {
      const life = key.object(['key_id', 'state', 'not_before', 'not_after'])
      return {
        key_id: life.key_id.text(NAME),
        state: life.state.oneOf(['next', 'current', 'previous']),
        not_before: life.not_before.integer(),
        not_after: life.not_after.integer(),
      }
    }),
    release_key: {
      algo: releaseKey.algo.oneOf(['p256']),
      public_key: releaseKey.public_key.text(/^04[0-9a-f]{128}$/),
    },
    models: members.models.array(64).map((model) => {
      const { id, manifest } = model.object(['id', 'manifest'])
      return { id: id.text(MODEL), manifest: manifest.digest() }
    }),
  }
}

/** A name that means two keys, or a key without a life, would leave a choice to whoever reads. */
function assertConsistent(keyset: Keyset): void {
  const { vouchsafe } = keyset
  const sealing = keyset.e2ee_public_keys.map(({ key_id }) => key_id)
  const lives = vouchsafe.keys.map(({ key_id }) => key_id)
  const receipts = keyset.receipt_signing_keys.map(({ key_id }) => key_id)
  assertDistinct(sealing, 'e2ee_public_keys')
  assertDistinct(lives, 'vouchsafe.keys')
  assertDistinct(receipts, 'receipt_signing_keys')
  assertDistinct(ohttpKeyIds(keyset), 'e2ee_public_keys')
  assertDistinct(
    vouchsafe.models.map(({ id }) => id),
    'vouchsafe.models',
  )
  if (receipts.length === 0) throw malformed('receipt_signing_keys', 'none')
  const alive = new Set(lives)
  if (sealing.length !== lives.length || !sealing.every((name) => alive.has(name))) {
    throw malformed('vouchsafe.keys', 'not one for each sealing key')
  }
  for (const { not_before, not_after } of vouchsafe.keys) {
    if (not_before >= not_after) throw malformed('vouchsafe.keys', 'ends before it begins')
  }
  if (vouchsafe.not_before >= keyset.not_after) throw malformed('not_after', 'before not_before')
}

/** Two keys with one id on the wire would make requests for one fail at the other (§2). */
function ohttpKeyIds(keyset: Keyset): readonly string[] {
  return keyset.e2ee_public_keys
    .filter(({ algo }) => algo === 'rfc9458-key-config')
    .map(({ public_key }) => public_key.slice(0, 2))
}

function assertDistinct(names: readonly string[], field: string): void {
  if (new Set(names).size !== names.length) throw malformed(field, 'one name twice')
}

function malformed(field: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_KEYSET_MALFORMED', at: `${AT}.${field}` }, detail)
}

function refused(field: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_KEYSET_REFUSED', at: `${AT}.${field}` }, detail)
}
