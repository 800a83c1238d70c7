// One machine, started once, and everything it is good for: three subjects of one fixture.
/* eslint-disable max-lines -- the fixture would be started three times */
/** A machine of several devices at a verifier, and what its EAR is good for: keys, and an audit. */
import type { FastifyInstance } from 'fastify'
import { decodeJwt, type JWK } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Check } from '../../src/core/appraisal/check.ts'
import { checkTogether } from '../../src/core/appraisal/composite.ts'
import { decodeEar, earTier } from '../../src/core/attestation-result/ear.ts'
import { replayLeaf } from '../../src/core/audit/replay.ts'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { fromHex } from '../../src/core/bytes/hex.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { decideRelease } from '../../src/core/keys/release.ts'
import type { BlobStore } from '../../src/core/ports/log.ts'
import { statementText } from '../../src/core/sealing/statement.ts'
import type { AppraisalLeaf, Leaf } from '../../src/core/tlog/leaf.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { digestOf, KEYSET, recordKeyset, recordRelease } from '../support/audit.ts'
import {
  derivedNonce,
  MACHINE_AT,
  mintMachine,
  PROTECTED,
  type Shown,
  type TestMachine,
} from '../support/machine.ts'
import { createMachineVerifier, ISSUER } from '../support/machine-verifier.ts'
import { decisionInput } from '../support/release.ts'

const crypto = createCrypto()
const UNIX = MACHINE_AT.getTime() / 1000
let machine: TestMachine
let app: FastifyInstance
let keys: readonly JWK[]
let keysetDigest: string
let leaves: Leaf[]
let blobs: ReadonlyMap<string, Uint8Array>
let store: BlobStore

beforeAll(async () => {
  machine = mintMachine(2)
  keysetDigest = await digestOf(KEYSET)
  ;({ app, keys, leaves, blobs, store } = await createMachineVerifier(machine))
})
afterAll(async () => app.close())
beforeEach(() => {
  leaves.length = 0
})

const challenge = async (): Promise<Uint8Array> => {
  const { nonce } = (await app.inject({ method: 'POST', url: '/v1/challenges' })).json<{
    nonce: string
  }>()
  return fromHex(nonce, { code: 'ERR_REQUEST_INVALID', at: 'test' })
}
const post = async ({ statement, parts }: Shown, nonce: Uint8Array, change: object = {}) =>
  app.inject({
    method: 'POST',
    url: '/v1/appraisals',
    payload: {
      nonce: Buffer.from(nonce).toString('hex'),
      statement,
      evidence: parts.map(({ format, evidence }) => ({ format, evidence: toBase64url(evidence) })),
      ...change,
    },
  })

interface Answer {
  readonly ear: string
  readonly tier: string
  readonly log: { readonly index: number }
  readonly together?: readonly Check[]
  readonly submodules?: Readonly<Record<string, { tier: string; log: { index: number } }>>
}

async function answered(made: (nonce: Uint8Array) => Promise<Shown>): Promise<Answer> {
  const nonce = await challenge()
  const res = await post(await made(nonce), nonce)
  expect(res.statusCode, res.body).toBe(200)
  return res.json<Answer>()
}
const honest = async (nonce: Uint8Array) => machine.honest({ nonce, keysetDigest })
/** One of the GPUs runs something that nobody published. */
const tampered = async (nonce: Uint8Array): Promise<Shown> => {
  const derived = await derivedNonce(nonce)
  const odd = { measurements: { 0: new Uint8Array(48).fill(7) } }
  const parts = [machine.gpu(0, derived), machine.gpu(1, derived, odd)]
  return machine.show(parts, { nonce, keysetDigest })
}
const claimsOf = ({ ear }: Answer) => decodeJwt(ear) as unknown as Readonly<Record<string, Json>>
const decide = (claims: Json, policy?: Json) =>
  decideRelease(
    decisionInput({ claims, keysetDigest, at: UNIX, ...(policy !== undefined && { policy }) }),
  )

