import { expect } from 'vitest'
import { concat, utf8 } from '../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { generateKeyPair } from '../../src/core/sealing/kem.ts'
import { chooseConfig, keyConfigOf } from '../../src/core/sealing/key-config.ts'
import type { OhttpKey } from '../../src/core/sealing/ohttp.ts'
import { type OpenedRequest, openRequest } from '../../src/core/sealing/open-request.ts'
import { ReplayCache } from '../../src/core/sealing/replay-cache.ts'
import {
  type EnvelopeForm,
  importRecipient,
  type SealedRequest,
  sealRequest,
} from '../../src/core/sealing/seal-request.ts'
import type { KemId } from '../../src/core/sealing/suites.ts'
import { createSealingCrypto } from '../../src/drivers/sealing/node.ts'

export const crypto = createSealingCrypto()
export const now = new Date('2026-03-01T12:00:00Z')
export const SECRET = 'the canary sings in the coal mine'
const suites = [
  { kdf: 1, aead: 2 },
  { kdf: 1, aead: 3 },
  { kdf: 1, aead: 1 },
] as const

export async function setup(kem: KemId = 0x647a, form: EnvelopeForm = 'chunked') {
  const keyPair = await generateKeyPair(kem, crypto)
  const keys: OhttpKey[] = [{ keyId: 7, keyPair, suites }]
  const chosen = chooseConfig([keyConfigOf(7, kem, keyPair.publicKey)])
  if (chosen === undefined) throw new Error('nothing chosen')
  const recipient = await importRecipient(chosen, crypto)
  const seal = async (body: Uint8Array = utf8(SECRET)) =>
    sealRequest({
      recipient,
      request: {
        method: 'POST',
        path: '/v1/chat/completions',
        headers: [['content-type', 'application/json']],
        body,
      },
      hints: 'model="m"',
      now,
      crypto,
      form,
    })
  const open = async (
    sealed: Pick<SealedRequest, 'mediaType'>,
    body: AsyncIterable<Uint8Array> | Uint8Array,
    replay = new ReplayCache(crypto),
  ) =>
    openRequest({
      keys,
      mediaType: sealed.mediaType,
      body: body instanceof Uint8Array ? stream(body) : body,
      replay,
      now,
      crypto,
      limit: 1 << 20,
    })
  return { keys, seal, open }
}

export async function* stream(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield part
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts = []
  for await (const bytes of source) parts.push(bytes)
  return concat(...parts)
}

/** The error, typed, or a failed test. */
export async function failure(attempt: Promise<unknown>): Promise<VouchsafeError> {
  const result = await attempt.then(
    () => 'no error at all',
    (error: unknown) => error,
  )
  if (!(result instanceof VouchsafeError)) throw new Error('not typed', { cause: result })
  expect(result.message).not.toContain('canary')
  return result
}

export const EVENTS = ['one', 'two', 'three'].map((word) => utf8(`data: ${word} ${SECRET}\n\n`))
export const answer = (opened: OpenedRequest) =>
  opened.respond({
    status: 200,
    headers: [['content-type', 'text/event-stream']],
    body: stream(...EVENTS),
  })
