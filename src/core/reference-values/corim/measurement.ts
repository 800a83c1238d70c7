/** One measurement of a triple: its key, and what it should be. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import type { CborValue } from '../../encoding/cbor.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { asBytes, asList, asMap, asText, show, taggedOf, within } from './item.ts'

export interface Measurement {
  /** A number as text, a text, or the bytes of an id in hexadecimal; `undefined`: the only one. */
  readonly key: string | undefined
  readonly name: string | undefined
  readonly digests: readonly Digest[]
  readonly raw: RawValue | undefined
  /** Integrity registers, by name or number. */
  readonly registers: readonly (readonly [string, readonly Digest[]])[]
  /** Intel's `tee.mrtee` and `tee.mrsigner`: one of these digests. Empty if not asked. */
  readonly mrTee: readonly Digest[]
  readonly mrSigner: readonly Digest[]
  /** Key ids in `cryptokeys` (hexadecimal), and `signer-id` of older CCA drafts. */
  readonly signers: readonly string[]
  /** What else it asks, by name: nothing here says it for them. */
  readonly others: readonly string[]
}

export interface Digest {
  readonly algorithm: HashName
  /** Lower-case hex. */
  readonly value: string
}

/** As bytes are compared: under the mask, if there is one. */
export interface RawValue {
  readonly value: Uint8Array
  readonly mask: Uint8Array | undefined
}

/** IANA "Named Information Hash Algorithm", by number; others are not compared. */
const HASHES = { 1: 'sha-256', 7: 'sha-384', 8: 'sha-512' } as const
export type HashName = (typeof HASHES)[keyof typeof HASHES]
const SIZES: Readonly<Record<HashName, number>> = { 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 }

const BYTES_TAG = 560
/** `[value, mask]`; the first drafts have the mask in a member of its own. */
const MASKED_TAG = 563
/** Intel's expressions: `[6, digests]` is "a member of". 60010 in the first drafts, now 60020. */
const EXPRESSION_TAGS: readonly number[] = [60_010, 60_020]
const MEMBER = 6
const [MR_TEE, MR_SIGNER] = [-83, -84] as const
/** Names of what this verifier has no measurement for (draft-ietf-rats-corim §5.1.4.1.4.2). */
const NAMES: ReadonlyMap<unknown, string> = new Map([
  [0, 'version'],
  [1, 'svn'],
  [3, 'flags'],
  [6, 'mac-addr'],
  [7, 'ip-addr'],
  [8, 'serial-number'],
  [9, 'ueid'],
  [10, 'uuid'],
  [12, 'integrity-registers (older draft)'],
  [-71, 'tee.model'],
  [-72, 'tee.tcbdate'],
  [-73, 'tee.isvsvn'],
  [-81, 'tee.miscselect'],
  [-82, 'tee.attributes'],
  [-85, 'tee.isvprodid'],
  [-86, 'tee.tcb-eval-num'],
  [-88, 'tee.tcbstatus'],
  [-89, 'tee.advisory-ids'],
  [-91, 'tee.cryptokeys'],
])
const READ: readonly (number | bigint | string)[] = [2, 4, 5, 11, 13, 14, MR_TEE, MR_SIGNER]

/**
 * Reads a `measurement-map`.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for another shape, and a digest of a length
 *   that is not its algorithm's.
 */
export function readMeasurement(value: CborValue, blame: Blame): Measurement {
  const map = asMap(value, blame)
  const at = within(blame, 'mval')
  const mval = asMap(map.get(1), at)
  const key = map.has(0) ? readKey(map.get(0), within(blame, 'mkey')) : EMPTY_KEY
  const others = [...mval.keys()].filter((label) => !READ.includes(label))
  const tee = (label: number): ReturnType<typeof readTee> =>
    mval.has(label) ? readTee(mval.get(label), within(at, String(label))) : EMPTY_TEE
  const [mrTee, mrSigner] = [tee(MR_TEE), tee(MR_SIGNER)]
  const keys = readSigners(mval.get(13), within(at, 'cryptokeys'))
  const digests = mval.has(2) ? readOwnDigests(mval.get(2), within(at, 'digests')) : EMPTY_TEE
  const registers = mval.has(14) ? readRegisters(mval.get(14), within(at, 'registers')) : []
  return {
    key: key.text,
    name: mval.has(11) ? asText(mval.get(11), within(at, 'name')) : key.name,
    digests: digests.digests,
    raw: mval.has(4) ? readRaw(mval.get(4), mval.get(5), within(at, 'raw-value')) : undefined,
    registers: registers.map(([name, read]) => [name, read.digests] as const),
    mrTee: mrTee.digests,
    mrSigner: mrSigner.digests,
    signers: [...key.signers, ...keys.ids],
    others: [
      ...others.map((label) => NAMES.get(label) ?? `member ${label}`),
      ...[digests, mrTee, mrSigner, ...registers.map(([, read]) => read)].flatMap((r) => r.others),
      ...key.others,
      ...keys.others,
      ...(map.has(2) ? ['authorized-by'] : []),
      ...(mval.has(5) && !mval.has(4) ? ['a mask without a value'] : []),
    ],
  }
}

/** The members of a measurement that hold something, by name. */
export function membersOf(one: Measurement): readonly string[] {
  const lists = ['digests', 'mrTee', 'mrSigner', 'registers', 'signers'] as const
  return [
    ...lists.filter((name) => one[name].length > 0),
    ...(one.raw === undefined ? [] : ['raw']),
    ...(one.name === undefined ? [] : ['name']),
  ]
}

interface Key {
  readonly text: string | undefined
  readonly name: string | undefined
  readonly signers: readonly string[]
  readonly others: readonly string[]
}

