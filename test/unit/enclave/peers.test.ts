import { describe, expect, it } from 'vitest'
import {
  createBrokerPeer,
  createGatewayPeer,
  createVerifierPeer,
  type Fetch,
} from '../../../src/enclave/peers/http.ts'

type Asked = Parameters<Fetch>[0]
const attestation = {
  format: 'simulated',
  evidence: Uint8Array.of(1, 2, 3),
  endorsements: { certificates: [], crls: [], tcbInfos: [], qeIdentities: [] },
} as const

function answering(status: number, document: unknown): { fetch: Fetch; asked: Asked[] } {
  const asked: Asked[] = []
  const text = typeof document === 'string' ? document : JSON.stringify(document)
  const fetch: Fetch = async (request) => {
    asked.push(request)
    return { status, body: new TextEncoder().encode(text) }
  }
  return { fetch, asked }
}

const release = {
  jwe: { ciphertext: '' },
  key: { uri: 'kbs:///a/b/c', version: 4 },
  lease: { id: 'lease', expires_at: 1_790_000_000 },
  log: { index: 7 },
}
const KEY = 'kbs:///a/b/c?version=4'
const proof = { ear: 'e.a.r', keyset: { k: 1 } }

describe('verifier', () => {
  it('speaks the wire form of challenges and appraisals', async () => {
    const nonce = 'ab'.repeat(32)
    const first = answering(201, { nonce, expires_at: 1 })
    expect(await createVerifierPeer(first.fetch, 'http://v').challenge()).toBe(nonce)
    expect(first.asked[0]).toMatchObject({ url: 'http://v/v1/challenges', body: '{}' })
    const second = answering(200, {
      ear: 'e.a.r',
      tier: 'contraindicated',
      policy: { id: 'p', digest: 'sha256:x' },
      checks: [
        { id: 'a', outcome: 'pass', expected: '', actual: '' },
        { id: 'b', outcome: 'fail', expected: '1', actual: '2' },
        { id: 'c', outcome: 'waived', expected: '', actual: '' },
      ],
      tcb: null,
      log: { index: 3 },
    })
    const request = {
      nonce,
      statement: 's',
      policy: undefined,
      devicePolicy: undefined,
      attestations: [attestation] as const,
    }
    expect(await createVerifierPeer(second.fetch, 'http://v').appraise(request)).toEqual({
      ear: 'e.a.r',
      tier: 'contraindicated',
      policyId: 'p',
      policyDigest: 'sha256:x',
      passed: 1,
      failed: ['b: want 1, got 2'],
      logIndex: 3,
    })
    expect(JSON.parse(second.asked[0]?.body ?? '')).toEqual({
      nonce,
      statement: 's',
      evidence: [{ format: 'simulated', evidence: 'AQID' }],
      endorsements: { certificates: [], crls: [], tcb_infos: [], qe_identities: [] },
    })
  })
})

describe('broker', () => {
  it('asks for the version that the manifest names', async () => {
    const { fetch, asked } = answering(200, release)
    expect(await createBrokerPeer(fetch, 'http://b').release(KEY, proof)).toEqual({
      jwe: { ciphertext: '' },
      uri: 'kbs:///a/b/c',
      version: 4,
      leaseId: 'lease',
      leaseExpiresAt: 1_790_000_000,
      logIndex: 7,
    })
    expect(asked[0]?.url).toBe('http://b/v1/keys/a/b/c/release')
    expect(JSON.parse(asked[0]?.body ?? '')).toEqual({ ...proof, version: 4 })
  })

  it.each([
    [403, { code: 'ERR_RELEASE_DENIED', at: 'policy', detail: 'tdx.debug' }, 'ERR_RELEASE_DENIED'],
    [403, { code: 'ERR_NOT_YET_INVENTED' }, 'ERR_REQUEST_FORBIDDEN'],
    [403, '<html>', 'ERR_UPSTREAM_UNAVAILABLE'],
    [503, { code: 'ERR_LOG_UNAVAILABLE' }, 'ERR_LOG_UNAVAILABLE'],
    [500, { code: 'ERR_POLICY_INVALID' }, 'ERR_UPSTREAM_UNAVAILABLE'],
    [302, {}, 'ERR_REQUEST_FORBIDDEN'],
    [200, { ...release, lease: {} }, 'ERR_UPSTREAM_UNAVAILABLE'],
    [200, { ...release, key: { uri: 'x', version: 1.5 } }, 'ERR_UPSTREAM_UNAVAILABLE'],
    [200, { ...release, jwe: undefined }, 'ERR_UPSTREAM_UNAVAILABLE'],
    [200, [], 'ERR_UPSTREAM_UNAVAILABLE'],
    [200, 'null', 'ERR_UPSTREAM_UNAVAILABLE'],
    [200, '\ufeff{', 'ERR_UPSTREAM_UNAVAILABLE'],
  ])('an answer of %i %j is %s', async (status, document, code) => {
    const { fetch } = answering(status, document)
    await expect(createBrokerPeer(fetch, 'http://b').release(KEY, proof)).rejects.toMatchObject({
      code,
    })
  })

  it('a key without a version cannot be asked for by accident: names are read strictly', async () => {
    const { fetch } = answering(200, release)
    const peer = createBrokerPeer(fetch, 'http://b')
    await expect(peer.release('kbs:///a/../c?version=1', proof)).rejects.toMatchObject({
      code: 'ERR_MANIFEST_MALFORMED',
    })
  })
})

it('the gateway gets the provider token, and only it', async () => {
  const { fetch, asked } = answering(201, { id: 'n', expires_at: 5, log: { index: 9 } })
  const peer = createGatewayPeer(fetch, 'http://g', 'vs-token')
  const enclave = { url: 'http://e', keyset: {}, ear: 'e.a.r' }
  expect(await peer.register(enclave)).toEqual({ id: 'n', expiresAt: 5, logIndex: 9 })
  expect(asked[0]?.headers['authorization']).toBe('Bearer vs-token')
})

it('the gateway is told of an end with the same token; one it has forgotten is as good', async () => {
  const { fetch, asked } = answering(204, '')
  await createGatewayPeer(fetch, 'http://g', 'vs-token').withdraw('node_1')
  expect(asked[0]).toMatchObject({ method: 'DELETE', url: 'http://g/v1/enclaves/node_1' })
  expect(asked[0]?.headers['authorization']).toBe('Bearer vs-token')
  const gone = answering(404, { code: 'ERR_RESOURCE_NOT_FOUND' })
  await createGatewayPeer(gone.fetch, 'http://g', 't').withdraw('node_1')
  const refused = answering(401, { code: 'ERR_REQUEST_UNAUTHORIZED' })
  await expect(
    createGatewayPeer(refused.fetch, 'http://g', 't').withdraw('x'),
  ).rejects.toMatchObject({ code: 'ERR_REQUEST_UNAUTHORIZED' })
})
