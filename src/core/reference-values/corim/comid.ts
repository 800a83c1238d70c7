/** A concise module identifier (CoMID): triples of an environment and what is said of it. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import { type CborValue, decodeCbor } from '../../encoding/cbor.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { type Environment, readEnvironment } from './environment.ts'
import { asList, asMap, asText, type CborMap, taggedOf, within } from './item.ts'
import { type Measurement, readMeasurement } from './measurement.ts'

export interface Comid {
  readonly id: string
  readonly references: readonly ReferenceTriple[]
  readonly attestKeys: readonly KeyTriple[]
  /** Ids of CoMIDs that this one corrects: what they say is to be disregarded. */
  readonly replaces: readonly string[]
  /** What it says besides, by name. */
  readonly others: readonly string[]
}

export interface ReferenceTriple {
  readonly environment: Environment
  readonly measurements: readonly Measurement[]
}

export interface KeyTriple {
  readonly environment: Environment
  /** PEM or base64 of a SubjectPublicKeyInfo, as it stands there. */
  readonly keys: readonly string[]
  readonly others: readonly string[]
}

/**
 * Tags that may occur in a CoMID: times, URIs, UUIDs, OIDs, keys, ids, Intel's expressions, and the
 * ids of older PSA and CCA drafts.
 */
const TAGS: readonly number[] = [
  ...[1, 32, 37, 111, 564],
  ...Array.from({ length: 14 }, (_, i) => 550 + i),
  ...[600, 601, 602, 60_010, 60_020, 60_021],
]
/** `concise-mid-tag`: language, tag-identity, entities, linked-tags, triples. */
const MEMBERS: readonly unknown[] = [0, 1, 2, 3, 4]
const KEY_TAG = 554
/** `tag-rel` (draft-ietf-rats-corim §5.1.3): 0 supplements. */
const REPLACES = 1
const TRIPLES: ReadonlyMap<unknown, string> = new Map([
  [1, 'endorsed-triples'],
  [2, 'identity-triples'],
  [4, 'dependency-triples'],
  [5, 'membership-triples'],
  [6, 'coswid-triples'],
  [8, 'conditional-endorsement-series-triples'],
  [9, 'conditional-endorsement-triples'],
  [10, 'conditional-endorsement-triples'],
])

/**
 * Reads a CoMID.
 *
 * @param bytes - What tag 506 holds.
 * @throws {@link VouchsafeError} with the code of `blame`.
 * @see draft-ietf-rats-corim §5.1
 */
export function readComid(bytes: Uint8Array, blame: Blame): Comid {
  const map = asMap(decodeCbor(bytes, TAGS, blame), blame)
  const identity = asMap(map.get(1), within(blame, 'tag-identity'))
  const at = within(blame, 'triples')
  const triples = asMap(map.get(4), at)
  const others = [...triples.keys()].filter((label) => label !== 0 && label !== 3)
  const links = map.has(3) ? readLinks(map.get(3), within(blame, 'linked-tags')) : []
  const extensions = [...map.keys()].filter((label) => !MEMBERS.includes(label))
  return {
    id: readTagId(identity.get(0), within(blame, 'tag-id')),
    references: readAll({ triples, label: 0 }, within(at, 'reference-triples'), readReference),
    attestKeys: readAll({ triples, label: 3 }, within(at, 'attest-key-triples'), readKeys),
    replaces: links.filter(({ relation }) => relation === REPLACES).map(({ id }) => id),
    others: [
      ...others.map((label) => TRIPLES.get(label) ?? `triples ${label}`),
      ...extensions.map((label) => `member ${label}`),
      ...links.map(({ id, relation }) =>
        // What it replaces elsewhere stays in whatever set it was imported into before.
        relation === REPLACES ? `replaces ${id}, in this manifest only` : `linked to ${id}`,
      ),
    ],
  }
}

/** The id of a tag or manifest: text, or a UUID in hexadecimal. */
export function readTagId(value: CborValue | undefined, blame: Blame): string {
  const untagged = taggedOf(value)?.value ?? value
  return untagged instanceof Uint8Array ? toHex(untagged) : asText(untagged, blame)
}

function readLinks(
  value: CborValue | undefined,
  blame: Blame,
): readonly { readonly id: string; readonly relation: CborValue | undefined }[] {
  return asList(value, blame).map((item, i) => {
    const at = { code: blame.code, at: `${blame.at}[${i}]` }
    const link = asMap(item, at)
    return { id: readTagId(link.get(0), within(at, 'linked-tag-id')), relation: link.get(1) }
  })
}

function readAll<T>(
  { triples, label }: { readonly triples: CborMap; readonly label: number },
  blame: Blame,
  read: (parts: readonly CborValue[], blame: Blame) => T,
): readonly T[] {
  if (!triples.has(label)) return []
  return asList(triples.get(label), blame).map((item, i) => {
    const at = { code: blame.code, at: `${blame.at}[${i}]` }
    return read(asList(item, at), at)
  })
}

function readReference(parts: readonly CborValue[], blame: Blame): ReferenceTriple {
  const [environment, measurements, ...rest] = parts
  if (rest.length > 0) throw new VouchsafeError(blame, 'not environment and measurements')
  const at = within(blame, 'measurements')
  return {
    environment: readEnvironment(environment, within(blame, 'environment')),
    // The first drafts allow one measurement without a list around it.
    measurements: (measurements instanceof Map ? [measurements] : asList(measurements, at)).map(
      (item, i) => readMeasurement(item, { code: blame.code, at: `${at.at}[${i}]` }),
    ),
  }
}

function readKeys(parts: readonly CborValue[], blame: Blame): KeyTriple {
  const [environment, keys, ...rest] = parts
  const list = asList(keys, within(blame, 'keys')).map(taggedOf)
  return {
    environment: readEnvironment(environment, within(blame, 'environment')),
    // Under conditions that nobody here checks, a key is none.
    keys: list.flatMap((key) =>
      key?.tag === KEY_TAG && rest.length === 0 ? [asText(key.value, within(blame, 'keys'))] : [],
    ),
    others: [
      ...list
        .filter((key) => key?.tag !== KEY_TAG)
        .map((key) => `a key of tag ${key?.tag ?? 'none'}`),
      ...(rest.length > 0 ? ['keys under conditions'] : []),
    ],
  }
}
