/** What a triple is about: a class of devices, or one of them. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import type { CborValue } from '../../encoding/cbor.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { asBytes, asMap, asText, type CborMap, taggedOf, within } from './item.ts'

export interface Environment {
  readonly classId: Identifier | undefined
  readonly vendor: string | undefined
  readonly model: string | undefined
  readonly instance: Identifier | undefined
  /** Members that narrow the environment down and that nobody here acts on, by name. */
  readonly others: readonly string[]
}

/** Bytes, and what the tag around them said they are. */
export interface Identifier {
  readonly kind: 'oid' | 'uuid' | 'ueid' | 'bytes' | 'implementation-id' | 'key'
  readonly bytes: Uint8Array
  /** Dotted for an OID, hexadecimal for the others. */
  readonly text: string
}

/** draft-ietf-rats-corim §5.1.4.1; 600 is PSA's and CCA's implementation id of older drafts. */
const KINDS: Readonly<Record<number, Identifier['kind']>> = {
  37: 'uuid',
  111: 'oid',
  550: 'ueid',
  560: 'bytes',
  600: 'implementation-id',
}
const OTHER_CLASS = { 3: 'layer', 4: 'index' } as const

/**
 * Reads an `environment-map`.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for another shape, and for an empty one:
 *   it would be about everything.
 * @see draft-ietf-rats-corim §5.1.4.1
 */
export function readEnvironment(value: CborValue | undefined, blame: Blame): Environment {
  const map = asMap(value, blame)
  if (map.size === 0) throw new VouchsafeError(blame, 'empty')
  const at = within(blame, 'class')
  const group: CborMap = map.has(0) ? asMap(map.get(0), at) : new Map()
  const text = (label: number, name: string): string | undefined =>
    group.has(label) ? asText(group.get(label), within(at, name)) : undefined
  const others = Object.entries(OTHER_CLASS).flatMap(([label, name]) =>
    group.has(Number(label)) ? [`class.${name}`] : [],
  )
  return {
    classId: group.has(0) ? readIdentifier(group.get(0), within(at, 'class-id')) : undefined,
    vendor: text(1, 'vendor'),
    model: text(2, 'model'),
    instance: map.has(1) ? readIdentifier(map.get(1), within(blame, 'instance')) : undefined,
    others: [...others, ...(map.has(2) ? ['group'] : [])],
  }
}

/** One line for people. */
export function describeEnvironment({ classId, vendor, model, instance }: Environment): string {
  const id = ({ kind, text }: Identifier): string => `${kind} ${text}`
  const parts = [
    vendor,
    model,
    classId && `class ${id(classId)}`,
    instance && `instance ${id(instance)}`,
  ]
  return parts.filter((part) => part !== undefined).join(', ')
}

function readIdentifier(value: CborValue | undefined, blame: Blame): Identifier {
  const tagged = taggedOf(value)
  if (tagged === undefined) throw new VouchsafeError(blame, 'has no tag')
  const kind = KINDS[tagged.tag] ?? 'key'
  // A key or a thumbprint names an instance as well as an id does; that it is one is all we say.
  if (kind === 'key') return { kind, bytes: new Uint8Array(), text: `of tag ${tagged.tag}` }
  const bytes = asBytes(tagged.value, blame)
  return { kind, bytes, text: kind === 'oid' ? oidText(bytes, blame) : toHex(bytes) }
}

/** The content octets of a DER OBJECT IDENTIFIER (RFC 9090 §3) in dotted form. */
function oidText(bytes: Uint8Array, blame: Blame): string {
  const arcs: bigint[] = []
  let arc = 0n
  let open = false
  for (const byte of bytes.subarray(0, 128)) {
    if (!open && byte === 0x80) throw new VouchsafeError(blame, 'an OID with a padded arc')
    arc = (arc << 7n) | BigInt(byte & 0x7f)
    open = (byte & 0x80) !== 0
    if (open) continue
    arcs.push(arc)
    arc = 0n
  }
  const [first] = arcs
  if (first === undefined || open || bytes.length > 128) {
    throw new VouchsafeError(blame, 'not an OID')
  }
  const root = first < 80n ? first / 40n : 2n
  return [root, first - root * 40n, ...arcs.slice(1)].join('.')
}
