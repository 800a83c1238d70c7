/**
 * Chooses the certificates above a PEK: CEK, HSK and HRK, out of the evidence and the endorsements.
 * Certificates name neither their issuer nor their chip in a way that can be relied on, so from the
 * PEK upwards each is chosen for having signed the one below.
 *
 * @packageDocumentation
 */
import { toHex } from '../../bytes/hex.ts'
import { VouchsafeError } from '../../errors.ts'
import type { CryptoProvider } from '../../ports/crypto.ts'
import type { Problem } from '../../x509/chain.ts'
import type { AuthenticationContext } from '../common/format.ts'
import {
  type HygonCertificate,
  parseHygonCertificate,
  splitHygonCertificates,
  USAGE,
  type Usage,
} from './certificate.ts'
import type { CsvEvidence } from './evidence.ts'

/** A certificate and the SHA-256 of its bytes, lower-case hex. */
export interface Known {
  readonly certificate: HygonCertificate
  readonly digest: string
}

/** An issuer, and what is wrong with its signature over the certificate below. */
interface Chosen {
  readonly issuer: Known
  readonly problem: Problem | undefined
}

export interface CsvChain {
  readonly hrk: Known
  readonly cek: Known
  readonly pek: Known
  /** What is wrong with each, by whose signature is meant. */
  readonly problems: Readonly<Record<'hrk' | 'hsk' | 'cek' | 'pek', Problem | undefined>>
}

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'csv.certificate' } as const
/** Signatures tried for each certificate: a bag may come from whoever sent the evidence. */
const MAX_TRIES = 16
const SERVICE = 'https://cert.hygon.cn/hsk_cek?snumber='

/**
 * The chain from the PEK of the evidence up to a root, and what is wrong with it.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if CEK, HSK or HRK is nowhere.
 */
export async function chooseChain(
  evidence: CsvEvidence,
  context: AuthenticationContext,
): Promise<CsvChain> {
  const { anchors, endorsements } = context
  const carried = [evidence.cek, evidence.hsk].filter((one) => one !== undefined)
  const known: Known[] = []
  for (const certificate of [
    ...carried,
    ...(endorsements.hygonCertificates ?? []).flatMap(readCertificates),
  ]) {
    known.push(await identify(certificate, context))
  }
  const choose = async (usage: Usage, below: Known): Promise<Chosen> => {
    const kin = known.filter(({ certificate }) => certificate.usage === USAGE[usage])
    // What the pins name goes first; sorting is stable, so the rest stays in its order.
    const pinned = ({ digest }: Known): number => Number(anchors.hygon.includes(digest))
    kin.sort((a, b) => pinned(b) - pinned(a))
    return chooseIssuer({ usage, below, kin, serial: evidence.serialNumber }, context)
  }
  const pek = await identify(evidence.pek, context)
  const cek = await choose('CEK', pek)
  const hsk = await choose('HSK', cek.issuer)
  const hrk = await choose('HRK', hsk.issuer)
  return {
    hrk: hrk.issuer,
    cek: cek.issuer,
    pek,
    problems: {
      hrk: await problemOf(hrk.issuer, hrk.issuer, context),
      hsk: hrk.problem,
      cek: hsk.problem,
      pek: cek.problem,
    },
  }
}

interface Wanted {
  readonly usage: Usage
  readonly below: Known
  readonly kin: readonly Known[]
  readonly serial: string
}

/** The first that signed what is below; else the first of all, with what is wrong. */
async function chooseIssuer(
  { usage, below, kin, serial }: Wanted,
  context: AuthenticationContext,
): Promise<Chosen> {
  const [first] = kin
  if (first === undefined) {
    const source = usage === 'HRK' ? 'Hygon publishes it' : `Hygon has it at ${SERVICE}${serial}`
    throw new VouchsafeError(
      { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: `csv.${usage.toLowerCase()}` },
      `no ${usage} for chip ${serial}; ${source}`,
    )
  }
  let problem: Problem | undefined
  for (const issuer of kin.slice(0, MAX_TRIES)) {
    const found = await problemOf(below, issuer, context)
    if (found === undefined) return { issuer, problem: undefined }
    problem ??= found
  }
  return { issuer: first, problem }
}

/** A certificate is signed once and shown for years. */
async function problemOf(
  below: Known,
  issuer: Known,
  { crypto, memo }: AuthenticationContext,
): Promise<Problem | undefined> {
  const expected = `${nameOf(below)} signed by ${nameOf(issuer)} ${issuer.digest}`
  try {
    const valid = await memo.once(`csv.link:${issuer.digest}:${below.digest}`, async () =>
      isSignedBy(below.certificate, issuer.certificate, crypto),
    )
    return valid ? undefined : { expected, actual: 'no signature that verifies' }
  } catch (error) {
    // A candidate whose key is no key is one more that does not work.
    if (!(error instanceof VouchsafeError)) throw error
    return { expected, actual: `${error.at}: not a usable public key` }
  }
}

async function isSignedBy(
  { signatures, signed }: HygonCertificate,
  { key, usage }: HygonCertificate,
  crypto: CryptoProvider,
): Promise<boolean> {
  for (const one of signatures) {
    const fits = one.usage === undefined || one.usage === usage
    if (!fits || one.value === undefined) continue
    if (await crypto.verify(key, one.value, signed)) return true
  }
  return false
}

/** For people: the usage's name, or its number. */
export function nameOf({ certificate: { usage } }: Known): string {
  const known = Object.entries(USAGE).find(([, value]) => value === usage)
  return known?.[0] ?? `key of usage 0x${usage.toString(16)}`
}

async function identify(
  certificate: HygonCertificate,
  { crypto }: AuthenticationContext,
): Promise<Known> {
  return { certificate, digest: toHex(await crypto.digest('SHA-256', certificate.bytes)) }
}

/** One file may hold several, and some may be of no use: the same as not there. */
function readCertificates(bytes: Uint8Array): readonly HygonCertificate[] {
  return (splitHygonCertificates(bytes) ?? []).flatMap((part) => {
    try {
      return [parseHygonCertificate(part, BLAME)]
    } catch (error) {
      if (error instanceof VouchsafeError) return []
      throw error
    }
  })
}
