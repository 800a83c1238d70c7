/**
 * Fake Verifiers: issuers of every kind of passport, with keys that are pinned or certificates under a
 * root, and tokens in the genuine format. Every part can be given, so that one at a time can be wrong in
 * an otherwise validly signed token.
 *
 * @packageDocumentation
 */
import { createHash, createHmac } from 'node:crypto'
import { toBase64url } from '../core/bytes/base64url.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import {
  type PassportKind,
  type PassportTrust,
  parsePassportTrust,
} from '../core/endorsements/passport-trust.ts'
import {
  type CertificateOptions,
  type MintedKey,
  mintCertificate,
  mintKey,
  mintSignature,
} from '../drivers/attester/simulated/minting/x509.ts'
import { goodClaims, goodDevice } from './passport-claims.ts'

/** One issuer: what it signs with, and what a Relying Party pins. */
export interface PassportIssuer {
  readonly kind: PassportKind
  readonly key: MintedKey
  readonly kid: string
  /** DER of `x5c`, the signer's first; empty for an issuer whose keys are pinned. */
  readonly chain: readonly Uint8Array[]
  readonly root: MintedKey | undefined
  /** As a configuration has it. */
  readonly config: Readonly<Record<string, Json>>
  readonly trust: PassportTrust
}

export interface PassportIssuerOptions {
  readonly kind: PassportKind
  /** The time at which the certificates of a chain are valid. */
  readonly at: Date
  readonly key?: MintedKey
  readonly kid?: string
  /** Certificates under a root of its own in place of a pinned key. Google's default. */
  readonly chained?: boolean
  /** What differs in the leaf's, and in the intermediate's, certificate. */
  readonly leaf?: Partial<CertificateOptions>
  readonly intermediate?: Partial<CertificateOptions>
  /** What differs in what is pinned. */
  readonly trust?: Readonly<Record<string, Json>>
}

export interface PassportOptions {
  readonly issuer: PassportIssuer
  /** `iat` of good claims. */
  readonly at: Date
  /** What differs from good claims; `undefined` leaves a member out. */
  readonly claims?: PassportMembers
  readonly header?: PassportMembers
  /** For NRAS: what differs in the token of each device, by its name. */
  readonly devices?: Readonly<Record<string, PassportMembers>>
  /** What to sign with; the issuer's key unless given. */
  readonly key?: MintedKey
  /** Instead of the texts of header and payload. */
  readonly headerText?: string
  readonly payloadText?: string
  /** Instead of a signature. */
  readonly signature?: Uint8Array
}

export type PassportMembers = Readonly<Record<string, Json | undefined>>

/** What each kind's issuer signs with, as the genuine ones do, and what `iss` says. */
const ISSUERS: Readonly<Record<PassportKind, { alg: MintedKey['alg']; issuer: string | null }>> = {
  ear: { alg: 'ES256', issuer: null },
  'intel-ita': { alg: 'PS384', issuer: 'https://portal.trustauthority.example' },
  'azure-maa': { alg: 'RS256', issuer: 'https://shared.attest.example' },
  'gcp-cs': { alg: 'RS256', issuer: 'https://confidentialcomputing.googleapis.com' },
  'nvidia-nras': { alg: 'ES384', issuer: 'https://nras.attestation.example' },
}
const AUDIENCES: Readonly<Partial<Record<PassportKind, readonly string[]>>> = {
  'gcp-cs': ['https://relying-party.example'],
}
const DAY = 24 * 60 * 60 * 1000
const RSA_BITS = 2048
/** Names of the two certificates above the leaf of a minted chain. */
export const PASSPORT_CHAIN = { root: 'Passport Root CA', intermediate: 'Passport Intermediate CA' }

/** One issuer with a key of its own. */
export function mintPassportIssuer(options: PassportIssuerOptions): PassportIssuer {
  const { kind, kid = `${kind}-1` } = options
  const { alg, issuer } = ISSUERS[kind]
  const key = options.key ?? mintKey(alg, RSA_BITS)
  const chained = (options.chained ?? kind === 'gcp-cs') ? mintChain(key, options) : undefined
  const pin: Readonly<Record<string, Json>> =
    chained === undefined
      ? { keys: { keys: [{ ...mintJwk(key), kid }] } }
      : { x5cRoots: [digestOf(chained.der)] }
  const config = {
    kind,
    issuer,
    audiences: AUDIENCES[kind] ?? null,
    algorithms: [key.alg],
    clockSkewSeconds: 60,
    maxAgeSeconds: 300,
    ...pin,
    ...options.trust,
  }
  const [trust] = parsePassportTrust(config, { code: 'ERR_CONFIG_INVALID', at: 'minted' })
  if (trust === undefined) throw new RangeError('no issuer')
  return { kind, key, kid, chain: chained?.chain ?? [], root: chained?.root, config, trust }
}