describe('POST /v1/appraisals', () => {
  it('gives one EAR with a submodule for each, and a leaf for each, the CPU’s last', async () => {
    const answer = await answered(honest)
    expect(answer).toMatchObject({ tier: 'affirming', policy: { id: 'authentic-tdx' } })
    expect(Object.keys(answer.submodules ?? {})).toEqual(['cpu0', 'gpu0', 'gpu1'])
    const ear = await decodeEar(answer.ear, { issuer: ISSUER, keys, now: MACHINE_AT })
    expect(earTier(ear)).toBe('affirming')
    expect(ear).toMatchObject({ keysetDigest, logIndex: 2, logIndexes: { cpu0: 2 } })
    expect(leaves).toHaveLength(3)
    for (const [name, index] of Object.entries(ear.logIndexes ?? {})) {
      const leaf = leaves[index] as AppraisalLeaf
      expect(leaf.evidence[0]?.digest).toBe(
        ear.evidenceDigests[Object.keys(ear.results).indexOf(name)],
      )
      expect(answer.submodules?.[name]?.log.index).toBe(index)
    }
    expect((leaves[2] as AppraisalLeaf).evidence[0]?.format).toBe('tdx')
    expect(answer.together).toEqual(checkTogether(ear.results))
  })

  it('answers in the old shape where there is one', async () => {
    const nonce = await challenge()
    const statement = statementText({ keysetDigest, nonce: Buffer.from(nonce).toString('hex') })
    const res = await post({ statement, parts: [await machine.cpu(statement)] }, nonce)
    const answer = res.json<Answer>()
    expect(Object.keys(answer)).toEqual(['ear', 'tier', 'policy', 'checks', 'tcb', 'log'])
    expect(claimsOf(answer)).not.toHaveProperty(['vouchsafe.log_indexes'])
  })

  it('says which part is not good, and vouches for what it saw', async () => {
    const answer = await answered(tampered)
    expect(answer).toMatchObject({
      tier: 'contraindicated',
      submodules: {
        cpu0: { tier: 'affirming' },
        gpu0: { tier: 'affirming' },
        gpu1: { tier: 'contraindicated' },
      },
    })
    const ear = await decodeEar(answer.ear, { issuer: ISSUER, keys, now: MACHINE_AT })
    expect(earTier(ear)).toBe('contraindicated')
  })

  const change =
    (parts: (shown: Shown) => readonly Shown['parts'][number][]) => (shown: Shown) => ({
      ...shown,
      parts: parts(shown),
    })
  it.each<[string, string, (shown: Shown) => Shown]>([
    ['a device left out', 'ERR_STATEMENT_MALFORMED', change(({ parts }) => parts.slice(0, 2))],
    ['all of them left out', 'ERR_STATEMENT_MALFORMED', change(({ parts }) => parts.slice(0, 1))],
    [
      'one more',
      'ERR_STATEMENT_MALFORMED',
      change(({ parts }) => [...parts, ...parts.slice(1, 2)]),
    ],
    [
      'the order swapped',
      'ERR_STATEMENT_MALFORMED',
      change(({ parts }) => [...parts].toReversed()),
    ],
    ['no CPU', 'ERR_REQUEST_INVALID', change(({ parts }) => parts.slice(1))],
    ['two CPUs', 'ERR_REQUEST_INVALID', change(({ parts }) => [...parts.slice(0, 1), ...parts])],
  ])('refuses %s without using the challenge up', async (_, code, wrong) => {
    const nonce = await challenge()
    const shown = await honest(nonce)
    expect((await post(wrong(shown), nonce)).json()).toMatchObject({ status: 400, code })
    expect((await post(shown, nonce)).json()).toMatchObject({ tier: 'affirming' })
  })

  it('refuses evidence that another machine made for this very challenge', async () => {
    const nonce = await challenge()
    const { statement, parts } = await honest(nonce)
    const foreign = machine.gpu(1, await derivedNonce(nonce))
    const shown = { statement, parts: [...parts.slice(0, 2), foreign] }
    expect((await post(shown, nonce)).json()).toMatchObject({ code: 'ERR_STATEMENT_MALFORMED' })
    expect(leaves).toEqual([])
  })

  it('signs nothing about one GPU that answered twice', async () => {
    const nonce = await challenge()
    const derived = await derivedNonce(nonce)
    const parts = [machine.gpu(0, derived), machine.gpu(0, derived)]
    const res = await post(await machine.show(parts, { nonce, keysetDigest }), nonce)
    expect(res.json()).toMatchObject({
      status: 403,
      code: 'ERR_RESULT_NOT_AFFIRMING',
      at: 'composite.distinct',
    })
  })

  it('signs nothing about a GPU in protected PCIe without its switches', async () => {
    const nonce = await challenge()
    const parts = [machine.gpu(0, await derivedNonce(nonce), { records: PROTECTED })]
    const res = await post(await machine.show(parts, { nonce, keysetDigest }), nonce)
    expect(res.json()).toMatchObject({ status: 403, at: 'nvfabric.size' })
  })

  it.each([
    [
      'too many',
      { evidence: Array.from({ length: 18 }, () => ({ format: 'tdx', evidence: 'AA' })) },
    ],
    ['an unknown member', { evidence: [{ format: 'tdx', evidence: 'AA', skip: true }] }],
    ['a policy for another format', { policy: 'authentic-tdx' }],
  ])('refuses %s', async (_, body) => {
    const nonce = await challenge()
    const res = await post(await honest(nonce), nonce, body)
    expect([400, 404]).toContain(res.statusCode)
  })

  it('takes a policy for each', async () => {
    const nonce = await challenge()
    const { statement, parts } = await honest(nonce)
    const evidence = parts.map(({ format, evidence: bytes }) => {
      return { format, evidence: toBase64url(bytes), policy: `authentic-${format}` }
    })
    const endorsements = endorsementsToJson(machine.endorsements)
    const res = await post({ statement, parts }, nonce, { evidence, endorsements })
    expect(res.json()).toMatchObject({ tier: 'affirming' })
  })
})

