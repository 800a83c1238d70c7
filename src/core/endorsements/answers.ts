/**
 * Reads what vendors' services answer. A service is a stranger like any other: whatever is not the
 * exact shape, or is about something else than was asked, is refused before anybody keeps it.
 *
 * @packageDocumentation
 * @see Intel PCS API v4; AMD 57230 (VCEK and VLEK), "KDS interface"; RFC 6960
 */
import { fromBase64 } from '../bytes/base64.ts'
import { equal, utf8 } from '../bytes/bytes.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { memberOf, parseJsonTree } from '../encoding/json-tree.ts'
import { decodePem } from '../encoding/pem.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { Endorsement } from '../ports/endorsement-service.ts'
import { parseOcspResponse, readOcspRefusal } from '../x509/ocsp.ts'
import { type EndorsementSet, NO_ENDORSEMENTS, type SignedJson } from './endorsement-set.ts'
import { describeNeed, type EndorsementNeed, type NeedKind } from './needs.ts'
import { requireMatch } from './needs-match.ts'

/** An HTTP answer with status 200. */
export interface ServiceAnswer {
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** An answer, and until when it is current by its own word: `undefined` for ever. */
export interface ReadAnswer {
  readonly endorsements: EndorsementSet
  readonly validUntil: Date | undefined
}

/** Who answered, and when. */
export interface AnswerOrigin {
  /** Name of the driver, for `at`. */
  readonly service: string
  readonly url: string
  readonly now: Date
  /** What an OCSP responder was asked with, and whether its answer must have it. */
  readonly asked?: { readonly nonce: Uint8Array; readonly required: boolean }
}

/** Issuer chains, URL-encoded PEM; the first is the name of API v4, the second that of v3. */
const CHAIN_HEADERS: Readonly<Partial<Record<NeedKind, readonly string[]>>> = {
  'tdx-tcb-info': ['tcb-info-issuer-chain', 'sgx-tcb-info-issuer-chain'],
  'td-qe-identity': ['sgx-enclave-identity-issuer-chain'],
  'sgx-tcb-info': ['tcb-info-issuer-chain', 'sgx-tcb-info-issuer-chain'],
  'sgx-qe-identity': ['sgx-enclave-identity-issuer-chain'],
  'pck-crl': ['sgx-pck-crl-issuer-chain'],
  'pck-certificate': ['sgx-pck-certificate-issuer-chain'],
}
const MAX_CHAIN_CHARACTERS = 64 * 1024
const DER_SEQUENCE = 0x30
/** RFC 6960 §2.3: the responder has nothing to say about this certificate. */
const UNAUTHORIZED = 6

/**
 * Takes an answer of status 200 or 404 from a service.
 *
 * @throws {@link VouchsafeError} at `endorsements.<service>.…`: `ERR_ENDORSEMENT_UNAVAILABLE` at
 *   `not_found`, at `stale` for what was out of date when it came, and at `refused` for an OCSP
 *   responder that says no more than that; `ERR_ENDORSEMENT_MALFORMED` at `nonce` for the answer to
 *   another question, and at the kind of the need for anything that does not answer it.
 */
export async function takeAnswer(
  need: EndorsementNeed,
  answer: ServiceAnswer & { readonly status: number },
  { service, url, now, asked }: AnswerOrigin,
): Promise<Endorsement> {
  const { host } = new URL(url)
  const what = describeNeed(need)
  requireAnswer(need, answer, { service, host })
  const blame: Blame = {
    code: 'ERR_ENDORSEMENT_MALFORMED',
    at: `endorsements.${service}.${need.kind}`,
  }
  const { endorsements, validUntil } = await reading(
    blame,
    `${host} did not answer with a ${what}`,
    async () => readAnswer(need, answer, blame),
  )
  if (need.kind === 'ocsp' && asked !== undefined) {
    requireNonce(endorsements, asked, {
      blame: { code: blame.code, at: `endorsements.${service}.nonce` },
      host,
    })
  }
  if (validUntil !== undefined && validUntil < now) {
    const until = validUntil.toISOString()
    throw unavailable(
      `${service}.stale`,
      `${host} answered with a ${what} that ended ${until}; a mirror must be refreshed, or the clock of this machine is wrong`,
    )
  }
  return { need, endorsements, validUntil, fetchedAt: now, expired: false }
}

/** 404, and an OCSP responder's own ways of saying so. */
function requireAnswer(
  need: EndorsementNeed,
  { status, body }: ServiceAnswer & { readonly status: number },
  { service, host }: { readonly service: string; readonly host: string },
): void {
  const what = describeNeed(need)
  const refusal = need.kind === 'ocsp' ? readOcspRefusal(body) : undefined
  if (refusal !== undefined && refusal !== UNAUTHORIZED) {
    const detail = `${host} refused an ${what}: status ${refusal}; try again later`
    throw unavailable(`${service}.refused`, detail)
  }
  if (status === 404 || refusal === UNAUTHORIZED) {
    throw unavailable(
      `${service}.not_found`,
      `${host} has no ${what}: the vendor does not know this platform, or the URL is of another service`,
    )
  }
}

function unavailable(at: string, detail: string): VouchsafeError {
  return new VouchsafeError(
    { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: `endorsements.${at}` },
    detail,
  )
}

/**
 * An old answer, sent again, has another nonce or none. What is compared here is signed; whether the
 * signature holds is for the appraisal to say, as of everything in it.
 */
function requireNonce(
  { ocspResponses = [] }: EndorsementSet,
  { nonce, required }: NonNullable<AnswerOrigin['asked']>,
  { blame, host }: { readonly blame: Blame; readonly host: string },
): void {
  for (const der of ocspResponses) {
    const found = parseOcspResponse(der, blame).nonce
    if (found === undefined && required) {
      const advice = 'where a cache in between is wanted, let nvidiaOcspNonce be "optional"'
      throw new VouchsafeError(
        blame,
        `${host} answered without the nonce it was asked with; ${advice}`,
      )
    }
    if (found !== undefined && !equal(found, nonce)) {
      const [expected, actual] = [toHex(nonce), toHex(found)]
      throw new VouchsafeError(
        blame,
        `${host} answered another question: want ${expected}, got ${actual}`,
      )
    }
  }
}

/** The cause says what is wrong with it; the text whose it is and what to look at. */
async function reading<T>(blame: Blame, detail: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (!(cause instanceof VouchsafeError)) throw cause
    const text = `${detail}; check the configured URL, and whatever stands in between`
    throw new VouchsafeError({ code: blame.code, at: cause.at }, text, { cause })
  }
}

