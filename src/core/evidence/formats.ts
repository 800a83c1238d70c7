/**
 * Every evidence format there is. A new TEE is one folder and one line here.
 *
 * @packageDocumentation
 */
import { type Blame, VouchsafeError } from '../errors.ts'
import { armCca } from './arm-cca/format.ts'
import { azureVtpm } from './azure-vtpm/format.ts'
import type { EvidenceFormat } from './common/format.ts'
import type { FormatId } from './common/format-ids.ts'
import { sampleOf } from './common/sample.ts'
import { unwrapEvidence } from './common/unwrap.ts'
import { hygonCsv } from './hygon-csv/format.ts'
import { nitro } from './nitro/format.ts'
import { nvidiaGpu } from './nvidia-gpu/format.ts'
import { nvidiaSwitch } from './nvidia-switch/format.ts'
import { PASSPORT_FORMATS } from './passport/format.ts'
import { sevSnp } from './sev-snp/format.ts'
import { sgx } from './sgx/format.ts'
import { simulated } from './simulated/format.ts'
import { quoteIn } from './tdx/evidence.ts'
import { tdx } from './tdx/format.ts'
import { tpm } from './tpm/format.ts'

/**
 * In the order of detection: a simulated quote is also a TDX quote, and must be named first; so must an EAR
 * as CWT, which begins as a document of Nitro's does.
 */
export const FORMATS: Readonly<Record<FormatId, EvidenceFormat>> = {
  simulated: simulated(tdx, quoteIn),
  tdx,
  'sev-snp': sevSnp,
  ...PASSPORT_FORMATS,
  nitro,
  'arm-cca': armCca,
  sgx,
  'nvidia-gpu': nvidiaGpu,
  'nvidia-switch': nvidiaSwitch,
  'hygon-csv': hygonCsv,
  tpm,
  'azure-snp-vtpm': azureVtpm('snp', sevSnp),
  'azure-tdx-vtpm': azureVtpm('tdx', tdx),
}

/**
 * The format with this name.
 *
 * @param id - A name from outside; anything at all.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_UNSUPPORTED` at `at` for any other name.
 */
export function formatOf(id: string, at = 'evidence.format'): EvidenceFormat {
  const known = (Object.keys(FORMATS) as readonly FormatId[]).find((name) => name === id)
  const format = known === undefined ? undefined : FORMATS[known]
  if (format === undefined) unsupported({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, 'not known')
  return format
}

/**
 * The first format whose shape the bytes have. Decides nothing else.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_UNSUPPORTED` if no format recognises them.
 */
export function detectFormat(evidence: Uint8Array, at = 'evidence.format'): EvidenceFormat {
  const sample = sampleOf(evidence)
  const format = Object.values(FORMATS).find((one) => one.detects(evidence, sample))
  if (format === undefined) unsupported({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, 'not recognised')
  return format
}

/**
 * Evidence out of a file, and its format. What a format reads as a whole (JSON with an event log
 * beside the quote, a signed token) stays whole; anything else is unwrapped first.
 *
 * @param name - A format's name, or `auto` for the one that the bytes look like.
 * @returns A copy.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` as `unwrapEvidence`,
 *   `ERR_EVIDENCE_UNSUPPORTED` as {@link formatOf} and {@link detectFormat}.
 */
export function openEvidence(
  bytes: Uint8Array,
  name = 'auto',
): { readonly format: EvidenceFormat; readonly evidence: Uint8Array } {
  const named = name === 'auto' ? undefined : formatOf(name)
  const candidates = named === undefined ? Object.values(FORMATS) : [named]
  const sample = sampleOf(bytes)
  const whole = candidates.find((format) => format.detects(bytes, sample))
  if (whole !== undefined) return { format: whole, evidence: bytes.slice() }
  const evidence = unwrapEvidence(bytes)
  return { format: named ?? detectFormat(evidence), evidence }
}

function unsupported(blame: Blame, detail: string): never {
  throw new VouchsafeError(blame, `${detail}; known are ${Object.keys(FORMATS).join(', ')}`)
}
