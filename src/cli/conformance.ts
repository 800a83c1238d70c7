/**
 * The conformance interface: one JSON request on stdin, one JSON answer on stdout, so that any other
 * implementation can be compared with ours, case by case.
 *
 * @packageDocumentation
 */
import type { AppraisalInput } from '../core/appraisal/appraise.ts'
import type { Binding } from '../core/appraisal/binding.ts'
import { parsePolicy } from '../core/appraisal/policy.ts'
import { fromBase64url } from '../core/bytes/base64url.ts'
import { fromHex } from '../core/bytes/hex.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { endorsementsFromJson, NO_ENDORSEMENTS } from '../core/endorsements/endorsement-set.ts'
import { parsePassportTrust } from '../core/endorsements/passport-trust.ts'
import { withShipped } from '../core/endorsements/shipped.ts'
import { type Blame, VouchsafeError } from '../core/errors.ts'
import { parseReferenceValues } from '../core/reference-values/reference-values.ts'
import { loadPolicy } from '../drivers/policies/directory.ts'
import type { CliContext } from './context.ts'
import { chooseFormat, parseTime, withUnsafeAnchors } from './inputs.ts'

/** Of a request. */
export const MAX_REQUEST_BYTES = 16 * 1024 * 1024
const MEMBERS = [
  'evidence',
  'format',
  'at',
  'policy',
  'nonce',
  'report_data',
  'statement',
  'endorsements',
  'reference_values',
  'unsafe_anchors',
  'passport_trust',
]

type Request = Readonly<Record<string, Json | undefined>>

/**
 * Reads a request.
 *
 * @throws {@link VouchsafeError} `ERR_REQUEST_INVALID` for unknown or malformed members; the errors
 *   of policies, endorsements and reference values as everywhere.
 */
export async function readRequest(bytes: Uint8Array, context: CliContext): Promise<AppraisalInput> {
  if (bytes.length > MAX_REQUEST_BYTES)
    throw new VouchsafeError(blame(''), `over ${MAX_REQUEST_BYTES} bytes`)
  const request = objectOf(parseJson(new TextDecoder().decode(bytes), blame('')))
  const unknown = Object.keys(request).find((name) => !MEMBERS.includes(name))
  if (unknown !== undefined) throw new VouchsafeError(blame(''), `unknown member ${unknown}`)
  const evidence = fromBase64url(textOf(request, 'evidence'), blame('evidence'))
  const { id: format } = chooseFormat(textOf(request, 'format', 'auto'), evidence)
  const policy = request['policy'] ?? 'authentic'
  const endorsements = request['endorsements']
  const at = optionalText(request, 'at')
  return {
    format,
    evidence,
    endorsements: withShipped(
      format,
      endorsements === undefined
        ? NO_ENDORSEMENTS
        : endorsementsFromJson(endorsements, blame('endorsements')),
    ),
    referenceValues: listOf(request, 'reference_values').map(parseReferenceValues),
    policy:
      typeof policy === 'string'
        ? await loadPolicy(policy, { format, production: false })
        : parsePolicy(policy),
    binding: bindingOf(request),
    anchors: {
      ...(await withUnsafeAnchors(anchorsOf(request), format, context)),
      passports: parsePassportTrust(listOf(request, 'passport_trust'), blame('passport_trust')),
    },
    now: at === undefined ? context.now() : parseTime(at),
  }
}

function bindingOf(request: Request): Binding {
  const nonce = optionalText(request, 'nonce')
  const reportData = optionalText(request, 'report_data')
  const statement = optionalText(request, 'statement')
  if (reportData !== undefined && statement !== undefined) {
    throw new VouchsafeError(blame('statement'), 'give report_data or statement, not both')
  }
  const wanted = (hex: string | undefined, name: string): Binding['nonce'] =>
    hex === undefined ? { unchecked: `no ${name} given` } : { require: fromHex(hex, blame(name)) }
  return {
    nonce: wanted(nonce, 'nonce'),
    reportData: statement === undefined ? wanted(reportData, 'report_data') : { statement },
  }
}

/** Digests only: a request may not name files of the machine it is sent to. */
function anchorsOf(request: Request): readonly string[] {
  return listOf(request, 'unsafe_anchors').map((anchor) => {
    if (typeof anchor === 'string' && /^[0-9a-f]{64}$/.test(anchor)) return anchor
    throw new VouchsafeError(blame('unsafe_anchors'), 'want SHA-256 in lower-case hex')
  })
}

function textOf(request: Request, name: string, otherwise?: string): string {
  const value = optionalText(request, name) ?? otherwise
  if (value === undefined) throw new VouchsafeError(blame(name), 'absent')
  return value
}

function optionalText(request: Request, name: string): string | undefined {
  const value = request[name]
  if (value === undefined || typeof value === 'string') return value
  throw new VouchsafeError(blame(name), 'want text')
}

function listOf(request: Request, name: string): readonly Json[] {
  const value = request[name] ?? []
  if (!Array.isArray(value)) throw new VouchsafeError(blame(name), 'want a list')
  return value as readonly Json[]
}

function objectOf(value: Json): Request {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Request
  throw new VouchsafeError(blame(''), 'want one JSON object')
}

function blame(name: string): Blame {
  return { code: 'ERR_REQUEST_INVALID', at: name === '' ? 'request' : `request.${name}` }
}
