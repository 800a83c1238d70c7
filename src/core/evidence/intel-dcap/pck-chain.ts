/**
 * From a quote to the certificate of the key that vouches for its Quoting Enclave.
 *
 * @packageDocumentation
 * @see Intel SGX PCK Certificate and CRL Profile Specification
 */
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { ByteReader } from '../../bytes/reader.ts'
import { decodePem } from '../../encoding/pem.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { checkIssued, orderChains, type Problem } from '../../x509/chain.ts'
import type { AuthenticationContext } from '../common/format.ts'
import { type Collateral, fingerprint, missing } from './collateral.ts'
import type { Quote } from './quote.ts'
import { type PckPlatform, readPckPlatform, SGX_EXTENSION } from './sgx-extension.ts'
import { blaming } from './signatures.ts'

/** Which of Intel's two CAs issued a PCK certificate, and so whose CRL speaks of it. */
export type PckCa = 'platform' | 'processor'

export interface PckChain {
  readonly leaf: Certificate
  readonly intermediate: Certificate
  readonly root: Certificate
  /** SHA-256 of the root's DER, hex. */
  readonly rootDigest: string
  /** Of the leaf, and of the two above it. */
  readonly leafId: string
  readonly issuersId: string
  readonly ca: PckCa
  readonly platform: PckPlatform
}

/** A chain whose signatures verify up to its own root, or what is wrong with it. */
export type PckFinding =
  | { readonly chain: PckChain; readonly problem: undefined }
  | { readonly chain: undefined; readonly problem: Problem }

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'dcap.pck' } as const
const PEM_CHAIN = 5
/** Certification data that names a platform and leaves its certificate to be looked up. */
const PLATFORM_IDS = [1, 2, 3]
const PLAIN_PPID = 1
/** PPID, CPUSVN and PCESVN, and no PCEID: no kind of PPID is two bytes shorter. */
const FIRST_PLATFORM_ID = 34
const MAX_CHAIN_BYTES = 64 * 1024
/** Looked up chains tried, and leaves they begin with. */
const MAX_CHAINS = 8
/** Leaf, intermediate, root: no more and no fewer. */
const CHAIN_LENGTH = 3
const LEAF_NAME = 'Intel SGX PCK Certificate'
/** By the common names that their certificates have. */
export const CA_NAMES: ReadonlyMap<string, PckCa> = new Map<string, PckCa>([
  ['Intel SGX PCK Platform CA', 'platform'],
  ['Intel SGX PCK Processor CA', 'processor'],
])
const EXPECTED = 'PCK certificate, its CA and a root, each signed by the next'

/**
 * Reads and checks the chain of a quote: three certificates in any order, linked by P-256
 * signatures, with the names and permissions Intel gives them. Time, revocation and the trust anchor
 * are left to the caller, so that the answer stays true and is remembered by content.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for certificates that do not parse,
 *   `ERR_EVIDENCE_UNSUPPORTED` for certification data of an unknown type, and
 *   `ERR_ENDORSEMENT_UNAVAILABLE` if the quote only names its platform and the endorsements have no
 *   certificate for it.
 */
