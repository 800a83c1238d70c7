/**
 * Every evidence format there is. A new TEE is one folder and one line here.
 *
 * @packageDocumentation
 */
import { type Blame, VouchsafeError } from '../errors.ts'
import { armCca } from './arm-cca/format.ts'
import type { EvidenceFormat, FormatId } from './common/format.ts'
import { nitro } from './nitro/format.ts'
import { sevSnp } from './sev-snp/format.ts'
import { simulated } from './simulated/format.ts'
import { tdx } from './tdx/format.ts'

/** In the order of detection: a simulated quote is also a TDX quote, and must be named first. */
export const FORMATS: Readonly<Record<FormatId, EvidenceFormat>> = {
  simulated: simulated(tdx),
  tdx,
  'sev-snp': sevSnp,
  nitro,
  'arm-cca': armCca,
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
  const format = Object.values(FORMATS).find((candidate) => candidate.detects(evidence))
  if (format === undefined) unsupported({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, 'not recognised')
  return format
}

function unsupported(blame: Blame, detail: string): never {
  throw new VouchsafeError(blame, `${detail}; known are ${Object.keys(FORMATS).join(', ')}`)
}
