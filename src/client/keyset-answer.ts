/** What `GET /v1/keyset` answers: all that is needed to verify one enclave. @packageDocumentation */
import { arrangeParts, type Part } from '../core/appraisal/parts.ts'
import { fromBase64url } from '../core/bytes/base64url.ts'
import { type EndorsementSet, endorsementsFromJson } from '../core/endorsements/endorsement-set.ts'
import { formatOf } from '../core/evidence/formats.ts'
import { type JsonNode, parseJson } from '../core/sealing/json.ts'
import { type Keyset, parseKeyset } from '../core/sealing/keyset.ts'
import { MAX_DEVICES } from '../core/sealing/statement.ts'

/** Parsed and unproved. */
export interface KeysetAnswer {
  readonly keyset: Keyset
  /** The exact text that report data is the digest of. */
  readonly statement: string
  /** The CPU's first, then that of the devices that the statement names, in its order. */
  readonly evidence: readonly [Part, ...Part[]]
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
  const parts = root.evidence.array(1 + MAX_DEVICES).map(parseEvidence)
  return {
    keyset: parseKeyset(root.keyset.value),
    statement: root.statement.text(/^\{/, 1024),
    evidence: arrangeParts(parts, { ...BLAME, at: root.evidence.at }),
    endorsements: endorsementsFromJson(root.endorsements.value, BLAME),
    proof: root.log.object(['proof']).proof.text(/^c2sp\.org\/tlog-proof/, 256 * 1024),
    receiptsUrl: root.receipts_url.present
      ? root.receipts_url.text(/^\/[\w./-]*$/)
      : '/v1/receipts',
  }
}

function parseEvidence(node: JsonNode): Part {
  const { format, evidence } = node.object(['format', 'evidence'])
  return {
    format: formatOf(format.text(/^[a-z0-9-]+$/), format.at).id,
    evidence: fromBase64url(evidence.text(/^[\w-]+$/, MAX_EVIDENCE), BLAME),
  }
}
