/**
 * A strict DER reader: definite minimal lengths, one-byte tags, nothing left over. It reads where it
 * is told and never recurses by itself, so depth is bounded by the structure its caller expects.
 *
 * Our own rather than node-forge's decoder: that one accepts indefinite, non-minimal and over-long
 * forms even in strict mode, so it would need this very pass in front of it, and works on binary
 * strings. node-forge builds the DER of minted test certificates, and tests compare both.
 *
 * @packageDocumentation
 * @see ITU-T X.690 §8, §10
 */
import { type Blame, VouchsafeError } from '../errors.ts'

/** One element. `content` and `bytes` are views into the input: copy what outlives it. */
export interface Der {
  readonly tag: number
  /** The whole element, header included. */
  readonly bytes: Uint8Array
  readonly content: Uint8Array
}

/** Identifier octets of the types we meet. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

const CONSTRUCTED = 0x20
/** Up to here a number can take seven more bits and stay exact. */
const MAX_EXACT = 2 ** 45
/** Digits before the zone: YYMMDDHHMMSS and YYYYMMDDHHMMSS. */
const UTC_DIGITS = 12
const GENERALIZED_DIGITS = 14
const DIGIT_0 = 0x30
const ZONE_Z = 0x5a

/** Identifier octet of the context-specific constructed type `[number]`. */
export function contextTag(number: number): number {
  return 0xa0 | number
}

/**
 * Reads the one element that `bytes` is.
 *
 * @throws {@link VouchsafeError} with the code of `blame`, also for bytes after the element.
 */
export function readDer(bytes: Uint8Array, blame: Blame): Der {
  const element = readElement(bytes, 0, blame)
  if (element.end !== bytes.length) {
    fail(blame, `${bytes.length - element.end} bytes after the element`)
  }
  return element
}

/** The elements inside a constructed one, in order. */
export function readChildren(parent: Der, blame: Blame): Der[] {
  if ((parent.tag & CONSTRUCTED) === 0) fail(blame, `tag ${parent.tag} is not constructed`)
  const children: Der[] = []
  const { content } = parent
  for (let offset = 0; offset < content.length; ) {
    const child = readElement(content, offset, blame)
    children.push(child)
    offset = child.end
  }
  return children
}

/** Front-to-back access to the members of a SEQUENCE, some of which may be missing. */
export class DerCursor {
  readonly #elements: readonly Der[]
  readonly #blame: Blame
  #next = 0

  /** @param parent - The constructed element; must carry `tag`. */
  constructor(parent: Der, tag: number, blame: Blame) {
    if (parent.tag !== tag) fail(blame, `tag ${parent.tag}, want ${tag}`)
    this.#elements = readChildren(parent, blame)
    this.#blame = blame
  }