/**
 * Reads the answer to one need.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for anything else: other JSON, a page of
 *   HTML, half a document, another platform's certificate.
 */
export async function readAnswer(
  need: EndorsementNeed,
  answer: ServiceAnswer,
  blame: Blame,
): Promise<ReadAnswer> {
  const endorsements = { ...NO_ENDORSEMENTS, ...readBody(need, answer, blame) }
  return { endorsements, validUntil: await requireMatch(need, endorsements, blame) }
}

function readBody(
  need: EndorsementNeed,
  answer: ServiceAnswer,
  blame: Blame,
): Partial<EndorsementSet> {
  const { body } = answer
  const chain = (): readonly Uint8Array[] => readIssuerChain(need.kind, answer, blame)
  switch (need.kind) {
    case 'tdx-tcb-info':
    case 'sgx-tcb-info':
      return { tcbInfos: [readSigned(body, 'tcbInfo', blame)], certificates: chain() }
    case 'td-qe-identity':
    case 'sgx-qe-identity':
      return { qeIdentities: [readSigned(body, 'enclaveIdentity', blame)], certificates: chain() }
    case 'pck-crl':
      return { crls: [readList(body, blame)], certificates: chain() }
    case 'intel-root-crl':
    case 'amd-crl':
      return { crls: [readList(body, blame)] }
    case 'pck-certificate':
      return {
        certificates: [...decodePem(decodeUtf8(body, blame), 'CERTIFICATE', blame), ...chain()],
      }
    case 'vcek':
      return { certificates: [readDerBody(body, blame)] }
    case 'vek-chain':
      return { certificates: decodePem(decodeUtf8(body, blame), 'CERTIFICATE', blame) }
    case 'nvidia-rim':
      return { rims: [readManifest(body, need.id, blame)] }
    case 'ocsp':
      return { ocspResponses: [readDerBody(body, blame)] }
  }
}

/** `{"id", "rim", …}`; what else NVIDIA's service says of it is not what it signed. */
function readManifest(body: Uint8Array, id: string, blame: Blame): Uint8Array {
  const tree = parseJsonTree(decodeUtf8(body, blame), blame)
  const [named, rim] = ['id', 'rim'].map((name) => memberOf(tree, name)?.node)
  if (named?.kind !== 'string' || rim?.kind !== 'string') {
    throw new VouchsafeError(blame, 'want an object with id and rim')
  }
  if (named.value !== id) throw new VouchsafeError(blame, 'another manifest than was asked for')
  return fromBase64(rim.value, blame)
}

/** The characters of the member as they stand: the signature covers those and no others. */
function readSigned(body: Uint8Array, member: string, blame: Blame): SignedJson {
  const text = decodeUtf8(body, blame)
  const tree = parseJsonTree(text, blame)
  const names = tree.kind === 'object' ? tree.members.map(({ name }) => name) : []
  if (names.toSorted().join() !== ['signature', member].toSorted().join()) {
    throw new VouchsafeError(blame, `want an object with ${member} and signature`)
  }
  const document = memberOf(tree, member)?.node
  const signature = memberOf(tree, 'signature')?.node
  if (document?.kind !== 'object' || signature?.kind !== 'string') {
    throw new VouchsafeError(blame, `${member} is no object, or signature no text`)
  }
  return {
    body: utf8(text.slice(document.start, document.end)),
    signature: fromHex(signature.value, blame),
  }
}

/** DER as PCS sends it, hexadecimal as PCCS does, or PEM, which is what PCS sends unless asked. */
function readList(body: Uint8Array, blame: Blame): Uint8Array {
  if (body[0] === DER_SEQUENCE) return readDerBody(body, blame)
  const text = decodeUtf8(body, blame).trim()
  if (!text.startsWith('-----BEGIN ')) return fromHex(text, blame)
  const [list, ...more] = decodePem(text, 'X509 CRL', blame)
  if (list === undefined || more.length > 0) throw new VouchsafeError(blame, 'not one list')
  return list
}

function readDerBody(body: Uint8Array, blame: Blame): Uint8Array {
  if (body[0] !== DER_SEQUENCE) throw new VouchsafeError(blame, 'not DER')
  return body.slice()
}

function readIssuerChain(
  kind: NeedKind,
  { headers }: ServiceAnswer,
  blame: Blame,
): readonly Uint8Array[] {
  const names = CHAIN_HEADERS[kind] ?? []
  const value = names.map((name) => headers[name]).find((found) => found !== undefined)
  const at: Blame = { code: blame.code, at: `${blame.at}.issuer_chain` }
  if (value === undefined) throw new VouchsafeError(at, `no header ${names.join(' or ')}`)
  if (value.length > MAX_CHAIN_CHARACTERS) throw new VouchsafeError(at, 'too long')
  try {
    return decodePem(decodeURIComponent(value), 'CERTIFICATE', at)
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    throw new VouchsafeError(at, 'not URL-encoded', { cause })
  }
}
