/**
 * The manifest of a sealed model: which files, how long, which digests before and after sealing, and
 * which key opens them. Its digest stands in the keyset of every enclave that serves the model.
 *
 * @packageDocumentation
 */
import { toHex } from '../bytes/hex.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { canonicalBytes, canonicalJson } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { parseKeyUri } from '../keys/uri.ts'
import type { Hasher } from '../ports/crypto.ts'
import { floeLayout } from './floe.ts'

/** The only schema there is. */
export const MANIFEST_SCHEMA = 'vouchsafe.weights/1'

/** Of a manifest. */
export const MAX_MANIFEST_BYTES = 8 << 20
/** In one manifest. */
export const MAX_MANIFEST_FILES = 4096
const MIN_SEGMENT = 4096
const MAX_SEGMENT = 1 << 26
const DIGEST = /^sha256:[0-9a-f]{64}$/
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$/
/** No separators, no control characters, nothing that Windows reads in its own way. */
const PATH_PART = /^[^/\\\p{Cc}:*?"<>|]{1,255}$/u
const AT = 'manifest'
const MEMBERS = ['files', 'model', 'schema', 'version']
const FILE_MEMBERS = [
  'floeHeaderSha256',
  'key',
  'path',
  'sealedSha256',
  'sealedSize',
  'segment',
  'sha256',
  'size',
]

/** One file of a model. Digests are `sha256:<lower-case hex>`, sizes are bytes. */
export interface ManifestFile {
  /** Relative, `/` between its parts, no `.` or `..`. */
  readonly path: string
  readonly size: number
  readonly sha256: string
  readonly sealedSize: number
  readonly sealedSha256: string
  /** Of the 74 bytes of the FLOE header. */
  readonly floeHeaderSha256: string
  /** FLOE segment length. */
  readonly segment: number
  /** `kbs:///namespace/type/name?version=N`. */
  readonly key: string
}

/** Files are sorted by path. */
export interface Manifest {
  readonly schema: typeof MANIFEST_SCHEMA
  readonly model: string
  readonly version: string
  readonly files: readonly ManifestFile[]
}

/**
 * Canonical bytes of a manifest; what a manifest file holds, and what its digest covers.
 *
 * @throws {@link VouchsafeError} `ERR_MANIFEST_MALFORMED` if it is not one that
 *   {@link decodeManifest} accepts.
 */
export function encodeManifest(manifest: Manifest): Uint8Array<ArrayBuffer> {
  const files = [...manifest.files].sort((a, b) => (a.path < b.path ? -1 : 1))
  const value = { ...manifest, files: files.map((file) => ({ ...file })) }
  checkManifest(value)
  return canonicalBytes(value)
}

/**
 * Decodes a manifest: canonical JSON with exactly the members above.
 *
 * @throws {@link VouchsafeError} `ERR_MANIFEST_MALFORMED`, saying where.
 */
export function decodeManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) fail(AT, `longer than ${MAX_MANIFEST_BYTES} bytes`)
  const text = decodeUtf8(bytes, blame(AT))
  const manifest = checkManifest(parseJson(text))
  // Two spellings of one manifest would be two digests of one model.
  if (canonicalJson({ ...manifest, files: manifest.files.map((file) => ({ ...file })) }) !== text) {
    fail(AT, 'not canonical JSON (RFC 8785)')
  }
  return manifest
}

/** `sha256:<hex>` of a manifest's bytes. */
export async function manifestDigest(bytes: Uint8Array, hasher: Hasher): Promise<string> {
  return `sha256:${toHex(await hasher.digest('SHA-256', bytes))}`
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new VouchsafeError(blame(AT), 'not JSON', { cause })
  }
}

function checkManifest(value: unknown): Manifest {
  const manifest = members(value, MEMBERS, AT)
  if (manifest['schema'] !== MANIFEST_SCHEMA) fail(`${AT}.schema`, `want ${MANIFEST_SCHEMA}`)
  const { files } = manifest
  if (!Array.isArray(files) || files.length === 0 || files.length > MAX_MANIFEST_FILES) {
    return fail(`${AT}.files`, `want 1 to ${MAX_MANIFEST_FILES} files`)
  }
  const checked = (files as readonly unknown[]).map((file, i) =>
    checkFile(file, `${AT}.files.${i}`),
  )
  assertPaths(checked.map(({ path }) => path))
  return {
    schema: MANIFEST_SCHEMA,
    model: text(manifest, 'model', { pattern: NAME, at: AT }),
    version: text(manifest, 'version', { pattern: NAME, at: AT }),
    files: checked,
  }
}

