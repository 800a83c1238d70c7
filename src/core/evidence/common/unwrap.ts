/**
 * Takes evidence out of what people keep it in: hexadecimal or base64 text, or the JSON around it.
 * Unwrapping chooses bytes and believes none of them; a wrong choice fails to parse or to
 * authenticate.
 *
 * @packageDocumentation
 */
import { fromBase64url } from '../../bytes/base64url.ts'
import { fromHex } from '../../bytes/hex.ts'
import { textIn } from '../../bytes/utf8.ts'
import { type JsonNode, memberOf, parseJsonTree } from '../../encoding/json-tree.ts'
import { decodePem } from '../../encoding/pem.ts'
import { VouchsafeError } from '../../errors.ts'
import { evidenceInCertificate, quoteInDstackRecord } from './carried.ts'

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'evidence' } as const
/** The largest evidence in the field is under 20 kB; JSON with event logs can take a few hundred. */
const MAX_BYTES = 2 * 1024 * 1024
const MAX_NESTING = 6
/** A compact JWS. Formats that read tokens take them whole, so one that comes here is none of theirs. */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]*$/
/** Members that hold evidence, the most telling first. Case and punctuation do not count. */
const MEMBERS = [
  'tdxquote',
  'tdquote',
  'intelquote',
  'snpreport',
  'attestationreport',
  'attestationdocument',
  'attestationdoc',
  'quote',
  'evidence',
  'report',
  'document',
  'attestation',
  'data',
  'body',
] as const

/**
 * The evidence in a file: raw bytes as they are, hexadecimal (with or without `0x`), base64 or
 * base64url text, or JSON that holds one of these, or a list of byte values, in a member of a usual
 * name: `quote`, `evidence`, `tdx_quote`, `report`, `data` and the like, nested or not. Also the
 * document or quote inside an RA-TLS certificate (DER or PEM) and the quote inside a dstack record.
 * What came beside a quote is lost here: `openEvidence` keeps it where a format checks it.
 *
 * @returns A copy. Other raw bytes are not looked at any further.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` if there is nothing, over 2 MiB, text that
 *   is none of these, or JSON without such a member or with several pieces of evidence.
 */
export function unwrapEvidence(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (bytes.length === 0) fail('empty')
  if (bytes.length > MAX_BYTES) fail(`${bytes.length} bytes, at most ${MAX_BYTES} are read`)
  const text = printable(bytes)
  if (text !== undefined) return fromText(text, 0)
  return evidenceInCertificate(bytes) ?? quoteInDstackRecord(bytes) ?? bytes.slice()
}

/**
 * Bytes of hexadecimal (with or without `0x`), base64 or base64url text, padded or not, with blanks
 * anywhere.
 *
 * @returns `undefined` for any other text, and for none.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for base64 that is not canonical.
 */
export function fromEncodedText(text: string): Uint8Array<ArrayBuffer> | undefined {
  const compact = text.replaceAll(/\s/g, '')
  if (compact === '') return undefined
  const hex = /^(?:0x)?((?:[0-9a-fA-F]{2})+)$/.exec(compact)?.[1]
  if (hex !== undefined) return fromHex(hex, BLAME)
  const base64 = /^([A-Za-z0-9+/_-]+)={0,2}$/.exec(compact)?.[1]
  if (base64 === undefined) return undefined
  return fromBase64url(base64.replaceAll('+', '-').replaceAll('/', '_'), BLAME)
}

/** The text, if the bytes are ASCII text and nothing else: no evidence format is. */
function printable(bytes: Uint8Array): string | undefined {
  // A trailing NUL is left by programs that write C strings.
  const end = bytes.at(-1) === 0 ? bytes.length - 1 : bytes.length
  const body = bytes.subarray(0, end)
  const binary = body.some((byte) => (byte < 0x20 && !isBlank(byte)) || byte === 0x7f)
  return binary ? undefined : textIn(body)?.trim()
}

function isBlank(byte: number): boolean {
  return byte === 0x09 || byte === 0x0a || byte === 0x0d
}

function fromText(text: string, nesting: number): Uint8Array<ArrayBuffer> {
  if (/^[[{"]/.test(text)) {
    const found = fromNode(parseJsonTree(text, BLAME), nesting)
    return found ?? fail(`JSON without a member that holds evidence, such as "quote"`)
  }
  if (text.includes('-----BEGIN ')) return fromPem(text)
  if (TOKEN.test(text)) fail('a signed token (JWS) whose header the format asked for does not know')
  return fromEncodedText(text) ?? fail('text that is neither hexadecimal, base64 nor JSON')
}

function fromPem(text: string): Uint8Array<ArrayBuffer> {
  const [leaf] = decodePem(text, 'CERTIFICATE', BLAME)
  return (leaf && evidenceInCertificate(leaf)) ?? fail('a certificate that carries no evidence')
}

/** `undefined` where there is no evidence, so that a search can go on elsewhere. */
function fromNode(node: JsonNode, nesting: number): Uint8Array<ArrayBuffer> | undefined {
  if (nesting > MAX_NESTING) return undefined
  if (node.kind === 'string') return fromString(node.value, nesting)
  if (node.kind === 'array') return fromArray(node.items, nesting)
  if (node.kind !== 'object') return undefined
  for (const name of MEMBERS) {
    const holders = node.members.filter((member) => plain(member.name) === name)
    if (holders.length > 1) fail(`several members named like "${name}"`)
    const found = holders[0] && fromNode(holders[0].node, nesting + 1)
    if (found !== undefined) return found
  }
  return undefined
}

function fromString(value: string, nesting: number): Uint8Array<ArrayBuffer> | undefined {
  const text = value.trim()
  return /^[[{]/.test(text) ? fromText(text, nesting + 1) : fromEncodedText(text)
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
}

/** Byte values, or a list with one piece of evidence in it. */
function fromArray(
  items: readonly JsonNode[],
  nesting: number,
): Uint8Array<ArrayBuffer> | undefined {
  const values = items.map((item) => (item.kind === 'number' ? item.value : -1))
  const isByte = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 256
  if (values.length > 1 && values.every(isByte)) return Uint8Array.from(values)
  const objects = items.filter((item) => item.kind === 'object' && memberOf(item, 'evidence'))
  if (objects.length > 1) fail('several pieces of evidence; verify them one by one')
  const [only] = items.length === 1 ? items : objects
  return only && fromNode(only, nesting + 1)
}

function fail(detail: string): never {
  throw new VouchsafeError(BLAME, detail)
}