export async function readPckChain(
  quote: Quote,
  collateral: Collateral,
  context: AuthenticationContext,
): Promise<PckFinding> {
  const { type, data } = quote.certification
  if (PLATFORM_IDS.includes(type)) {
    return chooseChain(lookUpChains(quote, collateral), context)
  }
  if (type !== PEM_CHAIN) {
    throw new VouchsafeError(
      { code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${BLAME.at}.certificationDataType` },
      `${type}`,
    )
  }
  const id = await fingerprint(quote, quote.certified, context.crypto)
  return context.memo.once(`dcap.pck:${id}`, async () =>
    checkChain(readChain(data, collateral), context),
  )
}

/**
 * The PCK certificate that a quote carries or that endorsements have for it. Nothing is checked: good
 * for knowing what to ask a vendor for, and for nothing else.
 *
 * @returns `undefined` if there is none.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for certification data that does not parse.
 */
export function claimedPck(quote: Quote, collateral: Collateral): Certificate | undefined {
  const { type, data } = quote.certification
  if (PLATFORM_IDS.includes(type)) return findPcks(quote, collateral)[0]
  if (type !== PEM_CHAIN) return undefined
  const carried = readChain(data, collateral)
  return carried.find(({ isCa, extensions }) => !isCa && extensions.has(SGX_EXTENSION))
}

/** PEM in every quote of the field; Intel's own samples have DER, one certificate after another. */
function readChain(data: Uint8Array, { certificates }: Collateral): readonly Certificate[] {
  if (data.length > MAX_CHAIN_BYTES) throw new VouchsafeError(BLAME, `${data.length} bytes`)
  const ders =
    data[0] === 0x30 ? splitDer(data) : decodePem(decodeAscii(data), 'CERTIFICATE', BLAME)
  if (ders.length > CHAIN_LENGTH) {
    throw new VouchsafeError(BLAME, `${ders.length} certificates, want ${CHAIN_LENGTH}`)
  }
  // CA and root come with every quote, and the collateral has them as well: the same bytes are read once.
  return ders.map(
    (der, i) =>
      certificates.find((known) => equal(known.der, der)) ??
      parseCertificate(der, { code: BLAME.code, at: `${BLAME.at}[${i}]` }),
  )
}

function decodeAscii(data: Uint8Array): string {
  // A trailing NUL, of which C programs are fond, is outside of every PEM block and so ignored.
  return new TextDecoder('latin1').decode(data)
}

/** Elements with a two-byte length, which is what certificates of this size have. */
function splitDer(data: Uint8Array): readonly Uint8Array[] {
  const r = new ByteReader(data, 'be', BLAME)
  const ders: Uint8Array[] = []
  while (r.remaining > 0) {
    const start = r.offset
    if (r.u16('header') !== 0x3082) r.fail('header', 'not a certificate')
    r.bytes(r.u16('length'), 'certificate')
    ders.push(data.subarray(start, r.offset))
  }
  return ders
}

/**
 * The chain of a quote that carries none, or all that could be it: the set may hold several
 * certificates of one name, and of one platform and TCB. Signatures decide.
 *
 * @see Intel TDX DCAP Quoting Library API, A.4.9, certification data types 1 to 3
 */
function lookUpChains(quote: Quote, collateral: Collateral): readonly (readonly Certificate[])[] {
  const { type, data } = quote.certification
  const leaves = findPcks(quote, collateral)
  const [leaf] = leaves
  if (leaf === undefined) {
    const { cpuSvn, pceSvn, pceId } = readPlatformId(data)
    missing(collateral, 'certificates', {
      at: 'pck_certificate',
      detail: `the quote carries no PCK certificate (certification data type ${type}) and the endorsements have none for CPUSVN ${cpuSvn}, PCESVN ${pceSvn}, PCEID ${pceId ?? 'any'}; Intel publishes it at https://api.trustedservices.intel.com/sgx/certification/v4/pckcert`,
    })
  }
  const paths = leaves
    .slice(0, MAX_CHAINS)
    .flatMap((one) => orderChains(one, collateral.certificates).slice(0, MAX_CHAINS))
  if (paths.length === 0) {
    missing(collateral, 'certificates', {
      at: 'pck_issuer_chain',
      detail: `no issuer chain for the PCK certificate, whose issuer is ${leaf.issuerName}`,
    })
  }
  return paths
}

/** The first that holds and ends in a trusted root; else the first, with what is wrong with it. */
async function chooseChain(
  paths: readonly (readonly Certificate[])[],
  context: AuthenticationContext,
): Promise<PckFinding> {
  let first: PckFinding | undefined
  for (const path of paths) {
    const finding = await checkChain(path, context)
    const root = finding.chain?.rootDigest ?? ''
    if (context.anchors.intel.includes(root)) return finding
    first ??= finding
  }
  return first ?? { chain: undefined, problem: { expected: EXPECTED, actual: 'none' } }
}

function findPcks({ certification }: Quote, collateral: Collateral): readonly Certificate[] {
  const { type, data } = certification
  const { ppid, cpuSvn, pceSvn, pceId } = readPlatformId(data)
  return collateral.certificates.filter((certificate) => {
    if (certificate.isCa || !certificate.extensions.has(SGX_EXTENSION)) return false
    const platform = readPckPlatform(certificate)
    return (
      platform.cpuSvn === cpuSvn &&
      platform.pceSvn === pceSvn &&
      (pceId === undefined || platform.pceId === pceId) &&
      (type !== PLAIN_PPID || platform.ppid === ppid)
    )
  })
}

