/**
 * Reference Integrity Manifests: SWID tags in which NVIDIA publishes the measurements of one version
 * of a driver or of firmware. A manifest does not hold the name it is fetched by, so what it is for
 * follows from the product and version that it does hold.
 *
 * @packageDocumentation
 * @see TCG Reference Integrity Manifest Information Model; ISO/IEC 19770-2
 */
import { fromHex } from '../../bytes/hex.ts'
import { attributeOf, type XmlElement } from '../../encoding/xml.ts'
import { readSignedXml, type SignedXml } from '../../encoding/xml-signature.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'

/** A measurement that the signed version may have. */
export interface GoldenMeasurement {
  /** From 0; the report counts from 1. */
  readonly index: number
  /** SHA-384; any one of them will do. */
  readonly values: readonly Uint8Array[]
}

/** A security version number that firmware must reach, since NVIDIA found fault with those below it. */
export interface SvnFloor {
  /** Of the record in the report's opaque data. */
  readonly type: number
  /** `FSP_UCODE_MIN_SVN`. */
  readonly name: string
  readonly least: number
}

/** A manifest, not believed yet. */
export interface Rim {
  readonly signed: SignedXml
  readonly certificates: readonly Certificate[]
  /** `GH100`. */
  readonly product: string
  /** `colloquialVersion`: of the driver, or of the firmware. */
  readonly version: string
  readonly edition: string
  readonly tagId: string
  /** Those that are active, each index once. The others mean nothing. */
  readonly golden: readonly GoldenMeasurement[]
  /** Active ones, each type once. Empty in manifests from before there were any. */
  readonly floors: readonly SvnFloor[]
}

const BLAME: Blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'nvidia.rim' }
const SWID = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
const HASH = 'http://www.w3.org/2001/04/xmlenc#sha384'
/** Of values that are compared as numbers: their records have none of the attributes of digests. */
const OPAQUE = 'https://docs.nvidia.com/attestation/specs/latest/opaque-data.html'
const SIZE = 48
/** From here on, an index is this much above the type of a record in the opaque data. */
export const FIRST_OPAQUE_INDEX = 64
const MAX_INDEX = FIRST_OPAQUE_INDEX + 0xffff
const MAX_ALTERNATIVES = 64
const COUNT = /^(?:0|[1-9][0-9]{0,15})$/

/**
 * Reads a manifest. Proves nothing.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_MALFORMED` for anything but a SWID tag with one
 *   entity, one set of metadata, one payload of measurements, and one signature of the profile.
 */
export async function parseRim(bytes: Uint8Array): Promise<Rim> {
  const signed = await readSignedXml(bytes, BLAME)
  const { content } = signed
  requireName(content, 'SoftwareIdentity')
  // What is not known here could take back what is.
  const [entity, meta, payload, ...more] = content.children
  if (!entity || !meta || !payload || more.length > 0) fail('want Entity, Meta and Payload')
  requireName(entity, 'Entity')
  requireName(meta, 'Meta')
  requireName(payload, 'Payload')
  for (const [name, wanted] of [
    ['patch', 'false'],
    ['supplemental', 'false'],
    ['corpus', 'false'],
  ] as const) {
    if ((attributeOf(content, name) ?? 'false') !== wanted) fail(`${name} is not ${wanted}`)
  }
  return {
    signed,
    certificates: signed.certificates.map((der) => parseCertificate(der, BLAME)),
    product: word(meta, 'product'),
    version: word(meta, 'colloquialVersion').toUpperCase(),
    edition: word(meta, 'edition'),
    tagId: word(content, 'tagId'),
    ...readPayload(payload),
  }
}

/** Manifests that were read before, by their very bytes: a set is looked at several times. */
const known = new WeakMap<Uint8Array, Promise<Rim | undefined>>()