describe('a release of a key', () => {
  const where = (claim: string, equals: Json) => ({ claim, equals })
  const policyOf = (...allOf: Json[]) => ({
    version: '1.0.0',
    anyOf: [{ authority: ISSUER, allOf }],
  })

  it('can ask for every GPU by name, for their number, and for what they claim', async () => {
    const claims = claimsOf(await answered(honest))
    const gpu = (i: number) => where(`submods.gpu${i}.ear\\.status`, 'affirming')
    const exactly = { claim: 'submods.gpu2', exists: false }
    const format = where('submods.gpu0.vouchsafe\\.result.format', 'nvidia-gpu')
    const arch = where('submods.gpu1.vouchsafe\\.result.claims.arch', 'HOPPER')
    const policy = policyOf(gpu(0), gpu(1), exactly, format, arch)
    expect(decide(claims, policy)).toMatchObject({ release: true })
    for (const wrong of [gpu(2), where('submods.switch0.ear\\.status', 'affirming')]) {
      expect(decide(claims, policyOf(gpu(0), wrong))).toMatchObject({
        release: false,
        code: 'ERR_RELEASE_DENIED',
      })
    }
  })

  it('never happens beside a contraindicated GPU, whatever the policy asks', async () => {
    const claims = claimsOf(await answered(tampered))
    const open = policyOf(where('submods.cpu0.ear\\.status', 'affirming'))
    expect(decide(claims, open)).toMatchObject({
      release: false,
      code: 'ERR_RESULT_NOT_AFFIRMING',
      at: 'ear.submods.gpu1',
    })
  })

  it('never happens for GPUs alone', async () => {
    const claims = claimsOf(await answered(honest))
    const { gpu0, gpu1 } = claims['submods'] as Readonly<Record<string, Json>>
    const open = policyOf(where('submods.gpu0.ear\\.status', 'affirming'))
    expect(decide({ ...claims, submods: { gpu0, gpu1 } }, open)).toMatchObject({
      release: false,
      at: 'ear.submods',
    })
  })
})

