/** What `GET /v1/keyset` answers: all that is needed to verify one enclave. @packageDocumentation */
import { fromBase64url } from '../core/bytes/base64url.ts'
import { type EndorsementSet, endorsementsFromJson } from '../core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { FormatId } from '../core/evidence/common/format-ids.ts'
import { formatOf } from '../core/evidence/formats.ts'
import { type JsonNode, parseJson } from '../core/sealing/json.ts'
import { type Keyset, parseKeyset } from '../core/sealing/keyset.ts'

/** Parsed and unproved. */
export interface KeysetAnswer {
  readonly keyset: Keyset
  /** The exact text that report data is the digest of. */
  readonly statement: string
  readonly format: FormatId
  readonly evidence: Uint8Array
  readonly endorsements: EndorsementSet
  /** `tlog-proof` text for the keyset's leaf. */
  readonly proof: string
  /** Path below the gateway at which receipts are. */
  readonly receiptsUrl: string
}

const BLAME = { code: 'ERR_KEYSET_MALFORMED', at: 'answer' } as const
const MAX_LENGTH = 8 * 1024 * 1024
const MAX_EVIDENCE = 512 * 1024

/**
 * Parses the answer. It proves nothing: see `verify-enclave.ts`.
 *
 * @throws {@link VouchsafeError} `ERR_KEYSET_MALFORMED` for any other shape,
 *   `ERR_EVIDENCE_UNSUPPORTED` for a format this version does not know.
 */
export function parseKeysetAnswer(text: string): KeysetAnswer {
  const root = parseJson(text, BLAME, MAX_LENGTH).object(
    ['keyset', 'keyset_digest', 'statement', 'evidence', 'endorsements', 'ear', 'log'],
    ['receipts_url'],
  )
  // One statement speaks for one CPU; companion devices have their own form of it.
  const [item, ...more] = root.evidence.array(1)
  if (item === undefined || more.length > 0) throw new VouchsafeError(BLAME, 'want one evidence')
  return {
    keyset: parseKeyset(root.keyset.value),
    statement: root.statement.text(/^\{/, 1024),
    ...parseEvidence(item),
    endorsements: endorsementsFromJson(root.endorsements.value, BLAME),
    proof: root.log.object(['proof']).proof.text(/^c2sp\.org\/tlog-proof/, 256 * 1024),
    receiptsUrl: root.receipts_url.present
      ? root.receipts_url.text(/^\/[\w./-]*$/)
      : '/v1/receipts',
  }
}

function parseEvidence(node: JsonNode): Pick<KeysetAnswer, 'format' | 'evidence'> {
  const { format, evidence } = node.object(['format', 'evidence'])
  return {
    format: formatOf(format.text(/^[a-z0-9-]+$/), format.at).id,
    evidence: fromBase64url(evidence.text(/^[\w-]+$/, MAX_EVIDENCE), BLAME),
  }
}