function checkFile(value: unknown, at: string): ManifestFile {
  const file = members(value, FILE_MEMBERS, at)
  const segment = integer(file, 'segment', { min: MIN_SEGMENT, max: MAX_SEGMENT, at })
  const size = integer(file, 'size', { min: 0, at })
  const sealedSize = integer(file, 'sealedSize', { min: 0, at })
  assertSizes({ segment, size, sealedSize }, at)
  const key = text(file, 'key', { pattern: /^kbs:/, at })
  if (parseKeyUri(key, blame(`${at}.key`)).version === undefined) fail(`${at}.key`, 'no version')
  return {
    path: path(file['path'], `${at}.path`),
    size,
    sha256: text(file, 'sha256', { pattern: DIGEST, at }),
    sealedSize,
    sealedSha256: text(file, 'sealedSha256', { pattern: DIGEST, at }),
    floeHeaderSha256: text(file, 'floeHeaderSha256', { pattern: DIGEST, at }),
    segment,
    key,
  }
}

/** Of a file that fills its segments, both forms exist: the last segment full, or empty after it. */
function assertSizes(
  { segment, size, sealedSize }: Pick<ManifestFile, 'segment' | 'size' | 'sealedSize'>,
  at: string,
): void {
  const blamed = blame(`${at}.sealedSize`)
  try {
    if (floeLayout(sealedSize, segment).size === size) return
  } catch (cause) {
    throw new VouchsafeError(blamed, 'no size of a sealed file', { cause })
  }
  throw new VouchsafeError(blamed, `does not fit ${size} bytes in segments of ${segment}`)
}

/** A file must stay where it is put: below the folder it is opened into, and not over another. */
function path(value: unknown, at: string): string {
  if (typeof value !== 'string' || value.length > 512) return fail(at, 'want a relative path')
  const good = value
    .split('/')
    .every((part) => PATH_PART.test(part) && part.isWellFormed() && !/^\.{1,2}$/.test(part))
  return good ? value : fail(at, 'want a relative path without . and ..')
}

/** Sorted, no path twice, and none of them the folder of another, on any file system. */
function assertPaths(paths: readonly string[]): void {
  const folded = new Set<string>()
  for (const [i, current] of paths.entries()) {
    const at = `${AT}.files.${i}.path`
    const previous = paths[i - 1]
    if (previous !== undefined && previous >= current) fail(at, 'not sorted by path')
    const name = fold(current)
    if (folded.has(name)) fail(at, 'the same path twice on some file systems')
    folded.add(name)
  }
  for (const [i, current] of paths.entries()) {
    const parts = fold(current).split('/')
    for (let depth = 1; depth < parts.length; depth++) {
      const folder = parts.slice(0, depth).join('/')
      if (folded.has(folder)) fail(`${AT}.files.${i}.path`, 'below a path that is a file')
    }
  }
}

function fold(name: string): string {
  return name.normalize('NFC').toLowerCase()
}

function members(
  value: unknown,
  names: readonly string[],
  at: string,
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return fail(at, 'want an object')
  }
  const found = Object.keys(value).sort()
  const absent = names.find((name) => !found.includes(name))
  if (absent !== undefined) fail(`${at}.${absent}`, 'absent')
  if (found.length !== names.length) fail(at, `want exactly ${names.join(', ')}`)
  return value as Readonly<Record<string, unknown>>
}

function text(
  object: Readonly<Record<string, unknown>>,
  name: string,
  { pattern, at }: { readonly pattern: RegExp; readonly at: string },
): string {
  const value = object[name]
  if (typeof value === 'string' && pattern.test(value)) return value
  return fail(`${at}.${name}`, `want text matching ${pattern.source}`)
}

function integer(
  object: Readonly<Record<string, unknown>>,
  name: string,
  { min, max = Number.MAX_SAFE_INTEGER, at }: { min: number; max?: number; at: string },
): number {
  const value = object[name]
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) {
    return value as number
  }
  return fail(`${at}.${name}`, `want an integer from ${min} to ${max}`)
}

function blame(at: string): Blame {
  return { code: 'ERR_MANIFEST_MALFORMED', at }
}

function fail(at: string, detail: string): never {
  throw new VouchsafeError(blame(at), detail)
}
