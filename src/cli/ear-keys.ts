/** The Verifier's public keys, for auditors: from its JWKS address, or from a file they kept. @packageDocumentation */
import { earSignatureCheck } from '../core/attestation-result/ear.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { createHttpClient } from '../drivers/http.ts'
import { readWithin } from './input-file.ts'
import { usage } from './usage.ts'

const TIMEOUT_MS = 30_000
const MAX_BYTES = 256 * 1024
const BLAME = { code: 'ERR_USAGE_INVALID', at: 'cli.ear-keys' } as const

/**
 * Reads a JWK set.
 *
 * @returns Whether one of its keys signed an EAR.
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if it is not there, or is no set of public P-256
 *   keys: an empty one would check nothing and look as if it had.
 */
export async function readEarKeys(where: string): Promise<(ear: string) => Promise<boolean>> {
  const text = new TextDecoder().decode(await read(where))
  const set = parseJson(text, BLAME) as { readonly keys?: unknown } | null
  const keys: readonly unknown[] = Array.isArray(set?.keys) ? set.keys : []
  if (keys.length === 0) throw usage('ear-keys', `${where} has no keys`)
  return earSignatureCheck(keys.map(asKey), BLAME)
}

function asKey(value: unknown): object {
  if (typeof value === 'object' && value !== null) return value
  throw usage('ear-keys', 'want a JWK set')
}

async function read(where: string): Promise<Uint8Array> {
  if (!/^https?:\/\//.test(where)) return readWithin(where, { flag: 'ear-keys', most: MAX_BYTES })
  try {
    return await fetchKeys(where)
  } catch (cause) {
    throw usage('ear-keys', `cannot read ${where}`, cause)
  }
}

async function fetchKeys(url: string): Promise<Uint8Array> {
  const client = createHttpClient()
  try {
    const { status, body } = await client.fetch({ url, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES })
    if (status === 200) return body
    throw usage('ear-keys', `${url} answers ${status}`)
  } finally {
    await client.close()
  }
}