describe('an audit', () => {
  const appraisalAt = (index: number): AppraisalLeaf | undefined => {
    const leaf = leaves[index]
    return leaf?.type === 'appraisal' ? leaf : undefined
  }
  const replay = async (leaf: Leaf) => {
    const source = { read: async (path: string) => blobs.get(path)?.slice() }
    const tools = { source, crypto, memo: createMemo(0), anchors: machine.anchors, appraisalAt }
    return replayLeaf(leaf, tools)
  }

  it('makes every verdict again, and the release and the keyset that rest on all of them', async () => {
    const claims = claimsOf(await answered(honest))
    for (const leaf of leaves) expect(await replay(leaf)).toEqual({ outcome: 'same' })
    const input = decisionInput({ claims, keysetDigest, at: UNIX })
    expect(await replay(await recordRelease(input, store))).toEqual({ outcome: 'same' })
    expect(await replay(await recordKeyset(claims, store))).toEqual({ outcome: 'same' })
  })

  it.each<[string, RegExp, (claims: Claims) => Claims]>([
    [
      'leaves a submodule out',
      /names 2 devices, the EAR has 1/,
      (claims) => withParts(claims, ['cpu0', 'gpu0']),
    ],
    [
      'leaves all devices out',
      /names 2 devices, the EAR has 0/,
      (claims) => withParts(claims, ['cpu0']),
    ],
    [
      'renames one',
      /recomputed a refusal|names no appraisal|ERR_RESULT_NOT_AFFIRMING/,
      (claims) => renamed(claims, 'gpu1', 'gpu2'),
    ],
    [
      'swaps two',
      /does not say what/,
      (claims) => ({
        ...claims,
        'vouchsafe.log_indexes': {
          ...claims['vouchsafe.log_indexes'],
          gpu0: claims['vouchsafe.log_indexes']['gpu1'] ?? 0,
          gpu1: claims['vouchsafe.log_indexes']['gpu0'] ?? 0,
        },
      }),
    ],
    [
      'swaps the digests of two pieces of evidence',
      /about other evidence than leaf 0/,
      (claims) => {
        const [cpu = '', first = '', second = ''] = claims['vouchsafe.evidence']
        return { ...claims, 'vouchsafe.evidence': [cpu, second, first] }
      },
    ],
    [
      'names other evidence of its CPU',
      /about other evidence than leaf 2/,
      (claims) => {
        const [, ...others] = claims['vouchsafe.evidence']
        return { ...claims, 'vouchsafe.evidence': [`sha256:${'0'.repeat(64)}`, ...others] }
      },
    ],
    [
      'names less evidence than it has submodules',
      /names 2 pieces of evidence/,
      (claims) => ({ ...claims, 'vouchsafe.evidence': claims['vouchsafe.evidence'].slice(0, 2) }),
    ],
    [
      'names no leaves',
      /names no appraisal/,
      (claims) => ({ ...claims, 'vouchsafe.log_indexes': {} }),
    ],
  ])('finds an EAR that %s', async (_, why, change) => {
    const claims = change(claimsOf(await answered(honest)) as unknown as Claims)
    const input = decisionInput({ claims: claims as unknown as Json, keysetDigest, at: UNIX })
    for (const leaf of [
      await recordRelease(input, store),
      await recordKeyset(input.claims, store),
    ]) {
      expect(await replay(leaf)).toMatchObject({
        outcome: 'differs',
        detail: expect.stringMatching(why) as string,
      })
    }
  })

  it('finds an EAR with a GPU of another machine’s appraisal', async () => {
    const first = claimsOf(await answered(honest)) as unknown as Claims
    const nonce = await challenge()
    const second = (await post(await honest(nonce), nonce)).json<Answer>()
    const later = claimsOf(second) as unknown as Claims
    const mixed = {
      ...first,
      submods: { ...first.submods, gpu1: later.submods['gpu1'] ?? null },
      'vouchsafe.evidence': [
        ...first['vouchsafe.evidence'].slice(0, 2),
        ...later['vouchsafe.evidence'].slice(2),
      ],
      'vouchsafe.log_indexes': {
        ...first['vouchsafe.log_indexes'],
        gpu1: later['vouchsafe.log_indexes']['gpu1'] ?? 0,
      },
    } as unknown as Json
    const leaf = await recordKeyset(mixed, store)
    expect(await replay(leaf)).toMatchObject({ outcome: 'differs' })
  })
})

interface Claims {
  readonly submods: Readonly<Record<string, Json>>
  readonly 'vouchsafe.evidence': readonly string[]
  readonly 'vouchsafe.log_indexes': Readonly<Record<string, number>>
}

function withParts(claims: Claims, names: readonly string[]): Claims {
  const pick = <T>(from: Readonly<Record<string, T>>) =>
    Object.fromEntries(Object.entries(from).filter(([name]) => names.includes(name)))
  const kept = Object.keys(claims.submods).flatMap((name, i) => (names.includes(name) ? [i] : []))
  return {
    ...claims,
    submods: pick(claims.submods),
    'vouchsafe.evidence': kept.map((i) => claims['vouchsafe.evidence'][i] ?? ''),
    'vouchsafe.log_indexes': pick(claims['vouchsafe.log_indexes']),
  }
}

function renamed(claims: Claims, from: string, to: string): Claims {
  const entries = Object.entries(claims.submods).map(
    ([name, submod]) => [name === from ? to : name, submod] as const,
  )
  return { ...claims, submods: Object.fromEntries(entries) }
}
