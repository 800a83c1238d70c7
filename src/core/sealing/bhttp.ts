/**
 * Binary HTTP (RFC 9292): a whole request or response as bytes. Written known-length when the
 * content is at hand, and with indeterminate length when it is not; read in both forms.
 *
 * @packageDocumentation
 */
import { concat } from '../bytes/bytes.ts'
import type { Bytes } from '../ports/sealing.ts'
import { type BhttpHead, createBhttpDecoder } from './bhttp-decoder.ts'
import {
  bhttpMalformed,
  type Field,
  fromLatin1,
  type RequestControl,
  requireAuthority,
  requireControl,
  requireField,
  requireStatus,
} from './bhttp-fields.ts'
import { encodeVarint } from './varint.ts'

export { type Field, fieldValue } from './bhttp-fields.ts'

/** A request and all of its content. */
export interface BhttpRequest extends RequestControl {
  readonly headers: readonly Field[]
  readonly body: Uint8Array
  readonly trailers?: readonly Field[]
}

/** A final response and all of its content. */
export interface BhttpResponse {
  /** 200 to 599. */
  readonly status: number
  readonly headers: readonly Field[]
  readonly body: Uint8Array
  readonly trailers?: readonly Field[]
}

/** Terminators of content and of an empty trailer section: the end of every streamed message. */
export const INDETERMINATE_END: Uint8Array = Uint8Array.of(0, 0)

const TERMINATOR = Uint8Array.of(0)

/** A known-length request. @throws {@link VouchsafeError} `ERR_BHTTP_MALFORMED`. */
export function encodeRequest(request: BhttpRequest): Bytes {
  return concat(Uint8Array.of(0), control(request), knownLength(request))
}

/** A known-length response. @throws {@link VouchsafeError} `ERR_BHTTP_MALFORMED`. */
export function encodeResponse(response: BhttpResponse): Bytes {
  const status = encodeVarint(requireStatus(response.status))
  return concat(Uint8Array.of(1), status, knownLength(response))
}

/** The beginning of a request of indeterminate length; content pieces and the end follow. */
export function encodeRequestHead(request: Omit<BhttpRequest, 'body' | 'trailers'>): Bytes {
  return concat(Uint8Array.of(2), control(request), ...lines(request.headers), TERMINATOR)
}

/** The beginning of a response of indeterminate length; content pieces and the end follow. */
export function encodeResponseHead({
  status,
  headers,
}: Omit<BhttpResponse, 'body' | 'trailers'>): Bytes {
  const encoded = encodeVarint(requireStatus(status))
  return concat(Uint8Array.of(3), encoded, ...lines(headers), TERMINATOR)
}

/** One piece of content of indeterminate length; nothing for nothing, which would end it. */
export function encodeContent(bytes: Uint8Array): Bytes {
  return bytes.length === 0 ? new Uint8Array(0) : prefixed(bytes)
}

/**
 * Decodes a whole request, of either form.
 *
 * @throws {@link VouchsafeError} `ERR_BHTTP_MALFORMED`.
 */
export function decodeRequest(bytes: Uint8Array): Required<BhttpRequest> {
  const { head, ...rest } = decodeWhole(bytes)
  if (head.kind !== 'request') throw bhttpMalformed('framing', 'not a request')
  const { method, scheme, authority, path, headers } = head
  return { method, scheme, authority, path, headers, ...rest }
}

/**
 * Decodes a whole response, of either form; informational responses before it are left out.
 *
 * @throws {@link VouchsafeError} `ERR_BHTTP_MALFORMED`.
 */
export function decodeResponse(bytes: Uint8Array): Required<BhttpResponse> {
  const { head, ...rest } = decodeWhole(bytes)
  if (head.kind !== 'response') throw bhttpMalformed('framing', 'not a response')
  return { status: head.status, headers: head.headers, ...rest }
}

function decodeWhole(bytes: Uint8Array): {
  readonly head: BhttpHead
  readonly body: Bytes
  readonly trailers: readonly Field[]
} {
  const decoder = createBhttpDecoder()
  let head: BhttpHead | undefined
  let trailers: readonly Field[] = []
  const body: Uint8Array[] = []
  for (const event of [...decoder.push(bytes), ...decoder.end()]) {
    if (event.kind === 'content') body.push(event.bytes)
    else if (event.kind === 'trailers') trailers = event.fields
    else head = event
  }
  // The decoder does not end without one.
  if (head === undefined) throw bhttpMalformed('framing', 'nothing')
  return { head, body: concat(...body), trailers }
}

function control(request: Omit<BhttpRequest, 'body' | 'trailers'>): Bytes {
  const { method, scheme, authority, path } = requireControl(request)
  requireAuthority(request, request.headers)
  return concat(...[method, scheme, authority, path].map((part) => prefixed(fromLatin1(part))))
}

function knownLength({
  headers,
  body,
  trailers = [],
}: {
  readonly headers: readonly Field[]
  readonly body: Uint8Array
  readonly trailers?: readonly Field[]
}): Bytes {
  return concat(section(headers), prefixed(body), section(trailers))
}

function section(fields: readonly Field[]): Bytes {
  return prefixed(concat(...lines(fields)))
}

function lines(fields: readonly Field[]): readonly Bytes[] {
  return fields.flatMap((field) => {
    const [name, value] = requireField(field)
    return [prefixed(fromLatin1(name)), prefixed(fromLatin1(value))]
  })
}

function prefixed(bytes: Uint8Array): Bytes {
  return concat(encodeVarint(bytes.length), bytes)
}
