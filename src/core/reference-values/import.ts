/**
 * Reference values of others, made into sets: CoRIMs, the stores of other verifiers, and plain sets.
 *
 * @packageDocumentation
 */
import { textIn } from '../bytes/utf8.ts'
import type { Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import { collectEndorsements } from '../endorsements/collect.ts'
import type { PlatformKey } from '../endorsements/endorsement-set.ts'
import { VouchsafeError } from '../errors.ts'
import type { FormatId } from '../evidence/common/format-ids.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import { assertCurrent, readCorim, type Validity } from './corim/corim.ts'
import { isKnownProfile, mapCorim } from './corim/map.ts'
import { joinMapped, type Mapped, NOTHING } from './corim/mapped.ts'
import { type CorimTrust, openSignedCorim, unwrapCorim } from './corim/signed.ts'
import { combineFragments, formatsOf } from './fragments.ts'
import { parseReferenceValues, type ReferenceValueSet } from './reference-values.ts'
import { isStore, readStore } from './stores.ts'

/** Who must have signed: a key, a certificate under a root, or nobody, which is said in so many words. */
export type Authority = CorimTrust | { readonly unsigned: true }

export interface ImportTools {
  readonly authority: Authority
  readonly now: Date
  readonly crypto: CryptoProvider
  /** Also read manifests of profiles that are not known: what those add is left out, and said. */
  readonly anyProfile?: boolean
}

/** What one file says. */
export interface Imported extends Mapped {
  readonly kind: 'corim' | 'signed-corim' | 'store' | 'keys' | 'set'
  /** Of the manifest, for people. */
  readonly id: string | undefined
  readonly validity: readonly Validity[]
  /** Who signed it by a certificate under a root; `undefined` for a key that was given. */
  readonly signer: string | undefined
  /** Plain sets, as they are. */
  readonly sets: readonly ReferenceValueSet[]
}

const BLAME = { code: 'ERR_REFERENCE_VALUES_INVALID', at: 'corim' } as const
const UNTRUSTED = { code: 'ERR_REFERENCE_VALUES_UNTRUSTED', at: 'corim.signature' } as const
const JSON_BLAME = { code: 'ERR_REFERENCE_VALUES_INVALID', at: 'reference_values' } as const
const EMPTY = { ...NOTHING, id: undefined, validity: [], signer: undefined, sets: [] } as const
/** A manifest of a large platform has a hundredth of it. */
const MAX_BYTES = 4 * 1024 * 1024

/**
 * Reads one file of reference values or of platforms' keys.
 *
 * @param bytes - CBOR or JSON.
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_UNTRUSTED` for a file that the authority did
 *   not sign, or that is not valid now; `ERR_REFERENCE_VALUES_INVALID` for anything malformed, and for a
 *   manifest of a profile that is not known.
 */
export async function importFile(bytes: Uint8Array, tools: ImportTools): Promise<Imported> {
  if (bytes.length > MAX_BYTES) throw new VouchsafeError(BLAME, `over ${MAX_BYTES} bytes`)
  const text = jsonText(bytes)
  return text === undefined
    ? importCorim(bytes, tools)
    : importJson(parseJson(text, JSON_BLAME), bytes, tools)
}

/**
 * The set of one format that several files make together, each with the others' layers.
 *
 * @param head - Its name and version, and its format where the files speak of several.
 * @returns `undefined` if they have no reference values at all.
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_INVALID` if they are of several formats and
 *   none was chosen, or the entries do not make a set.
 */
export function setOf(
  imported: readonly Imported[],
  head: { readonly name?: string; readonly version?: string; readonly format?: FormatId },
): ReferenceValueSet | undefined {
  const { fragments } = joinMapped(imported)
  const sets = imported.flatMap((one) => one.sets)
  const { known } = formatsOf(fragments)
  const formats = [...new Set([...known, ...sets.map(({ format }) => format)])]
  const format = head.format ?? formats[0]
  if (format === undefined) return undefined
  if (head.format === undefined && formats.length > 1) {
    throw new VouchsafeError(JSON_BLAME, `of several formats, choose one: ${formats.join(', ')}`)
  }
  const own = sets.filter((set) => set.format === format)
  const entries = [
    ...combineFragments(fragments.filter((fragment) => fragment.format === format)),
    ...own.flatMap((set) => set.entries),
  ]
  if (entries.length === 0) return undefined
  const [first] = own
  return parseReferenceValues({
    name: head.name ?? first?.name ?? `${format}-production`,
    version: head.version ?? first?.version ?? '1',
    format,
    entries: entries as unknown as Json,
  })
}

async function importCorim(bytes: Uint8Array, tools: ImportTools): Promise<Imported> {
  const { authority, now, crypto, anyProfile = false } = tools
  const { signed, inner } = unwrapCorim(bytes)
  if ('unsigned' in authority) {
    // Its key could be asked for: to pass over a signature is a decision of its own, not this one.
    if (signed) throw new VouchsafeError(UNTRUSTED, 'signed: say by whose key')
    return finish('corim', inner, { now, anyProfile, validity: [] })
  }
  if (!signed) throw new VouchsafeError(UNTRUSTED, 'has no signature')
  const opened = await openSignedCorim(inner, { trust: authority, now, crypto }, BLAME)
  const { payload, validity, signer } = opened
  return { ...finish('signed-corim', payload, { now, anyProfile, validity }), signer }
}

function finish(
  kind: Imported['kind'],
  bytes: Uint8Array,
  {
    now,
    anyProfile,
    validity,
  }: {
    readonly now: Date
    readonly anyProfile: boolean
    readonly validity: readonly Validity[]
  },
): Imported {
  const corim = readCorim(bytes, BLAME)
  if (!anyProfile && !isKnownProfile(corim.profile)) throw unknownProfile(corim.profile ?? '')
  assertCurrent(corim.validity, now, 'corim.rim-validity')
  const all = [...validity, ...(corim.validity === undefined ? [] : [corim.validity])]
  return { ...EMPTY, ...withUnknown(mapCorim(corim)), kind, id: corim.id, validity: all }
}

function unknownProfile(profile: string): VouchsafeError {
  const blame = { code: BLAME.code, at: 'corim.profile' } as const
  const known = 'Arm CCA, AMD and Intel have those that are'
  const way = '--any-profile reads what all manifests have in common'
  return new VouchsafeError(blame, `${JSON.stringify(profile)} is not known (${known}); ${way}`)
}

/** Values of evidence that this build does not know are left out, and said. */
function withUnknown(mapped: Mapped): Mapped {
  const { unknown } = formatsOf(mapped.fragments)
  return {
    ...mapped,
    fragments: mapped.fragments.filter(({ format }) => !unknown.includes(format)),
    unmapped: [
      ...mapped.unmapped,
      ...unknown.map((format) => `values of ${format} evidence, which this build does not verify`),
    ],
  }
}

function importJson(value: Json, bytes: Uint8Array, { authority }: ImportTools): Imported {
  if (!('unsigned' in authority)) throw new VouchsafeError(UNTRUSTED, 'JSON has no signature')
  if (isStore(value)) return { ...EMPTY, ...readStore(value, JSON_BLAME), kind: 'store' }
  const platformKeys = keysOf(bytes)
  if (platformKeys.length > 0) return { ...EMPTY, kind: 'keys', platformKeys }
  return { ...EMPTY, kind: 'set', sets: [parseReferenceValues(value)] }
}

function keysOf(bytes: Uint8Array): readonly PlatformKey[] {
  return collectEndorsements([{ name: 'keys', bytes }]).endorsements.platformKeys ?? []
}

/** Text that begins as JSON does; a CoRIM begins with a tag, which is no ASCII. */
function jsonText(bytes: Uint8Array): string | undefined {
  const first = bytes.find((byte) => ![0x20, 0x09, 0x0a, 0x0d].includes(byte))
  return first === 0x7b || first === 0x5b ? textIn(bytes) : undefined
}