/** The public key as an issuer lists it. */
export function mintJwk({ privateKey }: MintedKey): Readonly<Record<string, Json>> {
  const { kty, n, e, crv, x, y } = privateKey.export({ format: 'jwk' })
  const members = Object.entries({ kty, n, e, crv, x, y })
  return Object.fromEntries(
    members.filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

/** A passport as it travels: a compact JWS, or for NRAS a bundle. */
export function mintPassport(options: PassportOptions): Uint8Array<ArrayBuffer> {
  const { issuer, at, claims, devices = { 'GPU-0': {} } } = options
  const good = { ...issuerClaims(issuer), ...goodClaims(issuer.kind, at) }
  if (issuer.kind !== 'nvidia-nras') {
    return bytesOf(mintJws({ ...options, claims: { ...good, ...claims } }))
  }
  const parts = Object.entries(devices).map(([name, change]) => {
    const device = { ...issuerClaims(issuer), ...goodDevice(at), ...change }
    return [name, mintJws({ issuer, at, claims: device })] as const
  })
  const submods = Object.fromEntries(
    parts.map(([name, text]) => [name, ['DIGEST', ['SHA-256', digestOf(bytesOf(text))]]]),
  )
  const overall = mintJws({ ...options, claims: { ...good, submods, ...claims } })
  return bytesOf(JSON.stringify([['JWT', overall], Object.fromEntries(parts)]))
}

/** One compact JWS over exactly these claims. */
export function mintJws(options: PassportOptions): string {
  const { issuer, claims = {}, key = issuer.key } = options
  const x5c = issuer.chain.map((der) => Buffer.from(der).toString('base64'))
  const header = {
    alg: key.alg,
    typ: issuer.kind === 'nvidia-nras' ? undefined : 'JWT',
    kid: issuer.kid,
    ...(x5c.length > 0 && { x5c }),
    ...options.header,
  }
  const head = encode(options.headerText ?? JSON.stringify(header))
  const body = encode(options.payloadText ?? JSON.stringify(claims))
  const signature = options.signature ?? mintSignature(key, bytesOf(`${head}.${body}`), true)
  return `${head}.${body}.${toBase64url(signature)}`
}

/** HS256 with a public key as its secret: what confuses a library that takes `alg` from the token. */
export function mintConfused(options: PassportOptions): Uint8Array<ArrayBuffer> {
  const { issuer, at } = options
  const head = encode(JSON.stringify({ alg: 'HS256', typ: 'JWT', kid: issuer.kid }))
  const body = encode(JSON.stringify({ ...issuerClaims(issuer), ...goodClaims(issuer.kind, at) }))
  const mac = createHmac('sha256', issuer.key.spki).update(`${head}.${body}`).digest()
  return bytesOf(`${head}.${body}.${toBase64url(Uint8Array.from(mac))}`)
}

/** Claims that only the issuer's configuration decides. */
function issuerClaims({ trust }: PassportIssuer): PassportMembers {
  return {
    ...(trust.issuer !== null && { iss: trust.issuer }),
    ...(trust.audiences !== null && { aud: trust.audiences[0] }),
  }
}

function mintChain(leafKey: MintedKey, options: PassportIssuerOptions) {
  const { at } = options
  const notBefore = new Date(at.getTime() - DAY)
  const years = new Date(at.getTime() + 3000 * DAY)
  const root = mintKey('ES256')
  const middle = options.intermediate?.key ?? mintKey('ES256')
  const rootDer = mintCertificate({
    subject: PASSPORT_CHAIN.root,
    key: root,
    notBefore,
    notAfter: years,
    ca: {},
    keyUsage: ['keyCertSign', 'crlSign'],
  })
  const middleDer = mintCertificate({
    subject: PASSPORT_CHAIN.intermediate,
    key: middle,
    issuer: { name: PASSPORT_CHAIN.root, key: root },
    notBefore,
    notAfter: new Date(at.getTime() + 60 * DAY),
    serial: 2,
    ca: { pathLength: 0 },
    keyUsage: ['keyCertSign', 'crlSign'],
    ...options.intermediate,
  })
  const leafDer = mintCertificate({
    subject: 'Passport Signer',
    key: leafKey,
    issuer: { name: PASSPORT_CHAIN.intermediate, key: middle },
    notBefore,
    notAfter: new Date(at.getTime() + 30 * DAY),
    serial: 3,
    ...options.leaf,
  })
  return { chain: [leafDer, middleDer, rootDer], der: rootDer, root }
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function encode(text: string): string {
  return toBase64url(bytesOf(text))
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text))
}
