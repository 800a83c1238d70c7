/** Errors in the shape that OpenAI clients show to people. @packageDocumentation */
import { utf8 } from '../../core/bytes/bytes.ts'
import type { ModelResponse } from './upstream.ts'

export interface OpenAiError {
  readonly status: number
  readonly message: string
  readonly code: string | null
  /** The member of the request that is to blame. */
  readonly param: string | null
}

/** A request that cannot be served as it is: 400 `invalid_request_error`. */
export function invalid(message: string, param: string | null = null): OpenAiError {
  return { status: 400, message, code: null, param }
}

/** A model that is not here: 404 `model_not_found`. */
export function modelNotFound(model: string): OpenAiError {
  const message = `the model ${JSON.stringify(model.slice(0, 64))} is not served here`
  return { status: 404, message, code: 'model_not_found', param: 'model' }
}

/** Whether a parser refused. */
export function isRefusal(value: object): value is OpenAiError {
  return 'status' in value && 'message' in value && 'param' in value
}

/** The document of `spec/apis.md` §1.1. */
export function openAiErrorDocument({ status, message, code, param }: OpenAiError): object {
  const type = status < 500 ? 'invalid_request_error' : 'server_error'
  return { error: { message, type, code, param } }
}

/** {@link openAiErrorDocument} as an answer. */
export function openAiErrorResponse(error: OpenAiError): ModelResponse {
  return jsonResponse(error.status, openAiErrorDocument(error))
}

/** A whole JSON document. */
export function jsonResponse(status: number, document: unknown): ModelResponse {
  return {
    status,
    headers: { 'content-type': 'application/json' },
    body: once(utf8(JSON.stringify(document))),
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
