/**
 * Revocation, by OCSP: NVIDIA's device certificates never end, and its lists are not published, so a
 * device or a signer that went bad is named there alone.
 *
 * @packageDocumentation
 */
import { toHex } from '../../bytes/hex.ts'
import { VouchsafeError } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'
import { checkValidity, type Problem } from '../../x509/chain.ts'
import {
  type CertId,
  type OcspResponse,
  parseOcspResponse,
  type SingleResponse,
} from '../../x509/ocsp.ts'
import { certIdOf, checkOcspSignature, checkOcspTime, sameCertId } from '../../x509/ocsp-check.ts'
import type { AuthenticationContext } from '../common/format.ts'

/** One certificate that must not be revoked, and who issued it. */
export interface Question {
  readonly certificate: Certificate
  readonly issuer: Certificate
}

export interface Revocation {
  readonly problem: Problem | undefined
  /** When the oldest answer in use was current; `undefined` if there is a problem. */
  readonly oldest: Date | undefined
}

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'nvidia.ocsp' } as const
const HASHES: readonly CertId['hash'][] = ['SHA-384', 'SHA-256', 'SHA-512']
const CERTIFICATE_HOLD = 6
/** Twelve devices ask about a hundred certificates. */
const MAX_RESPONSES = 1024
/** Answers about one certificate; each costs up to four signatures, and one or two are of use. */
const MAX_ANSWERS = 8

/**
 * What must be asked about a device: everything between the leaf, which only lives in the device and
 * which its boot ROM vouches for, and the pinned root.
 */
export function deviceQuestions(path: readonly Certificate[]): readonly Question[] {
  return questionsOf(path).slice(1)
}

/** What must be asked about a manifest: everything from its signer up to the pinned root. */
export function questionsOf(path: readonly Certificate[]): readonly Question[] {
  return path.slice(0, -1).map((certificate, i) => ({
    certificate,
    issuer: path[i + 1] ?? certificate,
  }))
}

/**
 * Asks the responses about every certificate.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` at `nvidia.ocsp` if nobody answers for
 *   one of them; `ERR_ENDORSEMENT_MALFORMED` for more answers than anyone has use for: whichever were
 *   left out might be the one that matters.
 */
export async function checkRevocation(
  questions: readonly Question[],
  context: AuthenticationContext,
): Promise<Revocation> {
  const responses = await readResponses(context)
  let problem: Problem | undefined
  let oldest: Date | undefined
  for (const question of questions) {
    const found = await answer(question, responses, context)
    problem ??= found.problem
    const since = found.since
    if (since !== undefined && (oldest === undefined || since < oldest)) oldest = since
  }
  return problem === undefined ? { problem, oldest } : { problem, oldest: undefined }
}

/** A response and the SHA-256 of its bytes. */
interface Known {
  readonly id: string
  readonly response: OcspResponse
}

interface Answer {
  readonly known: Known
  readonly single: SingleResponse
}

async function answer(
  question: Question,
  responses: readonly Known[],
  context: AuthenticationContext,
): Promise<{ readonly problem: Problem | undefined; readonly since: Date | undefined }> {
  const { certificate, issuer } = question
  const answers = await answersTo(question, responses, context)
  if (answers.length === 0) throw unavailable(certificate)
  const believed: SingleResponse[] = []
  let problem: Problem | undefined
  for (const { known, single } of answers) {
    const found = await signatureProblem(known, issuer, context)
    if (found === undefined) believed.push(single)
    problem ??= found
  }
  // The newest first, so that the answer does not depend on the order of the set.
  believed.sort((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime())
  const [newest] = believed
  if (newest === undefined) return { problem, since: undefined }
  const bad = believed.find((single) => isBad(single, newest))
  if (bad !== undefined) return { problem: notGood(certificate, bad), since: undefined }
  const current = believed.find((single) => checkOcspTime(single, context.now) === undefined)
  if (current?.status === 'good') return { problem: undefined, since: current.thisUpdate }
  const stale = checkOcspTime(newest, context.now)
  return { problem: stale ?? notGood(certificate, newest), since: undefined }
}

/**
 * What was revoked once stays so, also by an answer that is out of date and beside a newer one that
 * says otherwise. A hold may be lifted, and what was unknown become known: there the newest counts.
 */
function isBad({ status, reason, thisUpdate }: SingleResponse, newest: SingleResponse): boolean {
  if (status === 'revoked' && reason !== CERTIFICATE_HOLD) return true
  return status !== 'good' && thisUpdate >= newest.thisUpdate
}

function describe({ status, reason }: SingleResponse): string {
  const why = reason === CERTIFICATE_HOLD ? 'certificateHold' : `reason ${reason ?? 'not given'}`
  return status === 'revoked' ? `revoked, ${why}` : status
}

function notGood({ subjectName }: Certificate, single: SingleResponse): Problem {
  return { expected: `${subjectName} is good`, actual: describe(single) }
}

async function answersTo(
  question: Question,
  responses: readonly Known[],
  { crypto }: AuthenticationContext,
): Promise<readonly Answer[]> {
  const ids = await Promise.all(HASHES.map(async (hash) => certIdOf(question, hash, crypto)))
  const answers = responses.flatMap((known) =>
    known.response.responses
      .filter(({ certId }) => ids.some((id) => sameCertId(id, certId)))
      .map((single) => ({ known, single })),
  )
  if (answers.length > MAX_ANSWERS) {
    const about = question.certificate.subjectName
    throw new VouchsafeError(BLAME, `more than ${MAX_ANSWERS} answers about ${about}`)
  }
  return answers
}

/** Signatures do not depend on time, so each is verified once; the responder's dates do. */
async function signatureProblem(
  { id, response }: Known,
  issuer: Certificate,
  { crypto, now, memo }: AuthenticationContext,
): Promise<Problem | undefined> {
  const by = toHex(await crypto.digest('SHA-256', issuer.der))
  const { problem, responder } = await memo.once(`ocsp.signature:${id}:${by}`, async () => {
    try {
      return await checkOcspSignature(response, issuer, crypto)
    } catch (error) {
      // A responder whose key is no key has signed nothing.
      if (!(error instanceof VouchsafeError)) throw error
      const unusable = { expected: 'a responder with a usable key', actual: error.at }
      return { problem: unusable, responder: undefined }
    }
  })
  return problem ?? (responder && checkValidity([responder], now))
}

async function readResponses({
  endorsements,
  crypto,
  memo,
}: AuthenticationContext): Promise<readonly Known[]> {
  const found = new Map<string, Known>()
  const all = endorsements.ocspResponses ?? []
  if (all.length > MAX_RESPONSES) {
    throw new VouchsafeError(BLAME, `${all.length} responses, at most ${MAX_RESPONSES} are read`)
  }
  for (const der of all) {
    const id = toHex(await crypto.digest('SHA-256', der))
    const response = await memo.once(`ocsp:${id}`, async () => read(der), der.length)
    if (response !== undefined) found.set(id, { id, response })
  }
  return [...found.values()]
}

function read(der: Uint8Array): OcspResponse | undefined {
  try {
    return parseOcspResponse(der, BLAME)
  } catch (error) {
    // A refusal of the service, or broken: the same as not there, which never passes for "good".
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

function unavailable({ subjectName, issuerName, serial }: Certificate): VouchsafeError {
  return new VouchsafeError(
    { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: BLAME.at },
    `no OCSP response about ${subjectName} (serial ${serial}, issued by ${issuerName}); ask https://ocsp.ndis.nvidia.com with a CertID of SHA-384`,
  )
}
