/** What a machine's EAR is good for: keys, and an audit. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { replayLeaf } from '../../src/core/audit/replay.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import type { AppraisalLeaf, Leaf } from '../../src/core/tlog/leaf.ts'
import { recordKeyset, recordRelease } from '../support/audit.ts'
import {
  type Answer,
  answered,
  blobs,
  challenge,
  claimsOf,
  crypto,
  decide,
  honest,
  ISSUER,
  keysetDigest,
  leaves,
  machine,
  post,
  startMachineVerifier,
  stopMachineVerifier,
  store,
  tampered,
  UNIX,
} from '../support/machine-verifier.ts'
import { decisionInput } from '../support/release.ts'

beforeAll(startMachineVerifier)
afterAll(stopMachineVerifier)
beforeEach(() => {
  leaves.length = 0
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
  readonly 'vouchsafe.log_indexes': Readonly<Record<string, number>>
}

function withParts(claims: Claims, names: readonly string[]): Claims {
  const pick = <T>(from: Readonly<Record<string, T>>) =>
    Object.fromEntries(Object.entries(from).filter(([name]) => names.includes(name)))
  return {
    ...claims,
    submods: pick(claims.submods),
    'vouchsafe.log_indexes': pick(claims['vouchsafe.log_indexes']),
  }
}

function renamed(claims: Claims, from: string, to: string): Claims {
  const entries = Object.entries(claims.submods).map(
    ([name, submod]) => [name === from ? to : name, submod] as const,
  )
  return { ...claims, submods: Object.fromEntries(entries) }
}
