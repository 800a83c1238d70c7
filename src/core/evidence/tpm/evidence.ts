/**
 * TPM evidence: a quote, the values of the PCRs that it is over, the key that signed it and whatever
 * vouches for that key. As JSON, in the shape of Trustee's TPM attester, with members of ours beside:
 * `ak_certificates`, `ak_certify` and `event_log`.
 *
 * @packageDocumentation
 * @see `docs/tpm.md`
 */
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { VerifyingKey } from '../../ports/crypto.ts'
import { type Certificate, parseCertificate, parsePublicKey } from '../../x509/certificate.ts'
import { type EventLog, parseEventLog } from '../common/event-log/parse.ts'
import { type Sample, sampleOf } from '../common/sample.ts'
import { BANKS, type Bank, sizeOf } from './algorithms.ts'
import {
  type CertifyAttest,
  parseCertifyAttest,
  parseQuoteAttest,
  type QuoteAttest,
} from './attest.ts'
import { bytesOf, looksLike, Members, parseMembers } from './json.ts'
import type { PcrBanks } from './pcrs.ts'
import { type PublicArea, parsePublicArea } from './public-area.ts'
import { parseSignature, type TpmSignature } from './signature.ts'

export interface Quote {
  readonly attest: QuoteAttest
  readonly signature: TpmSignature
  readonly banks: PcrBanks
}

export interface Certify {
  readonly attest: CertifyAttest
  readonly signature: TpmSignature
}

export interface TpmEvidence {
  readonly quote: Quote
  readonly ak: VerifyingKey
  /** `undefined` if the evidence has the key alone: then nothing says what the TPM lets it do. */
  readonly akPublic: PublicArea | undefined
  /** Of the attestation key or of the key that certified it, with their issuers; in any order. */
  readonly certificates: readonly Certificate[]
  /** TPM2_Certify of the attestation key by another one. */
  readonly certify: Certify | undefined
  /** TCG event log, as the firmware kept it. */
  readonly eventLog: EventLog | undefined
}

const BLAME: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'tpm' }
const PCRS = 24
export const MAX_MESSAGE = 2048
export const MAX_SIGNATURE = 4096
const MAX_PUBLIC = 8192
const MAX_CERTIFICATES = 8
const MAX_CERTIFICATE = 16 * 1024
const MAX_LOG = 1024 * 1024
const DER_SEQUENCE = 0x30
/** CBOR: a map of two, whose first name is "kat". */
const PARSEC = [0xa2, 0x63, 0x6b, 0x61, 0x74] as const

/** JSON with `ak_public` and `tpm_quote`; also Parsec's collection, for {@link parseEvidence} to refuse. */
export function looksLikeEvidence(bytes: Uint8Array, sample: Sample = sampleOf(bytes)): boolean {
  return isParsec(bytes) || looksLike(sample, ['ak_public', 'tpm_quote'])
}

/**
 * Parses the JSON and every TPM structure in it.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED`, and `ERR_EVIDENCE_UNSUPPORTED` for
 *   algorithms that are not known and for Parsec's key attestation.
 */
export function parseEvidence(bytes: Uint8Array): TpmEvidence {
  if (isParsec(bytes)) refuseParsec()
  const members = parseMembers(bytes, BLAME)
  const quoted = members.object('tpm_quote')
  const message = quoted.bytes('message', 'base64', MAX_MESSAGE)
  const signature = quoted.bytes('signature', 'base64', MAX_SIGNATURE)
  const banks = readBanks(quoted)
  quoted.end()
  const evidence = {
    quote: {
      attest: parseQuoteAttest(message, 'tpm.quote'),
      signature: parseSignature(signature, 'tpm.quote.signature'),
      banks,
    },
    ...readAk(members.bytes('ak_public', 'base64', MAX_PUBLIC)),
    certificates: readCertificates(members),
    certify: readCertify(members),
    eventLog: readEventLog(members, { encoding: 'base64', at: 'tpm.event_log' }),
  }
  members.end()
  return evidence
}