interface Read {
  readonly digests: readonly Digest[]
  readonly others: readonly string[]
}

const EMPTY_KEY: Key = { text: undefined, name: undefined, signers: [], others: [] }
const EMPTY_TEE: Read = { digests: [], others: [] }
/** Of older CCA drafts: `{1: label, 4: version, 5: signer-id}`, and the label of a configuration. */
const [REFVAL_ID, CONFIG_ID] = [601, 602] as const

function readKey(value: CborValue | undefined, blame: Blame): Key {
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string') {
    return { ...EMPTY_KEY, text: String(value) }
  }
  const tagged = taggedOf(value)
  if (tagged === undefined) throw new VouchsafeError(blame, 'not a number, text or id')
  if (tagged.tag === REFVAL_ID) {
    const id = asMap(tagged.value, blame)
    const name = id.has(1) ? asText(id.get(1), within(blame, 'label')) : undefined
    const signer = asBytes(id.get(5), within(blame, 'signer-id'))
    const others = id.has(4) ? ['version'] : []
    return { text: 'cca.software-component', name, signers: [toHex(signer)], others }
  }
  if (tagged.tag === CONFIG_ID) return { ...EMPTY_KEY, text: 'cca.platform-config' }
  return { ...EMPTY_KEY, text: `${tagged.tag}(${toHex(asBytes(tagged.value, blame))})` }
}

/** Digests of one thing: two by one algorithm contradict each other. */
function readOwnDigests(value: CborValue | undefined, blame: Blame): Read {
  const read = readDigests(value, blame)
  const algorithms = new Set(read.digests.map(({ algorithm }) => algorithm))
  if (algorithms.size === read.digests.length) return read
  throw new VouchsafeError(blame, 'two digests by one algorithm')
}

function readDigests(value: CborValue | undefined, blame: Blame): Read {
  const read = asList(value, blame).map((item, i) =>
    readDigest(item, { code: blame.code, at: `${blame.at}[${i}]` }),
  )
  return {
    digests: read.filter((digest) => typeof digest !== 'string'),
    others: read.filter((digest) => typeof digest === 'string'),
  }
}

/** A digest, or in words that its algorithm is none that evidence here has. */
function readDigest(value: CborValue, blame: Blame): Digest | string {
  const [algorithm, bytes, ...rest] = asList(value, blame)
  const digest = asBytes(bytes, blame)
  if (rest.length > 0) throw new VouchsafeError(blame, 'not algorithm and value')
  const names: Readonly<Record<string, HashName>> = HASHES
  const name = Object.values(HASHES).find(
    (known) => known === algorithm || (typeof algorithm === 'number' && known === names[algorithm]),
  )
  if (name === undefined) return `digest of algorithm ${show(algorithm)}`
  if (digest.length !== SIZES[name]) {
    throw new VouchsafeError(blame, `${digest.length} bytes, want ${SIZES[name]} for ${name}`)
  }
  return { algorithm: name, value: toHex(digest) }
}

function readRegisters(
  value: CborValue | undefined,
  blame: Blame,
): readonly (readonly [string, Read])[] {
  return [...asMap(value, blame)].map(([label, digests]) => {
    return [String(label), readOwnDigests(digests, within(blame, String(label)))] as const
  })
}

/** `tee.mrtee`: one digest, several, or "a member of" several. */
function readTee(value: CborValue | undefined, blame: Blame): Read {
  const tagged = taggedOf(value)
  if (tagged !== undefined && EXPRESSION_TAGS.includes(tagged.tag)) {
    const [operator, set] = asList(tagged.value, blame)
    if (operator === MEMBER) return readDigests(set, blame)
    return { digests: [], others: [`digests by operator ${show(operator)}`] }
  }
  const list = asList(value, blame)
  const single = typeof list[0] === 'number' || typeof list[0] === 'string'
  return readDigests(single ? [list] : list, blame)
}

function readRaw(
  value: CborValue | undefined,
  mask: CborValue | undefined,
  blame: Blame,
): RawValue {
  const tagged = taggedOf(value)
  if (tagged?.tag === MASKED_TAG) {
    const [bytes, own, ...rest] = asList(tagged.value, blame)
    if (rest.length > 0 || mask !== undefined) throw new VouchsafeError(blame, 'two masks')
    return masked(asBytes(bytes, blame), own, within(blame, 'mask'))
  }
  if (tagged !== undefined && tagged.tag !== BYTES_TAG) {
    throw new VouchsafeError(blame, `bytes with tag ${tagged.tag}`)
  }
  const bytes = asBytes(tagged === undefined ? value : tagged.value, blame)
  return mask === undefined
    ? { value: bytes, mask: undefined }
    : masked(bytes, mask, within(blame, 'mask'))
}

function masked(value: Uint8Array, mask: CborValue | undefined, blame: Blame): RawValue {
  const bits = asBytes(mask, blame)
  if (bits.length !== value.length) throw new VouchsafeError(blame, 'not as long as the value')
  return { value, mask: bits }
}

/** Ids of keys; a key itself is no `signer-id`. */
function readSigners(
  value: CborValue | undefined,
  blame: Blame,
): { readonly ids: readonly string[]; readonly others: readonly string[] } {
  const keys = value === undefined ? [] : asList(value, blame).map(taggedOf)
  const ids = keys.flatMap((key) =>
    key?.tag === BYTES_TAG ? [toHex(asBytes(key.value, blame))] : [],
  )
  const strange = keys.filter((key) => key?.tag !== BYTES_TAG)
  return { ids, others: strange.map((key) => `cryptokeys of tag ${key?.tag ?? 'none'}`) }
}