  /** The next element, which must be there and have this tag; any tag if none is given. */
  take(field: string, tag?: number): Der {
    const element = this.#elements[this.#next]
    if (element === undefined) fail(this.#blame, `absent`, field)
    if (tag !== undefined && element.tag !== tag) {
      fail(this.#blame, `tag ${element.tag}, want ${tag}`, field)
    }
    this.#next++
    return element
  }

  /** The next element if it has one of these tags. */
  optional(...tags: readonly number[]): Der | undefined {
    const element = this.#elements[this.#next]
    if (element === undefined || !tags.includes(element.tag)) return undefined
    this.#next++
    return element
  }

  /** Call last: members that nobody read are members that nobody checked. */
  end(): void {
    if (this.#next !== this.#elements.length) fail(this.#blame, 'more members than expected', 'end')
  }
}

/** Dotted text of an OBJECT IDENTIFIER. */
export function readOid(element: Der, blame: Blame): string {
  const bytes = expectTag(element, TAG.oid, blame)
  if (bytes.length === 0 || bytes.length > 32) fail(blame, 'object identifier length')
  const arcs = readArcs(bytes, blame)
  const first = arcs[0] ?? 0
  const root = first < 40 ? 0 : first < 80 ? 1 : 2
  const text = `${root}.${typeof first === 'bigint' ? first - 80n : first - root * 40}`
  return arcs.length === 1 ? text : `${text}.${arcs.slice(1).join('.')}`
}

/** Numbers where they are exact, since nearly all are and they are much faster. */
function readArcs(bytes: Uint8Array, blame: Blame): readonly (number | bigint)[] {
  const arcs: (number | bigint)[] = []
  let value: number | bigint = 0
  let fresh = true
  for (const byte of bytes) {
    if (fresh && byte === 0x80) fail(blame, 'object identifier is not minimal')
    if (typeof value === 'number' && value > MAX_EXACT) value = BigInt(value)
    const digit = byte & 0x7f
    value = typeof value === 'bigint' ? (value << 7n) | BigInt(digit) : value * 128 + digit
    fresh = (byte & 0x80) === 0
    if (!fresh) continue
    arcs.push(value)
    value = 0
  }
  if (!fresh) fail(blame, 'object identifier is cut off')
  return arcs
}

/** Content of an INTEGER: two's complement, big-endian, minimal. A copy. */
export function readIntegerBytes(element: Der, blame: Blame): Uint8Array<ArrayBuffer> {
  const bytes = expectTag(element, TAG.integer, blame)
  const [first, second] = bytes
  if (first === undefined) fail(blame, 'empty integer')
  if (second !== undefined) {
    const padded = (first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)
    if (padded) fail(blame, 'integer is not minimal')
  }
  return bytes.slice()
}

/** A non-negative INTEGER below 2^31. */
export function readSmallInteger(element: Der, blame: Blame): number {
  const bytes = readIntegerBytes(element, blame)
  if (bytes.length > 4 || (bytes[0] ?? 0) >= 0x80) fail(blame, 'integer out of range')
  return bytes.reduce((value, byte) => value * 256 + byte, 0)
}

/** Content of an OCTET STRING. A view. */
export function readOctets(element: Der, blame: Blame): Uint8Array {
  return expectTag(element, TAG.octetString, blame)
}

/** Bits of a BIT STRING that is a whole number of bytes. A view. */
export function readBitString(element: Der, blame: Blame): Uint8Array {
  const content = expectTag(element, TAG.bitString, blame)
  if (content[0] !== 0) fail(blame, 'bit string is not whole bytes')
  return content.subarray(1)
}

/** A BOOLEAN, whose only DER values are 00 and FF. */
export function readBoolean(element: Der, blame: Blame): boolean {
  const content = expectTag(element, TAG.boolean, blame)
  const [value] = content
  if (content.length !== 1 || (value !== 0 && value !== 0xff)) fail(blame, 'not a boolean')
  return value === 0xff
}

/** UTCTime or GeneralizedTime in the forms of RFC 5280 §4.1.2.5: seconds present, zone `Z`. */
export function readTime(element: Der, blame: Blame): Date {
  const { tag, content } = element
  const utc = tag === TAG.utcTime
  if (!utc && tag !== TAG.generalizedTime) fail(blame, `tag ${tag} is not a time`)
  const digits = utc ? UTC_DIGITS : GENERALIZED_DIGITS
  if (content.length !== digits + 1 || content[digits] !== ZONE_Z) {
    fail(blame, 'time is not in the form of RFC 5280')
  }
  const two = (index: number): number => readTwoDigits(content, digits - 10 + index, blame)
  const years = two(-2)
  const year = utc ? (years < 50 ? 2000 + years : 1900 + years) : two(-4) * 100 + years
  const [month, day, hour, minute, second] = [two(0), two(2), two(4), two(6), two(8)] as const
  const time = new Date(Date.UTC(year, month - 1, day, hour, minute, second))
  // `Date.UTC` takes years below 100 for years of the last century.
  const same =
    time.getUTCFullYear() === year && time.getUTCMonth() === month - 1 && time.getUTCDate() === day
  if (!same || hour > 23 || minute > 59 || second > 59) fail(blame, 'no such time')
  return time
}

/** Digits only: `Number` would also take signs, blanks and hexadecimal. */
function readTwoDigits(content: Uint8Array, at: number, blame: Blame): number {
  const tens = (content[at] ?? 0) - DIGIT_0
  const ones = (content[at + 1] ?? 0) - DIGIT_0
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) fail(blame, 'time is not made of digits')
  return tens * 10 + ones
}

function expectTag(element: Der, tag: number, blame: Blame): Uint8Array {
  if (element.tag !== tag) fail(blame, `tag ${element.tag}, want ${tag}`)
  return element.content
}

/** An element that makes its views when asked: most are walked over and never looked into. */
class Element implements Der {
  readonly tag: number
  readonly #source: Uint8Array
  readonly #start: number
  readonly #from: number
  /** Offset of the next element. */
  readonly end: number

  constructor(source: Uint8Array, tag: number, place: readonly [number, number, number]) {
    this.tag = tag
    this.#source = source
    ;[this.#start, this.#from, this.end] = place
  }

  get bytes(): Uint8Array {
    return this.#source.subarray(this.#start, this.end)
  }

  get content(): Uint8Array {
    return this.#source.subarray(this.#from, this.end)
  }
}

function readElement(bytes: Uint8Array, start: number, blame: Blame): Element {
  const tag = bytes[start]
  const first = bytes[start + 1]
  if (tag === undefined || first === undefined) fail(blame, 'element is cut off')
  if ((tag & 0x1f) === 0x1f) fail(blame, 'tag of more than one byte')
  const { length, size } = readLength(bytes, start + 1, blame)
  const from = start + 1 + size
  if (length > bytes.length - from)
    fail(blame, `needs ${length} bytes, ${bytes.length - from} left`)
  return new Element(bytes, tag, [start, from, from + length])
}

function readLength(bytes: Uint8Array, at: number, blame: Blame): { length: number; size: number } {
  const first = bytes[at] ?? 0
  if (first < 0x80) return { length: first, size: 1 }
  const count = first & 0x7f
  // 0 is the indefinite form; over four bytes is longer than anything we accept.
  if (count === 0 || count > 4) fail(blame, 'length form')
  let length = 0
  for (let i = 1; i <= count; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) fail(blame, 'length is cut off')
    length = length * 256 + byte
  }
  const least = count === 1 ? 0x80 : 256 ** (count - 1)
  if (length < least) fail(blame, 'length is not minimal')
  return { length, size: 1 + count }
}

function fail(blame: Blame, detail: string, field?: string): never {
  const at = field === undefined ? blame.at : `${blame.at}.${field}`
  throw new VouchsafeError({ code: blame.code, at }, detail)
}
