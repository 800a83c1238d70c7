/** The peers of `peer.ts` over HTTP. @packageDocumentation */
import { toBase64url } from '../../core/bytes/base64url.ts'
import type { Json } from '../../core/encoding/canonical-json.ts'
import { parseJson } from '../../core/encoding/json-source.ts'
import { endorsementsToJson } from '../../core/endorsements/endorsement-set.ts'
import { ERROR_CODES, type ErrorCode, VouchsafeError } from '../../core/errors.ts'
import { parseKeyUri } from '../../core/keys/uri.ts'
import type { Attestation } from '../../core/ports/attester.ts'
import { endorsementsOf } from '../evidence.ts'
import type { AppraisalRequest, BrokerPeer, GatewayPeer, VerifierPeer } from './peer.ts'
import { Reader } from './reader.ts'

const TIMEOUT_MS = 30_000
/** Short: whoever stops us waits for it. */
const WITHDRAW_MS = 3_000
const MAX_ANSWER = 4 * 1024 * 1024
const TIERS = ['none', 'affirming', 'warning', 'contraindicated'] as const

/** As much of an HTTP client as peers need; `drivers/http.ts` has one. */
export type Fetch = (request: {
  readonly url: string
  readonly method: 'POST' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly timeoutMs: number
  readonly maxBytes: number
}) => Promise<{ readonly status: number; readonly body: Uint8Array }>

