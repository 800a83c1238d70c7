/**
 * What the enclave reads in server-sent events. Cutting streams into events and padding them is
 * sealing's (`core/sealing/padding.ts`).
 *
 * @see `spec/apis.md` §1.2
 * @packageDocumentation
 */
import { utf8 } from '../core/bytes/bytes.ts'

/** The joined `data` lines of an event; `undefined` if it has none. */
export function dataOf(event: Uint8Array): string | undefined {
  const lines = new TextDecoder().decode(event).split(/\r\n|\r|\n/)
  const data = lines.filter((line) => line === 'data' || line.startsWith('data:'))
  if (data.length === 0) return undefined
  return data.map((line) => line.slice(5).replace(/^ /, '')).join('\n')
}

/** An event of one `data` line. */
export function encodeEvent(data: string): Uint8Array<ArrayBuffer> {
  return utf8(`data: ${data}\n\n`)
}
