/**
 * What HTTP allows in the parts of a message (RFC 9110 §5, RFC 9292 §3.6). Both directions are
 * checked: what we would refuse to read, we do not write.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../errors.ts'
import type { Bytes } from '../ports/sealing.ts'

/** A field line: lower-case name, and value in which every character is one byte. */
export type Field = readonly [name: string, value: string]

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
/** No controls but tab, no blank at either end (RFC 9110 §5.5). */
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/
const SCHEME = /^[a-z][a-z0-9+.-]*$/
const VISIBLE = /^[\x21-\x7e]*$/
/** Fields about a connection, which a message of its own does not have (RFC 9292 §3.6). */
const CONNECTION_FIELDS = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** Method, scheme, authority and path of a request; the path carries the query. */
export interface RequestControl {
  readonly method: string
  readonly scheme: string
  /** May be empty if there is a `host` field. */
  readonly authority: string
  readonly path: string
}

/** The value of the first field of that name. @param name - In lower case. */
export function fieldValue(fields: readonly Field[], name: string): string | undefined {
  return fields.find(([candidate]) => candidate === name)?.[1]
}

/** @throws {@link VouchsafeError} `ERR_BHTTP_MALFORMED` at `bhttp.field`. */
export function requireField([name, value]: Field): Field {
  if (!NAME.test(name)) throw bhttpMalformed('field.name', 'not a lower-case field name')
  if (!VALUE.test(value)) throw bhttpMalformed('field.value', `not a field value, of ${name}`)
  const allowed = name === 'te' ? value === 'trailers' : !CONNECTION_FIELDS.has(name)
  if (!allowed) throw bhttpMalformed('field.name', `${name} is about a connection`)
  return [name, value]
}

/** @throws {@link VouchsafeError} `ERR_BHTTP_MALFORMED` at the part that is wrong. */
export function requireControl(control: RequestControl): RequestControl {
  const { method, scheme, authority, path } = control
  if (!TOKEN.test(method)) throw bhttpMalformed('method', 'not a method')
  if (!SCHEME.test(scheme)) throw bhttpMalformed('scheme', 'not a scheme')
  if (!VISIBLE.test(authority)) throw bhttpMalformed('authority', 'not an authority')
  if (!VISIBLE.test(path) || path === '') throw bhttpMalformed('path', 'not a path')
  return { method, scheme, authority, path }
}

/** Who is asked must be said somewhere (RFC 9292 §3.4, RFC 9110 §7.2). */
export function requireAuthority(control: RequestControl, headers: readonly Field[]): void {
  if (control.authority === '' && fieldValue(headers, 'host') === undefined) {
    throw bhttpMalformed('authority', 'empty, and there is no host field')
  }
}

/** @throws {@link VouchsafeError} `ERR_BHTTP_MALFORMED` at `bhttp.status`. */
export function requireStatus(status: number): number {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw bhttpMalformed('status', `${status} is no final status`)
  }
  return status
}

/** Text in which every character is one byte. */
export function latin1(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}

/** The inverse of {@link latin1}. @throws RangeError for a character that is not one byte. */
export function fromLatin1(text: string): Bytes {
  return Uint8Array.from(text, (char) => {
    const code = char.charCodeAt(0)
    if (code > 0xff) throw new RangeError('a character that is not one byte')
    return code
  })
}

/** Somebody's message is not BHTTP. @param field - Which part of it, after `bhttp.`. */
export function bhttpMalformed(field: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_BHTTP_MALFORMED', at: `bhttp.${field}` }, detail)
}
