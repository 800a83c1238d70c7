/** Reads the JSON that TPM evidence travels in: bounded, and nothing passed over. @packageDocumentation */
import { fromBase64 } from '../../bytes/base64.ts'
import { fromBase64url } from '../../bytes/base64url.ts'
import { fromHex } from '../../bytes/hex.ts'
import { decodeUtf8 } from '../../bytes/utf8.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import { parseJson } from '../../encoding/json-source.ts'
import { memberOf } from '../../encoding/json-tree.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { jsonIn, type Sample } from '../common/sample.ts'

type Encoding = 'base64' | 'base64url' | 'hex' | 'list'

const MAX_BYTES = 2 * 1024 * 1024
const DECODERS = { base64: fromBase64, base64url: paddedBase64url, hex: fromHex } as const

/** The members of one object. */
export class Members {
  readonly #members: Readonly<Record<string, Json | undefined>>
  readonly #asked = new Set<string>()
  readonly blame: Blame

  /** @throws {@link VouchsafeError} with the code of `blame` if the value is no object. */
  constructor(value: Json | undefined, blame: Blame) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new VouchsafeError(blame, 'not an object')
    }
    this.#members = value as Readonly<Record<string, Json | undefined>>
    this.blame = blame
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#members, name)
  }

  any(name: string): Json | undefined {
    this.#asked.add(name)
    return this.has(name) ? this.#members[name] : undefined
  }

  /** Of the member, for errors. */
  at(name: string): Blame {
    return { code: this.blame.code, at: `${this.blame.at}.${name}` }
  }

  object(name: string): Members {
    return new Members(this.any(name), this.at(name))
  }

  names(): readonly string[] {
    return Object.keys(this.#members)
  }

  /** A list of at most `most`. */
  list(name: string, most: number): readonly Json[] {
    const value = this.any(name)
    if (!Array.isArray(value)) throw new VouchsafeError(this.at(name), 'absent or not a list')
    if (value.length > most) throw new VouchsafeError(this.at(name), `${value.length} items`)
    return value as readonly Json[]
  }

  /** Bytes in this encoding, at most `most`. */
  bytes(name: string, encoding: Encoding, most: number): Uint8Array<ArrayBuffer> {
    return bytesOf(this.any(name), { encoding, most, blame: this.at(name) })
  }

  /** Call last: what nothing asked for is nothing we understand. */
  end(): void {
    const unknown = this.names().find((name) => !this.#asked.has(name))
    if (unknown !== undefined) {
      throw new VouchsafeError(this.blame, `unknown member ${JSON.stringify(unknown.slice(0, 40))}`)
    }
  }
}

/** Bytes of one value. */
export function bytesOf(
  value: Json | undefined,
  {
    encoding,
    most,
    blame,
  }: { readonly encoding: Encoding; readonly most: number; readonly blame: Blame },
): Uint8Array<ArrayBuffer> {
  const bytes = encoding === 'list' ? listed(value, blame) : decoded(value, encoding, blame)
  if (bytes.length > most) {
    throw new VouchsafeError(blame, `${bytes.length} bytes, at most ${most} are read`)
  }
  return bytes
}

function decoded(
  value: Json | undefined,
  encoding: Exclude<Encoding, 'list'>,
  blame: Blame,
): Uint8Array<ArrayBuffer> {
  if (typeof value !== 'string') throw new VouchsafeError(blame, `absent or not ${encoding}`)
  return DECODERS[encoding](value, blame)
}

/** Attesters pad it, which RFC 4648 §5 leaves open; either way there is one spelling for bytes. */
function paddedBase64url(text: string, blame: Blame): Uint8Array<ArrayBuffer> {
  const padded = text.length % 4 === 0 && /[^=]={1,2}$/.test(text)
  return fromBase64url(padded ? text.replace(/={1,2}$/, '') : text, blame)
}

function listed(value: Json | undefined, blame: Blame): Uint8Array<ArrayBuffer> {
  const isByte = (item: Json): boolean =>
    typeof item === 'number' && Number.isInteger(item) && item >= 0 && item < 256
  if (!Array.isArray(value) || !(value as readonly Json[]).every(isByte)) {
    throw new VouchsafeError(blame, 'absent or not a list of byte values')
  }
  return Uint8Array.from(value as readonly number[])
}

/**
 * The one JSON object that these bytes are.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for anything else, and over 2 MiB.
 */
export function parseMembers(bytes: Uint8Array, blame: Blame): Members {
  if (bytes.length > MAX_BYTES) throw new VouchsafeError(blame, `${bytes.length} bytes`)
  const text = decodeUtf8(bytes, blame)
  return new Members(parseJson(text, blame), blame)
}

/** Is this a JSON object with all of these members? For detection: believes nothing. */
export function looksLike(sample: Sample, names: readonly string[]): boolean {
  const tree = sample(jsonIn)
  return tree !== undefined && names.every((name) => memberOf(tree, name) !== undefined)
}
