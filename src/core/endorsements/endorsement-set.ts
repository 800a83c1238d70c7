/**
 * What vendors say about their hardware, as a bag: a format takes from it what its evidence needs.
 * The same bag comes from a directory, from beside the evidence, or from a vendor's service, and its
 * canonical form is what the log keeps for replay.
 *
 * @packageDocumentation
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { canonicalBytes, type Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { type Asked, askedToJson, joinAsked } from './asked.ts'

export interface EndorsementSet {
  /** DER, in any order, duplicates allowed. */
  readonly certificates: readonly Uint8Array[]
  /** DER. */
  readonly crls: readonly Uint8Array[]
  /** Intel TCB Info, each as signed. */
  readonly tcbInfos: readonly SignedJson[]
  /** Intel QE and TD QE identities, each as signed. */
  readonly qeIdentities: readonly SignedJson[]
  /** Keys of platforms that have no certificate (Arm CCA). Left out where there are none. */
  readonly platformKeys?: readonly PlatformKey[]
  /** Reference Integrity Manifests (NVIDIA), XML as signed. Left out where there are none. */
  readonly rims?: readonly Uint8Array[]
  /** OCSP responses (RFC 6960), DER. Left out where there are none. */
  readonly ocspResponses?: readonly Uint8Array[]
  /**
   * Certificates in Hygon's own layouts (HRK, HSK, CEK), one or several to a member, as its service
   * answers. Left out where there are none.
   */
  readonly hygonCertificates?: readonly Uint8Array[]
  /** When vendors were asked. Our own sources' word: {@link endorsementsFromJson} never reads it. */
  readonly asked?: Asked
}

/**
 * The public key of one platform, as an endorser hands it over. Nothing here is signed: the ids help
 * to find the key, and only a pin makes it count.
 */
export interface PlatformKey {
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
  /** 32 bytes; left out if not known. */
  readonly implementationId?: Uint8Array
  /** 33 bytes; left out if not known. */
  readonly instanceId?: Uint8Array
}

/** Bytes that were signed, exactly as they came: a re-serialisation would be another document. */
export interface SignedJson {
  readonly body: Uint8Array
  /** Raw r‖s. */
  readonly signature: Uint8Array
}

export const NO_ENDORSEMENTS: EndorsementSet = {
  certificates: [],
  crls: [],
  tcbInfos: [],
  qeIdentities: [],
}

/** Unions made before; sets never change, and those of the configuration are joined again and again. */
const joined = new WeakMap<EndorsementSet, WeakMap<EndorsementSet, EndorsementSet>>()

/** All of both; the same set for the same two. */
export function joinEndorsements(a: EndorsementSet, b: EndorsementSet): EndorsementSet {
  if (isEmpty(a)) return b
  if (isEmpty(b)) return a
  const withA = joined.get(a) ?? new WeakMap<EndorsementSet, EndorsementSet>()
  joined.set(a, withA)
  const both = withA.get(b) ?? join(a, b)
  withA.set(b, both)
  return both
}

function isEmpty({ asked, ...parts }: EndorsementSet): boolean {
  const lists: readonly (readonly unknown[])[] = Object.values(parts)
  return asked === undefined && lists.every((items) => items.length === 0)
}

function join(a: EndorsementSet, b: EndorsementSet): EndorsementSet {
  const asked = joinAsked(a.asked, b.asked)
  return {
    ...(asked !== undefined && { asked }),
    certificates: [...a.certificates, ...b.certificates],
    crls: [...a.crls, ...b.crls],
    tcbInfos: [...a.tcbInfos, ...b.tcbInfos],
    qeIdentities: [...a.qeIdentities, ...b.qeIdentities],
    ...present({
      platformKeys: [...(a.platformKeys ?? []), ...(b.platformKeys ?? [])],
      rims: [...(a.rims ?? []), ...(b.rims ?? [])],
      ocspResponses: [...(a.ocspResponses ?? []), ...(b.ocspResponses ?? [])],
      hygonCertificates: [...(a.hygonCertificates ?? []), ...(b.hygonCertificates ?? [])],
    }),
  }
}

type Optional = Required<
  Pick<EndorsementSet, 'platformKeys' | 'rims' | 'ocspResponses' | 'hygonCertificates'>
>

/** What is empty has no member: sets that were logged before there were such stay the same. */
function present(set: Optional): Partial<Optional> {
  const { platformKeys, rims, ocspResponses, hygonCertificates } = set
  return {
    ...(platformKeys.length > 0 && { platformKeys }),
    ...(rims.length > 0 && { rims }),
    ...(ocspResponses.length > 0 && { ocspResponses }),
    ...(hygonCertificates.length > 0 && { hygonCertificates }),
  }
}

/** Sets that {@link withAsked} has made, by what they were made of. */
const marked = new WeakMap<EndorsementSet, EndorsementSet>()

