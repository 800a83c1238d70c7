/** The client's half of sealed exchanges with an app under test. */
import type { FastifyInstance } from 'fastify'
import { chooseKey, type Keyset } from '../../src/core/sealing/keyset.ts'
import {
  type EnvelopeForm,
  HINTS_FIELD,
  importRecipient,
  type SealedRequest,
  sealRequest,
} from '../../src/core/sealing/seal-request.ts'
import type { KemId } from '../../src/core/sealing/suites.ts'
import { createSealingCrypto } from '../../src/drivers/sealing/node.ts'

const crypto = createSealingCrypto()

export interface Question {
  readonly keyset: Keyset
  readonly now: Date
  readonly method?: string
  readonly path?: string
  readonly body?: unknown
  readonly form?: EnvelopeForm
  readonly hints?: string
  /** What the gateway says outside, if not the same. `null`: nothing. */
  readonly outerHints?: string | null
  readonly model?: string
  /** Inside. */
  readonly idempotencyKey?: string
  readonly kems?: readonly KemId[]
}

export async function seal(question: Question): Promise<SealedRequest> {
  const { keyset, now, form = 'chunked', body, hints, idempotencyKey: repeated } = question
  const [key] = [
    chooseKey(keyset, { model: question.model ?? 'toy', now, kems: question.kems ?? [0x647a] }),
  ]
  return sealRequest({
    recipient: await importRecipient(key, crypto),
    request: {
      method: question.method ?? 'POST',
      path: question.path ?? '/v1/chat/completions',
      headers: [
        ['content-type', 'application/json'],
        ...(repeated === undefined ? [] : [['idempotency-key', repeated] as const]),
      ],
      body: new TextEncoder().encode(body === undefined ? '' : JSON.stringify(body)),
    },
    now,
    crypto,
    form,
    ...(hints !== undefined && { hints }),
  })
}

export interface Answered {
  /** Outside. */
  readonly outer: {
    readonly status: number
    readonly headers: Record<string, unknown>
    readonly raw: Buffer
  }
  /** Inside. */
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
  readonly sealed: SealedRequest
}

/** Sends a sealed request through `inject` and opens the answer. */
export async function ask(app: FastifyInstance, question: Question): Promise<Answered> {
  const sealed = await seal(question)
  return open(sealed, await send(app, sealed, question))
}

export async function send(
  app: FastifyInstance,
  { mediaType, body }: Pick<SealedRequest, 'mediaType' | 'body'>,
  { hints, outerHints = hints ?? null }: Partial<Question> = {},
): Promise<Answered['outer']> {
  const response = await app.inject({
    method: 'POST',
    url: '/ohttp',
    headers: {
      'content-type': mediaType,
      ...(outerHints !== null && { [HINTS_FIELD]: outerHints }),
    },
    payload: Buffer.from(body),
  })
  return { status: response.statusCode, headers: response.headers, raw: response.rawPayload }
}

export async function open(sealed: SealedRequest, outer: Answered['outer']): Promise<Answered> {
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield outer.raw
  }
  const mediaType = String(outer.headers['content-type'])
  const { status, headers, body } = await sealed.open({ mediaType, body: source() })
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  const text = Buffer.concat(parts).toString('utf8')
  return { outer, status, headers: new Map(headers), text, sealed }
}
