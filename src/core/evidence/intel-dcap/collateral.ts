/**
 * What an endorsement set holds for Intel platforms, parsed once per set, and the choice of what one
 * quote needs. Choosing proves nothing: everything chosen is authenticated afterwards.
 *
 * @packageDocumentation
 */
import { concat, equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { EndorsementSet, SignedJson } from '../../endorsements/endorsement-set.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { Hasher } from '../../ports/crypto.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { type Crl, parseCrl } from '../../x509/crl.ts'
import { type JsonObject, numberOf, readDocument, timeOf } from './json.ts'
import { tcbInfoId } from './tcb-info.ts'

/** A set's Intel parts. What did not parse is kept, to be blamed if it turns out to be missed. */
export interface Collateral {
  readonly certificates: readonly Certificate[]
  readonly crls: readonly Crl[]
  readonly tcbInfos: readonly SignedDocument[]
  readonly qeIdentities: readonly SignedDocument[]
  readonly broken: readonly { readonly kind: Kind; readonly error: VouchsafeError }[]
  /** Of this object, among all there are in the process. */
  readonly id: number
  /** When anything in it begins or ceases to be valid, in order; milliseconds. */
  readonly turns: readonly number[]
  /** Bytes of everything that parsed. */
  readonly size: number
}

export type Kind = 'certificates' | 'crls' | 'tcbInfos' | 'qeIdentities'

/** A signed JSON document. Its members are read from a copy of the bytes the signature is over. */
export interface SignedDocument {
  readonly body: Uint8Array
  readonly signature: Uint8Array
  readonly members: JsonObject
  readonly issueDate: Date
  readonly nextUpdate: Date
  /** Both dates in words, which every verdict has. */
  readonly dates: string
  readonly tcbEvaluationDataNumber: number
}

/** Something that was valid from one time to another. */
export interface Dated {
  readonly from: Date
  readonly to: Date | undefined
  /** Breaks ties between documents that are valid at the same time. */
  readonly rank: number
}

const AT = 'dcap.endorsements'
/** Candidates for one place. Years of history are fewer, and each costs a signature. */
const MAX_CANDIDATES = 64

/** Sets are immutable, so what was parsed from one stays true for as long as the set lives. */
const parsed = new WeakMap<EndorsementSet, Collateral>()
const fingerprints = new WeakMap<object, Promise<string>>()
let nextId = 0

/** The Intel parts of a set; parses it the first time. */
export function collateralOf(set: EndorsementSet): Collateral {
  const known = parsed.get(set)
  if (known !== undefined) return known
  const broken: { kind: Kind; error: VouchsafeError }[] = []
  const readAll = <I, O>(
    kind: Kind,
    items: readonly I[],
    read: (item: I, blame: Blame) => O,
  ): readonly O[] =>
    items.flatMap((item, i) => {
      try {
        return [read(item, { code: 'ERR_ENDORSEMENT_MALFORMED', at: `${AT}.${kind}[${i}]` })]
      } catch (error) {
        // Sets are shared between formats, so what is not ours to read may simply not be ours.
        if (!(error instanceof VouchsafeError)) throw error
        broken.push({ kind, error })
        return []
      }
    })
  const parts = {
    certificates: readAll('certificates', set.certificates, parseCertificate),
    crls: readAll('crls', set.crls, parseCrl),
    tcbInfos: readAll('tcbInfos', set.tcbInfos, readSigned),
    qeIdentities: readAll('qeIdentities', set.qeIdentities, readSigned),
    broken,
  }
  const collateral = { ...parts, id: nextId++, turns: turnsOf(parts), size: sizeOf(parts) }
  parsed.set(set, collateral)
  return collateral
}

type Parts = Omit<Collateral, 'id' | 'turns' | 'size'>

/**
 * Which stretch of time `now` is in, of those in which the same things are valid: what was chosen at one
 * time of it would be chosen at any other.
 */
export function stretchOf({ turns }: Collateral, now: Date): number {
  const at = now.getTime()
  const next = turns.findIndex((turn) => at < turn)
  return next === -1 ? turns.length : next
}

/** Validity includes its last moment, so it ends a millisecond later. */
function turnsOf({ certificates, crls, tcbInfos, qeIdentities }: Parts): readonly number[] {
  const spans: readonly (readonly [Date, Date | undefined])[] = [
    ...certificates.map(({ notBefore, notAfter }) => [notBefore, notAfter] as const),
    ...crls.map(({ thisUpdate, nextUpdate }) => [thisUpdate, nextUpdate] as const),
    ...[...tcbInfos, ...qeIdentities].map(
      ({ issueDate, nextUpdate }) => [issueDate, nextUpdate] as const,
    ),
  ]
  const turns = spans.flatMap(([from, to]) =>
    to === undefined ? [from.getTime()] : [from.getTime(), to.getTime() + 1],
  )
  return turns.sort((a, b) => a - b)
}

function sizeOf({ certificates, crls, tcbInfos, qeIdentities }: Parts): number {
  const sizes = [
    ...[...certificates, ...crls].map(({ der }) => der.length),
    ...[...tcbInfos, ...qeIdentities].map(({ body }) => body.length),
  ]
  return sizes.reduce((total, size) => total + size, 0)
}

/**
 * Says that something is missing.
 *
 * @throws {@link VouchsafeError} always: `ERR_ENDORSEMENT_MALFORMED` with the cause if something of
 *   that kind was there and did not parse, else `ERR_ENDORSEMENT_UNAVAILABLE`.
 */
export function missing(
  { broken }: Collateral,
  kind: Kind,
  what: { readonly at: string; readonly detail: string },
): never {
  const error = broken.find((item) => item.kind === kind)?.error
  if (error !== undefined) throw error
  throw new VouchsafeError(
    { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: `${AT}.${what.at}` },
    what.detail,
  )
}

/** TCB Infos for a platform: of this kind of TEE, FMSPC and PCEID in either case of hexadecimal. */
export function tcbInfosFor(
  { tcbInfos }: Collateral,
  wanted: { readonly id: string; readonly fmspc: string; readonly pceId: string },
): readonly SignedDocument[] {
  return tcbInfos.filter(
    ({ members }) =>
      tcbInfoId(members) === wanted.id &&
      lowerCase(members['fmspc']) === wanted.fmspc &&
      lowerCase(members['pceId']) === wanted.pceId,
  )
}

/** QE Identities with this id: `QE` for SGX, `TD_QE` for TDX. */
export function qeIdentitiesFor(
  { qeIdentities }: Collateral,
  id: string,
): readonly SignedDocument[] {
  return qeIdentities.filter(({ members }) => members['id'] === id)
}

/** CRLs that name this certificate's subject as their issuer. */
export function crlsOf({ crls }: Collateral, issuer: Certificate): readonly Crl[] {
  return crls.filter((crl) => equal(crl.issuer, issuer.subject))
}

/**
 * Candidates for one place, best first: those valid at `now` before the others, then by rank, then
 * the newest.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_MALFORMED` for more than 64: whichever were left
 *   out might be the one that matters, and the set may come from the attester.
 */
export function inOrderOfChoice<T>(
  candidates: readonly T[],
  now: Date,
  dates: (candidate: T) => Dated,
): readonly T[] {
  if (candidates.length > MAX_CANDIDATES) {
    const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: AT } as const
    throw new VouchsafeError(blame, `${candidates.length} of one kind, at most ${MAX_CANDIDATES}`)
  }
  const rated = candidates.map((candidate) => {
    const { from, to, rank } = dates(candidate)
    return { candidate, current: from <= now && to !== undefined && now <= to, rank, from }
  })
  rated.sort(
    (a, b) =>
      Number(b.current) - Number(a.current) ||
      b.rank - a.rank ||
      b.from.getTime() - a.from.getTime(),
  )
  return rated.map(({ candidate }) => candidate)
}