/** The same endorsements, asked for at that time; the same set for the same two. */
export function withAsked(set: EndorsementSet, asked: Asked): EndorsementSet {
  const known = marked.get(set)
  const { at, expired } = known?.asked ?? {}
  if (known !== undefined && at === asked.at && expired?.join() === asked.expired.join()) {
    return known
  }
  const made = { ...set, asked }
  marked.set(set, made)
  return made
}

/** The set as JSON, without when it was asked for: binary members in standard base64. */
export function endorsementsToJson(set: EndorsementSet): Json {
  const signed = ({ body, signature }: SignedJson): Json => ({
    body: toBase64(body),
    signature: toBase64(signature),
  })
  return {
    certificates: set.certificates.map(toBase64),
    crls: set.crls.map(toBase64),
    tcb_infos: set.tcbInfos.map(signed),
    qe_identities: set.qeIdentities.map(signed),
    ...keysToJson(set.platformKeys ?? []),
    ...binaryToJson('rims', set.rims ?? []),
    ...binaryToJson('ocsp_responses', set.ocspResponses ?? []),
    ...binaryToJson('hygon_certificates', set.hygonCertificates ?? []),
  }
}

function keysToJson(keys: readonly PlatformKey[]): Readonly<Record<string, Json>> {
  if (keys.length === 0) return {}
  return {
    platform_keys: keys.map(({ spki, implementationId, instanceId }) => ({
      spki: toBase64(spki),
      ...(implementationId && { implementation_id: toBase64(implementationId) }),
      ...(instanceId && { instance_id: toBase64(instanceId) }),
    })),
  }
}

function binaryToJson(name: string, items: readonly Uint8Array[]): Readonly<Record<string, Json>> {
  return items.length === 0 ? {} : { [name]: items.map(toBase64) }
}

const encoded = new WeakMap<EndorsementSet, Uint8Array<ArrayBuffer>>()

/**
 * {@link endorsementsToJson} and when it was asked for, as canonical bytes, ready to hash and store;
 * not to be changed.
 */
export function encodeEndorsements(set: EndorsementSet): Uint8Array<ArrayBuffer> {
  const known = encoded.get(set)
  if (known !== undefined) return known
  const json = endorsementsToJson(set) as Readonly<Record<string, Json>>
  const bytes = canonicalBytes({ ...json, asked: set.asked && askedToJson(set.asked) })
  encoded.set(set, bytes)
  return bytes
}

/**
 * The inverse of {@link endorsementsToJson}, from a parsed but unchecked value.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for any other shape.
 */
export function endorsementsFromJson(value: unknown, blame: Blame): EndorsementSet {
  const { certificates, crls, tcb_infos, qe_identities, ...others } = asObject(value, blame)
  const {
    platform_keys = [],
    rims = [],
    ocsp_responses = [],
    hygon_certificates = [],
    ...rest
  } = others
  if (Object.keys(rest).length > 0) throw new VouchsafeError(blame, 'unknown members')
  const binary = (list: unknown): readonly Uint8Array[] =>
    asArray(list, blame).map((item) => asBytes(item, blame))
  return {
    certificates: binary(certificates),
    crls: binary(crls),
    tcbInfos: asArray(tcb_infos, blame).map((item) => asSigned(item, blame)),
    qeIdentities: asArray(qe_identities, blame).map((item) => asSigned(item, blame)),
    ...present({
      platformKeys: asArray(platform_keys, blame).map((item) => asKey(item, blame)),
      rims: binary(rims),
      ocspResponses: binary(ocsp_responses),
      hygonCertificates: binary(hygon_certificates),
    }),
  }
}

function asKey(value: unknown, blame: Blame): PlatformKey {
  const { spki, implementation_id, instance_id, ...rest } = asObject(value, blame)
  if (Object.keys(rest).length > 0) throw new VouchsafeError(blame, 'unknown members')
  return {
    spki: asBytes(spki, blame),
    ...(implementation_id !== undefined && {
      implementationId: asBytes(implementation_id, blame),
    }),
    ...(instance_id !== undefined && { instanceId: asBytes(instance_id, blame) }),
  }
}

function asSigned(value: unknown, blame: Blame): SignedJson {
  const { body, signature, ...rest } = asObject(value, blame)
  if (Object.keys(rest).length > 0) throw new VouchsafeError(blame, 'unknown members')
  return { body: asBytes(body, blame), signature: asBytes(signature, blame) }
}

function asObject(value: unknown, blame: Blame): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new VouchsafeError(blame, 'not an object')
  }
  return value as Readonly<Record<string, unknown>>
}

function asArray(value: unknown, blame: Blame): readonly unknown[] {
  if (!Array.isArray(value)) throw new VouchsafeError(blame, 'not an array')
  return value as readonly unknown[]
}

function asBytes(value: unknown, blame: Blame): Uint8Array {
  if (typeof value !== 'string') throw new VouchsafeError(blame, 'not base64 text')
  return fromBase64(value, blame)
}