/** As {@link parseRim}; `undefined` for some other XML, or a broken one. */
export async function readRim(bytes: Uint8Array): Promise<Rim | undefined> {
  const rim = known.get(bytes) ?? parsed(bytes)
  known.set(bytes, rim)
  return rim
}

async function parsed(bytes: Uint8Array): Promise<Rim | undefined> {
  try {
    return await parseRim(bytes)
  } catch (error) {
    if (error instanceof VouchsafeError && error.kind !== 'misconfigured') return undefined
    // That the reader of XML cannot be had may be otherwise next time.
    known.delete(bytes)
    throw error
  }
}

function readPayload({ children }: XmlElement): Pick<Rim, 'golden' | 'floors'> {
  const indices = new Set<number>()
  const golden: GoldenMeasurement[] = []
  const floors: SvnFloor[] = []
  for (const resource of children) {
    requireName(resource, 'Resource')
    const index = count(resource, 'index', MAX_INDEX)
    if (indices.has(index)) fail(`index ${index} occurs twice`)
    indices.add(index)
    const isOpaque = index >= FIRST_OPAQUE_INDEX
    const read = isOpaque ? readFloor(resource, index) : { index, values: readValues(resource) }
    const active = word(resource, 'active')
    if (active !== 'True' && active !== 'False') fail(`active is ${active}`)
    if (active === 'False') continue
    if ('least' in read) floors.push(read)
    else golden.push(read)
  }
  // A manifest that requires nothing would be met by anything.
  if (golden.length === 0) fail('no active measurement')
  return { golden, floors }
}

/** An attribute that is not known could ask for more than the least number does. */
function readFloor(resource: XmlElement, index: number): SvnFloor {
  if (word(resource, 'type') !== 'Measurement') fail('a resource that is no measurement')
  const strange = resource.attributes.find(
    ({ namespace, name }) =>
      namespace === HASH || (namespace === OPAQUE && !OPAQUE_ATTRIBUTES.includes(name)),
  )
  if (strange !== undefined) fail(`${strange.name} at index ${index}`)
  const text = attributeOf(resource, 'minSvn', OPAQUE) ?? fail(`no minSvn at index ${index}`)
  const least = COUNT.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(least)) fail(`minSvn at index ${index} is no number`)
  return { type: index - FIRST_OPAQUE_INDEX, name: word(resource, 'name'), least }
}

const OPAQUE_ATTRIBUTES: readonly string[] = ['minSvn', 'includeInResult']

function readValues(resource: XmlElement): readonly Uint8Array[] {
  if (word(resource, 'type') !== 'Measurement') fail('a resource that is no measurement')
  if (count(resource, 'size', SIZE) !== SIZE) fail('a measurement of another size')
  const alternatives = count(resource, 'alternatives', MAX_ALTERNATIVES)
  const hashes = resource.attributes.filter(({ namespace }) => namespace === HASH)
  if (alternatives === 0 || hashes.length !== alternatives) fail('alternatives')
  return Array.from({ length: alternatives }, (_, i) => {
    const value = fromHex(attributeOf(resource, `Hash${i}`, HASH) ?? fail(`no Hash${i}`), BLAME)
    return value.length === SIZE ? value : fail('a measurement of another size')
  })
}

function requireName({ namespace, name }: XmlElement, wanted: string): void {
  if (namespace !== SWID || name !== wanted) fail(`${name}, want ${wanted}`)
}

function count(element: XmlElement, name: string, most: number): number {
  const text = word(element, name)
  const value = COUNT.test(text) ? Number(text) : Number.NaN
  return value <= most ? value : fail(`${name} is ${text}`)
}

/** Printable, since it goes into checks. */
function word(element: XmlElement, name: string): string {
  const value = attributeOf(element, name)
  if (value === undefined) return fail(`${element.name} without ${name}`)
  return /^[\x21-\x7e]{1,128}$/.test(value) ? value : fail(`${name} is not a word`)
}

function fail(detail: string): never {
  throw new VouchsafeError(BLAME, detail)
}
