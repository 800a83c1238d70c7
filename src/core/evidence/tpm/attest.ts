/**
 * What a TPM signs: TPMS_ATTEST, as a quote over PCRs or as the certification of another key. Parsing
 * proves nothing: every field is the attacker's until the signature over it has been checked.
 *
 * @packageDocumentation
 * @see TCG TPM 2.0 Library, Part 2, 10.12 "Attestation structures"
 */
import { ByteReader } from '../../bytes/reader.ts'
import { type Bank, hex16, readHash, readSized, unsupported } from './algorithms.ts'

/** What both kinds of attestation begin with. Byte strings are copies. */
export interface AttestHead {
  /** What the signature covers: the whole structure. */
  readonly signed: Uint8Array
  /** Qualified name of the signing key. */
  readonly qualifiedSigner: Uint8Array
  /** The caller's own data, at most 66 bytes: here the nonce or the digest of a statement. */
  readonly extraData: Uint8Array
  readonly clockInfo: ClockInfo
  /** Vendor-specific. */
  readonly firmwareVersion: bigint
}

export interface ClockInfo {
  /** Milliseconds that the TPM has been powered in its life. */
  readonly clock: bigint
  /** TPM resets: one for each boot. */
  readonly resetCount: number
  /** Resumes since the last reset. */
  readonly restartCount: number
  /** Whether no later clock value has ever been reported. */
  readonly safe: boolean
}

/** PCRs of one bank, ascending. */
export interface PcrSelection {
  readonly bank: Bank
  readonly pcrs: readonly number[]
}

export interface QuoteAttest extends AttestHead {
  readonly selection: readonly PcrSelection[]
  readonly pcrDigest: Uint8Array
}

export interface CertifyAttest extends AttestHead {
  /** Name of the certified object: the hash algorithm, and the hash of its public area. */
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
}

/** 0xff and "TCG": a restricted key signs nothing from outside that begins so. */
export const TPM_GENERATED_VALUE = 0xff544347
const QUOTE = 0x8018
const CERTIFY = 0x8017
const MAX_NAME = 66
const MAX_EXTRA_DATA = 66
const MAX_DIGEST = 64
/** TPM_NUM_PCR_BANKS of the largest TPM, and PCRs of every TPM of a PC. */
const MAX_BANKS = 16
const PCRS = 24
const MAX_SELECT = 4

/**
 * A quote: TPMS_ATTEST of type TPM_ST_ATTEST_QUOTE.
 *
 * @param at - Whose, for errors: `tpm.quote`.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for anything else, for a bank twice and for
 *   bytes left over, `ERR_EVIDENCE_UNSUPPORTED` for a SHA-1 bank.
 */
export function parseQuoteAttest(message: Uint8Array, at: string): QuoteAttest {
  const r = readerOf(message, at)
  const head = readHead(r, message, QUOTE)
  const selection = readSelection(r, at)
  const pcrDigest = readSized(r, 'pcrDigest', MAX_DIGEST)
  r.end()
  return { ...head, selection, pcrDigest }
}

/**
 * The certification of a key: TPMS_ATTEST of type TPM_ST_ATTEST_CERTIFY.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for anything else.
 */
export function parseCertifyAttest(message: Uint8Array, at: string): CertifyAttest {
  const r = readerOf(message, at)
  const head = readHead(r, message, CERTIFY)
  const name = readSized(r, 'name', MAX_NAME)
  const qualifiedName = readSized(r, 'qualifiedName', MAX_NAME)
  r.end()
  return { ...head, name, qualifiedName }
}

function readerOf(message: Uint8Array, at: string): ByteReader {
  return new ByteReader(message, 'be', { code: 'ERR_EVIDENCE_MALFORMED', at })
}

function readHead(r: ByteReader, message: Uint8Array, type: number): AttestHead {
  if (r.u32('magic') !== TPM_GENERATED_VALUE) r.fail('magic', 'not TPM_GENERATED_VALUE')
  const found = r.u16('type')
  if (found !== type) r.fail('type', `0x${hex16(found)}, want 0x${hex16(type)}`)
  const qualifiedSigner = readSized(r, 'qualifiedSigner', MAX_NAME)
  const extraData = readSized(r, 'extraData', MAX_EXTRA_DATA)
  const clock = r.u64('clock')
  const resetCount = r.u32('resetCount')
  const restartCount = r.u32('restartCount')
  const safe = r.u8('safe')
  if (safe > 1) r.fail('safe', 'neither YES nor NO')
  return {
    signed: message.slice(),
    qualifiedSigner,
    extraData,
    clockInfo: { clock, resetCount, restartCount, safe: safe === 1 },
    firmwareVersion: r.u64('firmwareVersion'),
  }
}

function readSelection(r: ByteReader, at: string): readonly PcrSelection[] {
  const count = r.u32('pcrSelect.count')
  if (count > MAX_BANKS) r.fail('pcrSelect', `${count} banks`)
  const selection: PcrSelection[] = []
  for (let i = 0; i < count; i++) {
    const bank = readHash(r, at, 'pcrSelect.hash')
    const size = r.u8('pcrSelect.sizeofSelect')
    if (size > MAX_SELECT) r.fail('pcrSelect.sizeofSelect', `${size} bytes`)
    const bits = r.bytes(size, 'pcrSelect.pcrSelect')
    const pcrs = [...bits].flatMap((byte, at8) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte >> bit) & 1).map((bit) => 8 * at8 + bit),
    )
    if (pcrs.some((pcr) => pcr >= PCRS)) unsupported(`${at}.pcrSelect`, 'a PCR above 23')
    // The digest would be over its values twice, and a policy could mean either.
    if (selection.some((one) => one.bank === bank)) r.fail('pcrSelect', `${bank} twice`)
    selection.push({ bank, pcrs })
  }
  return selection
}
