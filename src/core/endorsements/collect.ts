/**
 * Finds endorsements in whatever files people have them in: collateral as the vendors' services
 * answer it, as other verifiers save it, or plain certificates and lists. What a file is called and
 * where it came from decides nothing; its content does. Nothing found here is believed: a format
 * checks each item's signature when it uses it.
 *
 * @packageDocumentation
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { utf8 } from '../bytes/bytes.ts'
import { fromHex } from '../bytes/hex.ts'
import { textIn } from '../bytes/utf8.ts'
import { type JsonNode, memberOf, parseJsonTree, valueOf } from '../encoding/json-tree.ts'
import { decodePemBlocks } from '../encoding/pem.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { splitHygonCertificates } from '../evidence/hygon-csv/certificate.ts'
import { parseCertificate } from '../x509/certificate.ts'
import { parseCrl } from '../x509/crl.ts'
import { parseOcspResponse } from '../x509/ocsp.ts'
import { shapeOf } from '../x509/shape.ts'
import {
  type EndorsementSet,
  endorsementsFromJson,
  type PlatformKey,
  type SignedJson,
} from './endorsement-set.ts'
import { readOpenEnclave } from './open-enclave.ts'
import { platformKeyOfDer, platformKeyOfJson } from './platform-keys.ts'

export interface EndorsementFile {
  /** For {@link Collected.ignored} only. */
  readonly name: string
  readonly bytes: Uint8Array
}

export interface Collected {
  /** In the order of the files; each item once. */
  readonly endorsements: EndorsementSet
  /** Names of files in which nothing was found. */
  readonly ignored: readonly string[]
}

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'endorsements' } as const
/** How deep texts may hold documents that hold texts: a capture of a response needs two. */
const MAX_NESTING = 4
/** As the reader of manifests has it. */
const MAX_RIM_BYTES = 512 * 1024
const PEM_LABELS = ['CERTIFICATE', 'X509 CRL', 'TRUSTED CERTIFICATE', 'PUBLIC KEY']
/** The two documents that Intel signs, by the member that holds the signed object. */
const SIGNED_MEMBERS = [
  { member: 'tcbInfo', into: 'tcbInfos' },
  { member: 'enclaveIdentity', into: 'qeIdentities' },
] as const
/** The same two in the QuoteCollateralV3 JSON of dcap-qvl, as text beside their signature. */
const TEXT_MEMBERS = [
  { member: 'tcb_info', into: 'tcbInfos' },
  { member: 'qe_identity', into: 'qeIdentities' },
] as const

/** Sets being filled; keyed by content, so that what comes twice is kept once. */
interface Found {
  readonly certificates: Map<string, Uint8Array>
  readonly crls: Map<string, Uint8Array>
  readonly tcbInfos: Map<string, SignedJson>
  readonly qeIdentities: Map<string, SignedJson>
  readonly platformKeys: Map<string, PlatformKey>
  readonly rims: Map<string, Uint8Array>
  readonly ocspResponses: Map<string, Uint8Array>
  readonly hygonCertificates: Map<string, Uint8Array>
}

/**
 * Collects every endorsement in the files: PCS JSON responses, QuoteCollateralV3 JSON, captures of
 * responses with their issuer-chain headers, our own JSON, Open Enclave blobs, JWKs and lists of Arm
 * CCA trust anchors, NVIDIA's manifests (RIM) as XML or as its service answers them, certificates, CRLs,
 * OCSP responses and public keys in DER, PEM (any number of blocks), hex or base64, and Hygon's
 * certificates (HRK, HSK, CEK), alone or joined.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_MALFORMED` for a file that is one of these JSON
 *   documents and has something else where its signature or list should be, and for PEM that is cut
 *   off or no base64. A file that is none of them is ignored, and so is a certificate or list that this verifier cannot read.
 */
export function collectEndorsements(files: readonly EndorsementFile[]): Collected {
  const found: Found = {
    certificates: new Map(),
    crls: new Map(),
    tcbInfos: new Map(),
    qeIdentities: new Map(),
    platformKeys: new Map(),
    rims: new Map(),
    ocspResponses: new Map(),
    hygonCertificates: new Map(),
  }
  const ignored: string[] = []
  for (const { name, bytes } of files) {
    if (!takeBytes(found, bytes, 0)) ignored.push(name)
  }
  return {
    endorsements: {
      certificates: [...found.certificates.values()],
      crls: [...found.crls.values()],
      tcbInfos: [...found.tcbInfos.values()],
      qeIdentities: [...found.qeIdentities.values()],
      ...(found.platformKeys.size > 0 && { platformKeys: [...found.platformKeys.values()] }),
      ...(found.rims.size > 0 && { rims: [...found.rims.values()] }),
      ...(found.ocspResponses.size > 0 && { ocspResponses: [...found.ocspResponses.values()] }),
      ...(found.hygonCertificates.size > 0 && {
        hygonCertificates: [...found.hygonCertificates.values()],
      }),
    },
    ignored,
  }
}