/** SHA-256 of some bytes in hex, computed once for as long as `owner`, which holds them, lives. */
export async function fingerprint(
  owner: object,
  bytes: Uint8Array,
  hasher: Hasher,
): Promise<string> {
  let known = fingerprints.get(owner)
  if (known === undefined) {
    known = digestText(bytes, hasher)
    fingerprints.set(owner, known)
  }
  return known
}

/** What a document is remembered by: its body, and its signature, which is always as long. */
export async function documentId(document: SignedDocument, hasher: Hasher): Promise<string> {
  const known = fingerprints.get(document)
  if (known !== undefined) return known
  return fingerprint(document, concat(document.body, document.signature), hasher)
}

/** SHA-256 in hex. */
export async function digestText(bytes: Uint8Array, hasher: Hasher): Promise<string> {
  return toHex(await hasher.digest('SHA-256', bytes))
}

function readSigned({ body, signature }: SignedJson, blame: Blame): SignedDocument {
  const own = body.slice()
  const members = readDocument(own, blame)
  const issueDate = timeOf(members, 'issueDate', blame)
  const nextUpdate = timeOf(members, 'nextUpdate', blame)
  return {
    body: own,
    signature: signature.slice(),
    members,
    issueDate,
    nextUpdate,
    dates: `issueDate ${issueDate.toISOString()}, nextUpdate ${nextUpdate.toISOString()}`,
    tcbEvaluationDataNumber: numberOf(members, 'tcbEvaluationDataNumber', blame),
  }
}

function lowerCase(value: unknown): string | undefined {
  return typeof value === 'string' ? value.toLowerCase() : undefined
}