function readAk(bytes: Uint8Array): Pick<TpmEvidence, 'ak' | 'akPublic'> {
  if (bytes[0] === DER_SEQUENCE) {
    const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'tpm.ak_public' } as const
    return { ak: parsePublicKey(bytes, blame), akPublic: undefined }
  }
  const akPublic = parsePublicArea(bytes, 'tpm.ak_public')
  return { ak: akPublic.key, akPublic }
}

function readCertificates(members: Members): readonly Certificate[] {
  if (!members.has('ak_certificates')) return []
  return members.list('ak_certificates', MAX_CERTIFICATES).map((item, i) => {
    const blame = members.at(`ak_certificates[${i}]`)
    const der = bytesOf(item, { encoding: 'base64', most: MAX_CERTIFICATE, blame })
    return parseCertificate(der, blame)
  })
}

/** The member of ours that every format with a quote may have; `undefined` if it is not there. */
export function readEventLog(
  members: Members,
  { encoding, at }: { readonly encoding: 'base64' | 'base64url'; readonly at: string },
): EventLog | undefined {
  if (!members.has('event_log')) return undefined
  return parseEventLog(members.bytes('event_log', encoding, MAX_LOG), at)
}

function readCertify(members: Members): Certify | undefined {
  if (!members.has('ak_certify')) return undefined
  const certify = members.object('ak_certify')
  const message = certify.bytes('message', 'base64', MAX_MESSAGE)
  const signature = certify.bytes('signature', 'base64', MAX_SIGNATURE)
  certify.end()
  return {
    attest: parseCertifyAttest(message, 'tpm.ak_certify'),
    signature: parseSignature(signature, 'tpm.ak_certify.signature'),
  }
}

/** By bank and number, or as Trustee has them: a list of one bank from PCR 0 on, told by its size. */
function readBanks(quoted: Members): PcrBanks {
  const given = quoted.any('pcrs')
  if (Array.isArray(given)) {
    const blame = quoted.at('pcrs')
    return bankOfList(
      quoted.list('pcrs', PCRS).map((item) => bytesOf(item, { encoding: 'hex', most: 64, blame })),
      blame,
    )
  }
  const members = new Members(given, quoted.at('pcrs'))
  const banks = new Map<Bank, ReadonlyMap<number, Uint8Array>>()
  for (const bank of BANKS) {
    if (members.has(bank)) banks.set(bank, readBank(members.object(bank), bank))
  }
  members.end()
  return banks
}

function readBank(members: Members, bank: Bank): ReadonlyMap<number, Uint8Array> {
  const values = new Map<number, Uint8Array>()
  for (const name of members.names()) {
    // In one spelling, so that no PCR can be there twice.
    const pcr = /^(?:0|[1-9][0-9]?)$/.test(name) ? Number(name) : PCRS
    if (pcr >= PCRS) throw new VouchsafeError(members.blame, 'a name that is no PCR')
    const value = members.bytes(name, 'hex', 64)
    if (value.length !== sizeOf(bank)) {
      throw new VouchsafeError(members.at(name), `${value.length} bytes, want ${sizeOf(bank)}`)
    }
    values.set(pcr, value)
  }
  return values
}

/**
 * The bank whose values these are, from PCR 0 on.
 *
 * @throws {@link VouchsafeError} with the code of `blame` if they are of no bank, or of several.
 */
export function bankOfList(values: readonly Uint8Array[], blame: Blame): PcrBanks {
  const bank = BANKS.find((candidate) =>
    values.every((value) => value.length === sizeOf(candidate)),
  )
  if (bank === undefined || values.length === 0) {
    throw new VouchsafeError(blame, 'not values of one bank')
  }
  return new Map([[bank, new Map(values.entries())]])
}

function isParsec(bytes: Uint8Array): boolean {
  return PARSEC.every((byte, i) => bytes[i] === byte)
}

function refuseParsec(): never {
  const what = "Parsec's TPM key attestation (draft-bft-rats-kat): a TPM2_Certify and a quote"
  throw new VouchsafeError(
    { code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'tpm.parsec' },
    `${what} without the values of the PCRs and without the key that signed them is not supported`,
  )
}