/** What certification data of types 1 to 3 says. Byte strings are lower-case hex. */
export interface PlatformId {
  /** Plain in type 1, encrypted in the others. */
  readonly ppid: string
  readonly cpuSvn: string
  readonly pceSvn: number
  /** `undefined` in quotes from before it was added. */
  readonly pceId: string | undefined
}

/**
 * Encrypted or not, the PPID comes first and the three short fields last; in the first layout of type
 * 1, which has a length of its own, two of them.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` if that does not fit.
 */
export function readPlatformId(data: Uint8Array): PlatformId {
  const blame: Blame = { code: BLAME.code, at: `${BLAME.at}.platformId` }
  const FIXED = data.length === FIRST_PLATFORM_ID ? 18 : 20
  if (data.length < FIXED) throw new VouchsafeError(blame, `${data.length} bytes`)
  const r = new ByteReader(data, 'le', blame)
  const ppid = toHex(r.bytes(data.length - FIXED, 'PPID'))
  const cpuSvn = toHex(r.bytes(16, 'CPUSVN'))
  const pceSvn = r.u16('PCESVN')
  const pceId = r.remaining === 0 ? undefined : toHex(r.bytes(2, 'PCEID'))
  r.end()
  return { ppid, cpuSvn, pceSvn, pceId }
}

async function checkChain(
  certificates: readonly Certificate[],
  context: AuthenticationContext,
): Promise<PckFinding> {
  const path = orderPath(certificates)
  if (path === undefined) {
    const names = certificates.map(({ subjectName }) => subjectName || 'unnamed').join(', ')
    return { chain: undefined, problem: { expected: EXPECTED, actual: names } }
  }
  const { leaf, intermediate, root } = path
  const ca = CA_NAMES.get(intermediate.subjectName)
  if (ca === undefined) {
    const expected = [...CA_NAMES.keys()].join(' or ')
    return { chain: undefined, problem: { expected, actual: intermediate.subjectName } }
  }
  const problem = checkLeaf(path) ?? (await checkLinks(path, context))
  if (problem !== undefined) return { chain: undefined, problem }
  const idOf = async (certificate: Certificate): Promise<string> =>
    fingerprint(certificate, certificate.der, context.crypto)
  const rootDigest = await idOf(root)
  const chain: PckChain = {
    leaf,
    intermediate,
    root,
    rootDigest,
    leafId: await idOf(leaf),
    issuersId: `${await idOf(intermediate)}:${rootDigest}`,
    ca,
    platform: readPckPlatform(leaf),
  }
  return { chain, problem: undefined }
}

interface Path {
  readonly leaf: Certificate
  readonly intermediate: Certificate
  readonly root: Certificate
}

function orderPath(certificates: readonly Certificate[]): Path | undefined {
  const [first, ...others] = certificates.filter(({ isCa }) => !isCa)
  if (first === undefined || others.length > 0) return undefined
  const [path] = orderChains(first, certificates)
  const [leaf, intermediate, root] = path ?? []
  if (leaf === undefined || intermediate === undefined || root === undefined) return undefined
  return path?.length === CHAIN_LENGTH ? { leaf, intermediate, root } : undefined
}

/** The other certificates that Intel's root issues are for other things. */
function checkLeaf({ leaf, intermediate, root }: Path): Problem | undefined {
  if (leaf.subjectName !== LEAF_NAME) return { expected: LEAF_NAME, actual: leaf.subjectName }
  const other = [leaf, intermediate, root].find(({ key }) => key.alg !== 'ES256')
  if (other !== undefined) {
    return { expected: 'P-256 keys', actual: `${other.key.alg} key of ${other.subjectName}` }
  }
  return leaf.keyUsage?.has('digitalSignature') === true
    ? undefined
    : { expected: `${LEAF_NAME} may sign`, actual: 'keyUsage lacks digitalSignature' }
}

async function checkLinks(
  path: Path,
  context: AuthenticationContext,
): Promise<Problem | undefined> {
  const crypto = blaming(context.crypto, BLAME)
  const { leaf, intermediate, root } = path
  const [lower, upper] = await Promise.all([
    checkIssued({ child: leaf, parent: intermediate, below: 0 }, crypto),
    checkIssued({ child: intermediate, parent: root, below: 1 }, crypto),
  ])
  return lower ?? upper
}