/** Each `take…` answers whether it found anything. */
function takeBytes(found: Found, bytes: Uint8Array, nesting: number): boolean {
  if (takeDer(found, bytes) || takeRim(found, bytes) || takeHygon(found, bytes)) return true
  const parts = readOpenEnclave(bytes)
  if (parts !== undefined) {
    return parts.map((part) => takeBytes(found, part, nesting + 1)).includes(true)
  }
  const text = decodeText(bytes)
  return text !== undefined && takeText(found, text, nesting)
}

function takeDer(found: Found, bytes: Uint8Array): boolean {
  const shape = shapeOf(bytes)
  if (shape === undefined) return false
  if (shape === 'publicKey') {
    const key = platformKeyOfDer(bytes)
    if (key !== undefined) keepKey(found.platformKeys, key)
    return key !== undefined
  }
  const { parse, into } = {
    certificate: { parse: parseCertificate, into: found.certificates },
    crl: { parse: parseCrl, into: found.crls },
    ocspResponse: { parse: parseOcspResponse, into: found.ocspResponses },
  }[shape]
  // Issuer chains repeat their CAs, and reading one takes longer than its name does.
  const name = toBase64(bytes)
  if (into.has(name)) return true
  try {
    const { der } = parse(bytes, BLAME)
    into.set(name, der)
    return true
  } catch (error) {
    // One we could not use anyway: whoever needs it will say that it is absent.
    if (!(error instanceof VouchsafeError)) throw error
    return false
  }
}

/** By its look: what is in it is read when a format needs it, and not before. */
function takeRim(found: Found, bytes: Uint8Array): boolean {
  const LESS_THAN = 0x3c
  const start = bytes.findIndex((byte) => byte > 0x20)
  if (bytes[start] !== LESS_THAN || bytes.length > MAX_RIM_BYTES) return false
  const text = decodeText(bytes)
  if (text === undefined || !/<(?:\w+:)?SoftwareIdentity[\s>]/.test(text)) return false
  found.rims.set(toBase64(bytes), bytes.slice())
  return true
}

/** Certificates in Hygon's layouts, one or several; what they are worth is the format's to say. */
function takeHygon(found: Found, bytes: Uint8Array): boolean {
  const parts = splitHygonCertificates(bytes) ?? []
  for (const part of parts) found.hygonCertificates.set(toBase64(part), part.slice())
  return parts.length > 0
}

function takeText(found: Found, raw: string, nesting: number): boolean {
  if (nesting > MAX_NESTING) return false
  const text = raw.trim()
  if (text.startsWith('{') || text.startsWith('[')) return takeJson(found, text, nesting)
  if (text.includes('-----BEGIN ')) return takePem(found, text)
  // Issuer chains arrive URL-encoded in response headers.
  if (/^(-|%2D){5}BEGIN(%20|\+)/i.test(text)) return takePem(found, urlDecoded(text))
  const bytes = decodeBinary(text)
  if (bytes === undefined) return false
  return takeDer(found, bytes) || takeRim(found, bytes) || takeHygon(found, bytes)
}

function takePem(found: Found, text: string): boolean {
  const blocks = decodePemBlocks(text, PEM_LABELS, BLAME)
  const cut = PEM_LABELS.find((label) => text.includes(`-----BEGIN ${label}-----`))
  if (blocks.length === 0 && cut !== undefined) {
    throw new VouchsafeError(BLAME, `PEM block "${cut}" has no end, or something else in it`)
  }
  return blocks.map((der) => takeDer(found, der)).includes(true)
}

function takeJson(found: Found, text: string, nesting: number): boolean {
  let tree: JsonNode
  try {
    tree = parseJsonTree(text, BLAME)
  } catch (error) {
    if (error instanceof VouchsafeError) return false // Not JSON after all.
    throw error
  }
  return takeNode(found, { tree, text, nesting })
}

interface Place {
  readonly tree: JsonNode
  readonly text: string
  readonly nesting: number
}

