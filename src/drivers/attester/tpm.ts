/**
 * Evidence from a TPM 2.0, by tpm2-tools: a quote over PCRs by an attestation key (AK) that was made
 * beforehand. The tools find the TPM by themselves, or by `TPM2TOOLS_TCTI` in the environment.
 *
 * @packageDocumentation
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isZero } from '../../core/bytes/bytes.ts'
import { toHex } from '../../core/bytes/hex.ts'
import { canonicalBytes, type Json } from '../../core/encoding/canonical-json.ts'
import { decodePem } from '../../core/encoding/pem.ts'
import { NO_ENDORSEMENTS } from '../../core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../core/errors.ts'
import type { Attester } from '../../core/ports/attester.ts'
import { readTextWithin, readWithin } from '../files/read.ts'

export interface TpmAttesterOptions {
  /** Context file or persistent handle of the AK, as `tpm2_quote --key-context` takes it. */
  readonly key: string
  /** PCRs of one or more banks: `sha256:0,1,7+sha384:0`. */
  readonly pcrs: string
  /** RSA keys without a scheme of their own, and RSAPSS ones, need it said: `rsassa`, `rsapss`. */
  readonly scheme?: string
  readonly hash?: 'sha256' | 'sha384' | 'sha512'
  /** PEM file: certificate of the AK and its issuers. */
  readonly certificates?: string
  /** The kernel's copy of the firmware's log. */
  readonly eventLog?: string
  /** Environment of the tools besides our own. */
  readonly environment?: Readonly<Record<string, string>>
}

const AT = 'attester.tpm'
const REPORT_DATA_SIZE = 64
/** TPMs take as much as their largest digest and two bytes more, which may be less than 64. */
const DIGEST_SIZE = 32
const SIZES = { sha256: 32, sha384: 48, sha512: 64 } as const
const TIMEOUT_MS = 30_000
const MAX_CERTIFICATES_BYTES = 1024 * 1024
/** More than verifiers take of all evidence together. */
const EVENT_LOG = {
  blame: { code: 'ERR_CONFIG_INVALID', at: `${AT}.event_log` },
  most: 4 * 1024 * 1024,
} as const
const SELECTION =
  /^(?:sha256|sha384|sha512):\d{1,2}(?:,\d{1,2}){0,23}(?:\+(?:sha256|sha384|sha512):\d{1,2}(?:,\d{1,2}){0,23}){0,2}$/
const run = promisify(execFile)

/**
 * An attester whose evidence has the format `tpm`. Report data of 32 bytes, with zeros to 64, goes
 * into the quote as 32: what is compared is the same.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` for a selection that is none.
 */
export function createTpmAttester(options: TpmAttesterOptions): Attester {
  if (!SELECTION.test(options.pcrs)) {
    const detail = `${options.pcrs} selects no PCRs; use sha256:0,1,7 or sha256:0+sha384:0`
    throw new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at: `${AT}.pcrs` }, detail)
  }
  return {
    attest: async (reportData) => {
      if (reportData.length !== REPORT_DATA_SIZE) {
        throw new RangeError(`report data of ${reportData.length} bytes, want ${REPORT_DATA_SIZE}`)
      }
      const tail = reportData.subarray(DIGEST_SIZE)
      const qualification = isZero(tail) ? reportData.subarray(0, DIGEST_SIZE) : reportData
      const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-tpm-'))
      try {
        const evidence = await gather({ options, qualification, directory })
        return {
          format: 'tpm',
          evidence: canonicalBytes(evidence),
          endorsements: NO_ENDORSEMENTS,
        }
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    },
  }
}

interface Gathering {
  readonly options: TpmAttesterOptions
  readonly qualification: Uint8Array
  readonly directory: string
}

async function gather({ options, qualification, directory }: Gathering): Promise<Json> {
  const file = (name: string): string => join(directory, name)
  const { key, pcrs, scheme, hash, certificates, eventLog, environment } = options
  const tool = async (name: string, args: readonly string[]) => runTool(name, args, environment)
  await tool('tpm2_readpublic', ['-c', key, '-f', 'tss', '-o', file('public')])
  await tool('tpm2_quote', [
    ...['-c', key, '-l', pcrs, '-q', toHex(qualification)],
    ...['-m', file('message'), '-s', file('signature'), '-o', file('pcrs'), '-F', 'values'],
    ...(hash === undefined ? [] : ['-g', hash]),
    ...(scheme === undefined ? [] : [`--scheme=${scheme}`]),
  ])
  const read = async (name: string) => base64(await readFile(file(name)))
  return {
    ak_public: await read('public'),
    tpm_quote: {
      message: await read('message'),
      signature: await read('signature'),
      pcrs: pcrValues(pcrs, await readFile(file('pcrs'))),
    },
    ...(certificates !== undefined && { ak_certificates: await readCertificates(certificates) }),
    ...(eventLog !== undefined && { event_log: base64(await readWithin(eventLog, EVENT_LOG)) }),
  }
}

async function runTool(
  name: string,
  args: readonly string[],
  environment: TpmAttesterOptions['environment'],
): Promise<void> {
  try {
    // The resource manager of the kernel unloads what a tool leaves behind; others do not.
    await run(name, args, {
      env: { ...process.env, ...environment },
      timeout: TIMEOUT_MS,
      // A tool that waits for a TPM may not hear the polite one.
      killSignal: 'SIGKILL',
    })
  } catch (cause) {
    const missing = (cause as { code?: unknown }).code === 'ENOENT'
    const detail = missing
      ? `${name} not found: install tpm2-tools`
      : `${name} failed; is there a TPM 2.0, and is the attestation key loaded from its context?`
    throw new VouchsafeError({ code: 'ERR_DEPENDENCY_MISSING', at: AT }, detail, { cause })
  }
}

/** `tpm2_quote --pcrs_format=values`: the values one after the other, bank by bank. */
function pcrValues(selection: string, bytes: Uint8Array): Json {
  let offset = 0
  const banks = selection.split('+').map((part) => {
    const [bank = '', list = ''] = part.split(':')
    const size = SIZES[bank as keyof typeof SIZES]
    const registers = [...new Set(list.split(',').map(Number))].sort((a, b) => a - b)
    const values = registers.map((register) => {
      const value = bytes.subarray(offset, offset + size)
      offset += size
      return [String(register), toHex(value)] as const
    })
    return [bank, Object.fromEntries(values)] as const
  })
  if (offset !== bytes.length) {
    const detail = `${bytes.length} bytes of PCR values, want ${offset}: a bank is not there`
    throw new VouchsafeError({ code: 'ERR_DEPENDENCY_MISSING', at: `${AT}.pcrs` }, detail)
  }
  return Object.fromEntries(banks)
}

async function readCertificates(path: string): Promise<readonly string[]> {
  const blame = { code: 'ERR_CONFIG_INVALID', at: `${AT}.certificates` } as const
  const text = await readTextWithin(path, { blame, most: MAX_CERTIFICATES_BYTES })
  return decodePem(text, 'CERTIFICATE', blame).map(base64)
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
