import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AppraisalInput } from '../../src/core/appraisal/appraise.ts'
import { type Policy, parsePolicy } from '../../src/core/appraisal/policy.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import {
  mintAwsPki,
  mintNitroDocument,
  type NitroDocumentOptions,
} from '../../src/testing/index.ts'

export const AT = new Date('2026-03-01T12:00:00Z')
export const NONCE = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
export const REPORT_DATA = Uint8Array.from({ length: 64 }, (_, i) => 255 - i)

const pki = mintAwsPki({ at: new Date(AT.getTime() - 60_000) })

/** A policy that ships, as JSON that a test may change. */
export function shippedPolicy(name: string): Record<string, Json> {
  const file = join(import.meta.dirname, '../../policies', `${name}.json`)
  return JSON.parse(readFileSync(file, 'utf8')) as Record<string, Json>
}

export function authenticNitro(changes: Readonly<Record<string, Json>> = {}): Policy {
  return parsePolicy({ ...shippedPolicy('authentic-nitro'), ...changes })
}

/** An affirming appraisal of a Nitro document: fresh, bound, under a root made for the test. */
export function nitroInput(
  document: Partial<NitroDocumentOptions> = {},
  input: Partial<AppraisalInput> = {},
): AppraisalInput {
  const members = { nonce: NONCE, user_data: REPORT_DATA, ...document.members }
  return {
    format: 'nitro',
    evidence: mintNitroDocument({ pki, timestamp: AT, ...document, members }),
    endorsements: NO_ENDORSEMENTS,
    referenceValues: [],
    policy: authenticNitro(),
    binding: { nonce: { require: NONCE }, reportData: { require: REPORT_DATA } },
    anchors: { ...VENDOR_ANCHORS, aws: [pki.anchor] },
    now: AT,
    ...input,
  }
}
