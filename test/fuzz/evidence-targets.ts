/** Two targets for each format: its parser, and a whole appraisal of whatever parses. @packageDocumentation */
import { appraise } from '../../src/core/appraisal/appraise.ts'
import { FORMAT_IDS, type FormatId } from '../../src/core/evidence/common/format-ids.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { FORMATS } from '../../src/core/evidence/formats.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import {
  mintCwt,
  mintNvidiaDevice,
  mintNvidiaEvidence,
  mintNvidiaPki,
} from '../../src/testing/index.ts'
import { mintCase, passportIssuer } from '../support/mint-case.ts'
import { mintedInput } from '../support/minted-input.ts'
import { capturesOf } from './seeds.ts'
import type { Target } from './target.ts'

const crypto = createCrypto()
const memo = createMemo(2_000)

/** Parsing, describing and detecting; and appraising, which nothing mutated may survive affirming. */
export const EVIDENCE_TARGETS: readonly Target[] = FORMAT_IDS.flatMap((format) => [
  parser(format),
  appraisal(format),
])

function parser(id: FormatId): Target {
  const format = FORMATS[id]
  return {
    id: `parse-${id}`,
    seeds: () => [mintedInput(id).evidence, ...otherForms(id), ...capturesOf(id)],
    run: (input) => {
      format.detects(input)
      return format.describe(format.parse(input))
    },
  }
}

/**
 * Of what has more than one form: an Azure vTPM, whose log is optional, an EAR as CWT, and a GPU whose driver
 * writes a header before its records.
 */
function otherForms(id: FormatId): readonly Uint8Array[] {
  if (id === 'ear') return [mintCwt({ issuer: passportIssuer(id), at: mintedInput(id).now })]
  if (id === 'nvidia-gpu') return [versionedReport()]
  const hasLog = id === 'azure-snp-vtpm' || id === 'azure-tdx-vtpm'
  return hasLog ? [mintCase(id, { log: {} }).evidence] : []
}

function versionedReport(): Uint8Array {
  const device = mintNvidiaDevice(mintNvidiaPki({ at: mintedInput('nvidia-gpu').now }))
  const records = { 37: Uint8Array.of(5, 0) }
  return mintNvidiaEvidence({ device, records, versioned: { types: { 37: 0x87 } } })
}

function appraisal(id: FormatId): Target {
  const good = mintedInput(id)
  return {
    id: `appraise-${id}`,
    slow: true,
    seeds: () => [good.evidence, ...otherForms(id), ...capturesOf(id)],
    run: async (evidence) => appraise({ ...good, evidence }, { crypto, memo }),
  }
}