function takeNode(found: Found, place: Place): boolean {
  const { tree, text, nesting } = place
  if (tree.kind === 'string') return takeText(found, tree.value, nesting + 1)
  if (tree.kind === 'array') {
    return tree.items.map((item) => takeNode(found, { ...place, tree: item })).includes(true)
  }
  if (tree.kind !== 'object') return false
  if (takeOwn(found, tree)) return true
  const key = platformKeyOfJson(tree, { ...BLAME, at: `${BLAME.at}.platformKeys` })
  if (key !== undefined) {
    keepKey(found.platformKeys, key)
    return true
  }
  const signed = takeSigned(found, place)
  const rest = tree.members
    .filter(({ node }) => !signed.includes(node))
    .map(({ node }) => takeNode(found, { tree: node, text, nesting }))
  return signed.length > 0 || rest.includes(true)
}

/** Our own JSON, as `endorsements export` and the HTTP interface write it. */
function takeOwn(found: Found, tree: JsonNode): boolean {
  const names = ['certificates', 'crls', 'tcb_infos', 'qe_identities']
  if (!names.every((name) => memberOf(tree, name) !== undefined)) return false
  const set = endorsementsFromJson(valueOf(tree), BLAME)
  for (const der of set.certificates) found.certificates.set(toBase64(der), der)
  for (const der of set.crls) found.crls.set(toBase64(der), der)
  for (const document of set.tcbInfos) keep(found.tcbInfos, document)
  for (const document of set.qeIdentities) keep(found.qeIdentities, document)
  for (const key of set.platformKeys ?? []) keepKey(found.platformKeys, key)
  for (const rim of set.rims ?? []) found.rims.set(toBase64(rim), rim)
  for (const der of set.ocspResponses ?? []) found.ocspResponses.set(toBase64(der), der)
  for (const bytes of set.hygonCertificates ?? []) {
    found.hygonCertificates.set(toBase64(bytes), bytes)
  }
  return true
}

/** Signed documents of this object; answers which nodes need no second look. */
function takeSigned(found: Found, { tree, text }: Place): readonly JsonNode[] {
  const used: JsonNode[] = []
  for (const { member, into } of SIGNED_MEMBERS) {
    const body = memberOf(tree, member)?.node
    const signature = memberOf(tree, 'signature')?.node
    if (body?.kind !== 'object' || signature === undefined) continue
    // The characters as they stand: the signature covers these bytes and no re-serialisation.
    keep(found[into], {
      body: utf8(text.slice(body.start, body.end)),
      signature: signatureOf(signature, member),
    })
    used.push(body, signature)
  }
  for (const { member, into } of TEXT_MEMBERS) {
    const body = memberOf(tree, member)?.node
    const signature = memberOf(tree, `${member}_signature`)?.node
    if (body?.kind !== 'string' || signature === undefined) continue
    keep(found[into], { body: utf8(body.value), signature: signatureOf(signature, member) })
    used.push(body, signature)
  }
  return used
}

function signatureOf(node: JsonNode, member: string): Uint8Array {
  const blame: Blame = { code: BLAME.code, at: `${BLAME.at}.${member}.signature` }
  if (node.kind !== 'string') throw new VouchsafeError(blame, 'not a hexadecimal text')
  return fromHex(node.value, blame)
}

function keep(into: Map<string, SignedJson>, document: SignedJson): void {
  into.set(`${toBase64(document.body)}.${toBase64(document.signature)}`, document)
}

function keepKey(into: Map<string, PlatformKey>, key: PlatformKey): void {
  const parts = [key.spki, key.implementationId, key.instanceId]
  into.set(parts.map((part) => (part === undefined ? '-' : toBase64(part))).join('.'), key)
}

/** UTF-8 text without a trailing NUL, which C programs leave; `undefined` for anything else. */
function decodeText(bytes: Uint8Array): string | undefined {
  return textIn(bytes)?.replace(/\0$/, '')
}

/** Hexadecimal or base64, with line breaks. */
function decodeBinary(text: string): Uint8Array | undefined {
  const compact = text.replaceAll(/\s/g, '')
  if (compact === '') return undefined
  try {
    return /^[0-9a-fA-F]*$/.test(compact) ? fromHex(compact, BLAME) : fromBase64(compact, BLAME)
  } catch {
    // Neither: some other text.
    return undefined
  }
}

function urlDecoded(text: string): string {
  try {
    // Where blanks are `%20`, a plus is a digit of base64.
    return decodeURIComponent(text.includes('%20') ? text : text.replaceAll('+', '%20'))
  } catch {
    // Not URL encoding; PEM decoding will find no block in it.
    return text
  }
}