interface Endpoint {
  readonly fetch: Fetch
  /** Without a trailing slash. */
  readonly baseUrl: string
  /** Where a failure is blamed: `verifier`, `broker`, `gateway`. */
  readonly at: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The verifier at a base URL. */
export function createVerifierPeer(fetch: Fetch, baseUrl: string): VerifierPeer {
  const endpoint = { fetch, baseUrl, at: 'verifier' }
  return {
    challenge: async () => {
      const answer = await post(endpoint, '/v1/challenges', {})
      return answer.text('nonce', /^[0-9a-f]{64}$/)
    },
    appraise: async (request) => {
      const answer = await post(endpoint, '/v1/appraisals', appraisalBody(request))
      const checks = checksOf(answer)
      return {
        ear: answer.text('ear'),
        tier: answer.oneOf('tier', TIERS),
        policyId: answer.object('policy').text('id'),
        policyDigest: answer.object('policy').text('digest'),
        passed: checks.filter(([, check]) => check.optional('outcome') === 'pass').length,
        failed: checks.flatMap(([prefix, check]) =>
          check.optional('outcome') === 'fail' ? [prefix + lineOf(check)] : [],
        ),
        logIndex: answer.object('log').natural('index'),
      }
    },
  }
}

function appraisalBody(request: AppraisalRequest): Json {
  const { nonce, statement, policy, devicePolicy, attestations } = request
  const [cpu, ...devices] = attestations
  const item = ({ format, evidence }: Attestation) => ({ format, evidence: toBase64url(evidence) })
  const endorsements = endorsementsToJson(endorsementsOf(attestations))
  if (devices.length === 0) return { nonce, statement, policy, evidence: [item(cpu)], endorsements }
  // Each has its own: a name that fits a CPU fits no device.
  const evidence = [
    { ...item(cpu), policy },
    ...devices.map((one) => ({ ...item(one), policy: devicePolicy })),
  ]
  return { nonce, statement, evidence, endorsements }
}

/** The checks of every submodule and over all, each with what to say before it. */
function checksOf(answer: Reader): readonly (readonly [string, Reader])[] {
  const submodules = answer.optional('submodules')
  if (submodules === undefined) return answer.list('checks').map((check) => ['', check])
  const all = answer.object('submodules')
  const names = typeof submodules === 'object' && submodules !== null ? Object.keys(submodules) : []
  const each = names.flatMap((name) =>
    all
      .object(name)
      .list('checks')
      .map((check) => [`${name} `, check] as const),
  )
  const together = answer.optional('together') === undefined ? [] : answer.list('together')
  return [...each, ...together.map((check) => ['', check] as const)]
}

function lineOf(check: Reader): string {
  return `${check.text('id')}: want ${check.text('expected')}, got ${check.text('actual')}`
}

/** The key broker at a base URL. */
export function createBrokerPeer(fetch: Fetch, baseUrl: string): BrokerPeer {
  const endpoint = { fetch, baseUrl, at: 'broker' }
  return {
    release: async (key, { ear, keyset }) => {
      const blame = { code: 'ERR_MANIFEST_MALFORMED', at: 'manifest.key' } as const
      const { namespace, type, name, version } = parseKeyUri(key, blame)
      const path = `/v1/keys/${namespace}/${type}/${name}/release`
      const answer = await post(endpoint, path, { ear, keyset, version })
      const lease = answer.object('lease')
      return {
        jwe: answer.json('jwe'),
        uri: answer.object('key').text('uri'),
        version: answer.object('key').natural('version'),
        leaseId: lease.text('id'),
        leaseExpiresAt: lease.natural('expires_at'),
        logIndex: answer.object('log').natural('index'),
      }
    },
  }
}

/** The gateway at a base URL, with the provider's token. */
export function createGatewayPeer(fetch: Fetch, baseUrl: string, token: string): GatewayPeer {
  const headers = { authorization: `Bearer ${token}` }
  const endpoint = { fetch, baseUrl, at: 'gateway', headers }
  return {
    register: async ({ url, keyset, ear }) => {
      const answer = await post(endpoint, '/v1/enclaves', { url, keyset, ear })
      return {
        id: answer.text('id'),
        expiresAt: answer.natural('expires_at'),
        logIndex: answer.object('log').natural('index'),
      }
    },
    withdraw: async (id) => {
      const path = `/v1/enclaves/${encodeURIComponent(id)}`
      const request = { url: baseUrl + path, headers, timeoutMs: WITHDRAW_MS, maxBytes: MAX_ANSWER }
      const { status, body } = await fetch({ ...request, method: 'DELETE' })
      if (status === 204 || status === 404) return
      throw refused({ at: 'gateway', path: '/v1/enclaves', status }, reader(body, 'gateway.answer'))
    },
  }
}

async function post(endpoint: Endpoint, path: string, document: Json): Promise<Reader> {
  const { fetch, baseUrl, at, headers } = endpoint
  const { status, body } = await fetch({
    url: baseUrl + path,
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(document),
    timeoutMs: TIMEOUT_MS,
    maxBytes: MAX_ANSWER,
  })
  const answer = reader(body, `${at}.answer`)
  if (status < 200 || status > 299) throw refused({ at, path, status }, answer)
  return answer
}

function reader(body: Uint8Array, at: string): Reader {
  return new Reader(readJson(body, at), at)
}

function readJson(body: Uint8Array, at: string): Json {
  // Whatever a peer sends that we cannot read is the peer's failure, and may pass.
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at } as const
  try {
    return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(body), blame)
  } catch (cause) {
    throw cause instanceof VouchsafeError
      ? cause
      : new VouchsafeError(blame, 'not UTF-8', { cause })
  }
}

/**
 * A problem document names its code, and the code's kind says what to do about it. A code that is
 * unknown here, or none, is judged by the status alone.
 */
function refused(
  { at, path, status }: { readonly at: string; readonly path: string; readonly status: number },
  problem: Reader,
): VouchsafeError {
  const named = problem.optional('code')
  const fallback: ErrorCode = status >= 500 ? 'ERR_UPSTREAM_UNAVAILABLE' : 'ERR_REQUEST_FORBIDDEN'
  const known = typeof named === 'string' && Object.hasOwn(ERROR_CODES, named)
  // Its misconfiguration is not ours: from here it is a peer that cannot answer.
  const foreign = known && status < 500
  const code = foreign || status === 503 ? ((known ? named : fallback) as ErrorCode) : fallback
  const place = problem.optional('at')
  const detail = problem.optional('detail')
  // A detail usually names its place itself.
  const said = typeof detail === 'string' ? detail : typeof place === 'string' ? place : ''
  return new VouchsafeError(
    { code, at: `${at}${path.replaceAll('/', '.')}` },
    `${status} ${said.slice(0, 2000)}`.trim(),
  )
}
