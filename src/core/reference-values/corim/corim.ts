/**
 * Concise Reference Integrity Manifests (CoRIM): what makers of platforms and software say their
 * measurements should be.
 *
 * @packageDocumentation
 * @see draft-ietf-rats-corim
 */
import { type CborValue, decodeCbor } from '../../encoding/cbor.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { type Comid, readComid, readTagId } from './comid.ts'
import { asBytes, asList, asMap, asText, asTime, taggedOf, within } from './item.ts'

export interface Corim {
  readonly id: string
  /** What its terms mean: a URI, or an OID in hexadecimal. */
  readonly profile: string | undefined
  readonly validity: Validity | undefined
  readonly comids: readonly Comid[]
  /** What it holds besides, by name. */
  readonly others: readonly string[]
}

/** Both ends belong to it. */
export interface Validity {
  readonly notBefore: Date | undefined
  readonly notAfter: Date
}

const [URI, OID, CORIM, COMID] = [32, 111, 501, 506] as const
const TAGS: readonly number[] = [1, URI, 37, OID, CORIM, 505, COMID, 507, 508]
const TAG_NAMES: Readonly<Record<number, string>> = {
  505: 'a CoSWID (software id)',
  507: 'a concise trust store',
  508: 'a CoBOM or trust list',
}
/** `corim-map`: id, tags, dependent-rims, profile, rim-validity, entities. */
const MEMBERS: readonly unknown[] = [0, 1, 2, 3, 4, 5]

/**
 * Reads an unsigned CoRIM. Reading proves nothing: it is its author's only if a signature around it
 * says so.
 *
 * @param bytes - Tagged 501 or not.
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function readCorim(bytes: Uint8Array, blame: Blame): Corim {
  const item = decodeCbor(bytes, TAGS, blame)
  const tagged = taggedOf(item)
  if (tagged !== undefined && tagged.tag !== CORIM) {
    throw new VouchsafeError(blame, `tag ${tagged.tag}, want ${CORIM}`)
  }
  const map = asMap(tagged?.value ?? item, blame)
  const at = within(blame, 'tags')
  const tags = asList(map.get(1), at).map((tag, i) =>
    readTag(tag, { code: blame.code, at: `${at.at}[${i}]` }),
  )
  const comids = tags.filter((tag) => typeof tag !== 'string')
  if (new Set(comids.map(({ id }) => id)).size < comids.length) {
    // An id is of one tag (§5.1.1): nothing says which of two counts.
    throw new VouchsafeError(at, 'two CoMIDs have one id')
  }
  const unknown = [...map.keys()].filter((label) => !MEMBERS.includes(label))
  return {
    id: readTagId(map.get(0), within(blame, 'id')),
    profile: map.has(3) ? readProfile(map.get(3), within(blame, 'profile')) : undefined,
    validity: map.has(4) ? readValidity(map.get(4), within(blame, 'rim-validity')) : undefined,
    comids,
    others: [
      ...tags.filter((tag) => typeof tag === 'string'),
      ...unknown.map((label) => `member ${label}`),
      ...(map.has(2) ? ['dependent-rims: import them too'] : []),
    ],
  }
}

/** Reads a `validity-map`. @throws {@link VouchsafeError} with the code of `blame`. */
export function readValidity(value: CborValue | undefined, blame: Blame): Validity {
  const map = asMap(value, blame)
  return {
    notBefore: map.has(0) ? asTime(map.get(0), within(blame, 'not-before')) : undefined,
    notAfter: asTime(map.get(1), within(blame, 'not-after')),
  }
}

/**
 * Refuses what is not valid at `now`.
 *
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_UNTRUSTED` at `at`.
 */
export function assertCurrent(validity: Validity | undefined, now: Date, at: string): void {
  if (validity === undefined) return
  const { notBefore, notAfter } = validity
  const blame = { code: 'ERR_REFERENCE_VALUES_UNTRUSTED', at } as const
  // Asked so that a time which is no time at all is outside of every validity.
  if (notBefore !== undefined && !(notBefore <= now)) {
    throw new VouchsafeError(blame, `not valid before ${notBefore.toISOString()}`)
  }
  if (!(now <= notAfter)) {
    throw new VouchsafeError(blame, `not valid after ${notAfter.toISOString()}`)
  }
}

/** A CoMID, or in words what else it is. */
function readTag(value: CborValue, blame: Blame): Comid | string {
  const tagged = taggedOf(value)
  if (tagged === undefined) throw new VouchsafeError(blame, 'has no tag')
  if (tagged.tag === COMID) return readComid(asBytes(tagged.value, blame), blame)
  return TAG_NAMES[tagged.tag] ?? `a tag ${tagged.tag}`
}

/** The first drafts have a list of profiles. */
function readProfile(value: CborValue | undefined, blame: Blame): string {
  if (Array.isArray(value)) {
    const [only, ...more] = asList(value as CborValue, blame)
    if (more.length > 0) throw new VouchsafeError(blame, 'several profiles')
    return readProfile(only, blame)
  }
  const tagged = taggedOf(value)
  if (tagged === undefined) return asText(value, blame)
  return tagged.tag === URI ? asText(tagged.value, blame) : readTagId(tagged.value, blame)
}
