/** What an OpenAI client is told when nothing could be sealed, or nothing opened. @packageDocumentation */
import type { ErrorCode, ErrorKind, VouchsafeError } from '../core/errors.ts'

const STATUS = {
  malformed: 400,
  denied: 403,
  unsupported: 422,
  unavailable: 503,
  misconfigured: 422,
} as const satisfies Record<ErrorKind, number>

/** OpenAI clients tell these apart from other refusals. */
const SHARPER: Readonly<Partial<Record<ErrorCode, number>>> = {
  ERR_REQUEST_UNAUTHORIZED: 401,
  ERR_RESOURCE_NOT_FOUND: 404,
  ERR_RATE_LIMITED: 429,
  // The request was sealed and sent, and what came back is nobody's answer.
  ERR_ENVELOPE_TRUNCATED: 502,
  ERR_ENVELOPE_OPEN_FAILED: 502,
  ERR_ENVELOPE_MALFORMED: 502,
  ERR_ENVELOPE_UNSUPPORTED: 502,
  ERR_BHTTP_MALFORMED: 502,
}

/**
 * A problem document (RFC 9457) with the `error` member that OpenAI clients show. It says
 * `Vouchsafe-Error-Source: client`: nobody else has a part in it.
 */
export function refusalResponse(error: VouchsafeError): Response {
  const { code, at, kind, message } = error
  const status = SHARPER[code] ?? STATUS[kind]
  const document = {
    status,
    code,
    at,
    detail: message,
    error: { message: `vouchsafe: ${message}`, type: 'vouchsafe_refused', code, param: at },
  }
  return new Response(JSON.stringify(document), {
    status,
    headers: {
      'content-type': 'application/problem+json',
      'vouchsafe-error-source': 'client',
      // What is refused now is refused a second later; a gateway that is away may come back.
      'x-should-retry': kind === 'unavailable' ? 'true' : 'false',
    },
  })
}
