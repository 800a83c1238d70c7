/** AWS Nitro Enclaves. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import { VouchsafeError } from '../../errors.ts'
import type { EvidenceFormat, Field } from '../common/format.ts'
import { AUTHENTICATION_CHECK_IDS, authenticateDocument } from './authenticate.ts'
import type { NitroClaims } from './claims.ts'
import { locateDocument, type NitroEvidence, parseDocument } from './document.ts'
import { APPRAISAL_CHECK_IDS, appraiseDocument, FIXED_CHECK_IDS, POLICY_FIELDS } from './policy.ts'

/** AWS Nitro attestation documents, bare or wrapped. */
export const nitro: EvidenceFormat<NitroEvidence, NitroClaims> = {
  id: 'nitro',
  detects: detectsDocument,
  parse: parseDocument,
  describe: describeDocument,
  authenticate: authenticateDocument,
  policyFields: POLICY_FIELDS,
  appraise: appraiseDocument,
  appraisalCheckIds: APPRAISAL_CHECK_IDS,
  requiredCheckIds: [...AUTHENTICATION_CHECK_IDS, ...FIXED_CHECK_IDS],
}

function detectsDocument(bytes: Uint8Array): boolean {
  try {
    const [first, second, third] = locateDocument(bytes)
    const [TAG_18, ARRAY_OF_4, SHORT_BYTES] = [0xd2, 0x84, 0x40]
    const header = first === TAG_18 && second === ARRAY_OF_4 ? third : second
    return (
      (first === ARRAY_OF_4 || (first === TAG_18 && second === ARRAY_OF_4)) &&
      header !== undefined &&
      (header & 0xe0) === SHORT_BYTES
    )
  } catch (error) {
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

function describeDocument({ document, message }: NitroEvidence): readonly Field[] {
  const bytes = (value: Uint8Array | undefined): string =>
    value === undefined ? 'absent' : toHex(value)
  return [
    { name: 'alg', value: String(message.algorithm) },
    { name: 'module_id', value: document.moduleId },
    { name: 'digest', value: 'SHA384' },
    { name: 'timestamp', value: new Date(document.timestamp).toISOString() },
    ...[...document.pcrs]
      .sort(([a], [b]) => a - b)
      .map(([i, value]) => ({ name: `PCR${i}`, value: toHex(value) })),
    { name: 'certificate', value: toHex(document.certificate) },
    ...document.cabundle.map((der, i) => ({ name: `cabundle[${i}]`, value: toHex(der) })),
    { name: 'public_key', value: bytes(document.publicKey) },
    { name: 'user_data', value: bytes(document.userData) },
    { name: 'nonce', value: bytes(document.nonce) },
    { name: 'signature', value: toHex(message.signature) },
  ]
}
