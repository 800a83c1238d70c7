/**
 * Reads Binary HTTP as it arrives. The grammar below is written as RFC 9292 has it, each rule a
 * generator that pauses where bytes are missing.
 *
 * @packageDocumentation
 */
import { isZero } from '../bytes/bytes.ts'
import type { Bytes } from '../ports/sealing.ts'
import {
  bhttpMalformed,
  type Field,
  latin1,
  type RequestControl,
  requireAuthority,
  requireControl,
  requireField,
  requireStatus,
} from './bhttp-fields.ts'
import { ByteQueue } from './byte-queue.ts'
import { decodeVarint, lengthFromFirst } from './varint.ts'

/** Control data and header section together, in bytes. */
const MAX_HEAD = 64 * 1024
const MAX_INFORMATIONAL = 8

/** The beginning of a message. */
export type BhttpHead =
  | ({ readonly kind: 'request'; readonly headers: readonly Field[] } & RequestControl)
  | { readonly kind: 'response'; readonly status: number; readonly headers: readonly Field[] }

/** What a decoder finds, in order: one head, pieces of content, trailers if there are any. */
export type BhttpEvent =
  | BhttpHead
  | { readonly kind: 'content'; readonly bytes: Bytes }
  | { readonly kind: 'trailers'; readonly fields: readonly Field[] }

/** All methods throw {@link VouchsafeError} `ERR_BHTTP_MALFORMED`; then the message is lost. */
export interface BhttpDecoder {
  push(bytes: Uint8Array): readonly BhttpEvent[]
  /** There is no more. Empty parts at the end may have been left out (RFC 9292 §3.8). */
  end(): readonly BhttpEvent[]
}

/** `undefined` where bytes are missing. */
type Rule<T> = Generator<BhttpEvent | undefined, T, undefined>

/** A decoder for one message, request or response, of either form. */
export function createBhttpDecoder(): BhttpDecoder {
  const source = new Source()
  const events = message(source)
  const run = (): readonly BhttpEvent[] => {
    const found: BhttpEvent[] = []
    for (;;) {
      const { done, value } = events.next()
      if (done === true || value === undefined) return found
      found.push(value)
    }
  }
  return {
    push: (bytes) => {
      source.queue.append(bytes)
      return run()
    },
    end: () => {
      source.ended = true
      return run()
    },
  }
}

class Source {
  readonly queue = new ByteQueue()
  ended = false
  #headBytes = 0

  get empty(): boolean {
    return this.queue.length === 0
  }

  /** A message may end here: waits until it is known whether it does. */
  *isOver(): Rule<boolean> {
    while (this.empty && !this.ended) yield undefined
    return this.empty
  }

  *need(length: number): Rule<void> {
    while (this.queue.length < length) {
      if (this.ended) throw bhttpMalformed('end', 'ended inside a part')
      yield undefined
    }
  }

  *varint(field: string): Rule<number> {
    yield* this.need(1)
    const length = lengthFromFirst(this.queue.peek(0) ?? 0)
    yield* this.need(length)
    const value = decodeVarint(this.queue.take(length))
    if (value === undefined) throw bhttpMalformed(field, 'an enormous length')
    return value
  }

  /** Part of the head: it is kept whole in memory, so all of them together are bounded. */
  *bounded(length: number, field: string): Rule<Bytes> {
    this.#headBytes += length
    if (this.#headBytes > MAX_HEAD) throw bhttpMalformed(field, 'above 64 KiB')
    yield* this.need(length)
    return this.queue.take(length)
  }

  *text(field: string): Rule<string> {
    return latin1(yield* this.bounded(yield* this.varint(field), field))
  }

  /** Content of a known length, handed on as it comes. */
  *content(length: number): Rule<void> {
    for (let left = length; left > 0; ) {
      yield* this.need(1)
      const bytes = this.queue.take(Math.min(left, this.queue.length))
      left -= bytes.length
      yield { kind: 'content', bytes }
    }
  }

  /** RFC 9292 §3.8: padding is zeros. Others could be a message behind the message. */
  *padding(): Rule<void> {
    while (!(yield* this.isOver())) {
      if (!isZero(this.queue.take(this.queue.length))) throw bhttpMalformed('padding', 'not zero')
    }
  }
}

function* message(source: Source): Rule<void> {
  const framing = yield* source.varint('framing')
  if (framing > 3) throw bhttpMalformed('framing', `${framing} is none`)
  const known = framing < 2
  const start = framing % 2 === 0 ? yield* requestControl(source) : yield* status(source, known)
  if (known) yield* knownLength(source, start)
  else yield* indeterminate(source, start)
  yield* source.padding()
}

type Start = (headers: readonly Field[]) => BhttpHead

function* requestControl(source: Source): Rule<Start> {
  const method = yield* source.text('method')
  const scheme = yield* source.text('scheme')
  const authority = yield* source.text('authority')
  const path = yield* source.text('path')
  const control = requireControl({ method, scheme, authority, path })
  return (headers) => {
    requireAuthority(control, headers)
    return { kind: 'request', ...control, headers }
  }
}

/** Informational responses are read and dropped: nobody here has a use for them. */
function* status(source: Source, known: boolean): Rule<Start> {
  for (let i = 0; i <= MAX_INFORMATIONAL; i++) {
    const code = yield* source.varint('status')
    if (code < 100 || code > 199) {
      const final = requireStatus(code)
      return (headers) => ({ kind: 'response', status: final, headers })
    }
    yield* known ? knownSection(source) : indeterminateSection(source)
  }
  throw bhttpMalformed('status', 'too many informational responses')
}

/** May end after control data, header section or content; what is missing is empty (§3.8). */
function* knownLength(source: Source, start: Start): Rule<void> {
  if (yield* source.isOver()) {
    yield start([])
    return
  }
  yield start(yield* knownSection(source))
  if (yield* source.isOver()) return
  yield* source.content(yield* source.varint('content'))
  if (yield* source.isOver()) return
  yield* trailers(yield* knownSection(source))
}

/** May end after the terminator of header section or content, but never inside content (§3.8). */
function* indeterminate(source: Source, start: Start): Rule<void> {
  yield start(yield* indeterminateSection(source))
  if (yield* source.isOver()) return
  for (;;) {
    const length = yield* source.varint('content')
    if (length === 0) break
    yield* source.content(length)
  }
  if (yield* source.isOver()) return
  yield* trailers(yield* indeterminateSection(source))
}

function* trailers(fields: readonly Field[]): Rule<void> {
  if (fields.length > 0) yield { kind: 'trailers', fields }
}

function* knownSection(source: Source): Rule<readonly Field[]> {
  const inner = new Source()
  inner.queue.append(yield* source.bounded(yield* source.varint('section'), 'section'))
  inner.ended = true
  const fields: Field[] = []
  while (!(yield* inner.isOver())) {
    const nameLength = yield* inner.varint('field.name')
    fields.push(yield* line(inner, nameLength))
  }
  return fields
}

function* indeterminateSection(source: Source): Rule<readonly Field[]> {
  const fields: Field[] = []
  for (;;) {
    const nameLength = yield* source.varint('field.name')
    if (nameLength === 0) return fields
    fields.push(yield* line(source, nameLength))
  }
}

function* line(source: Source, nameLength: number): Rule<Field> {
  const name = latin1(yield* source.bounded(nameLength, 'field.name'))
  return requireField([name, yield* source.text('field.value')])
}
