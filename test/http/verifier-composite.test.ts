/** A machine of several devices at a verifier: one EAR, and a leaf for each. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { decodeEar, earTier } from '../../src/core/attestation-result/ear.ts'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import { statementText } from '../../src/core/sealing/statement.ts'
import type { AppraisalLeaf } from '../../src/core/tlog/leaf.ts'
import { derivedNonce, MACHINE_AT, type Shown } from '../support/machine.ts'

import {
  type Answer,
  answered,
  challenge,
  claimsOf,
  honest,
  ISSUER,
  keys,
  keysetDigest,
  leaves,
  machine,
  post,
  startMachineVerifier,
  stopMachineVerifier,
  tampered,
} from '../support/machine-verifier.ts'

beforeAll(startMachineVerifier)
afterAll(stopMachineVerifier)
beforeEach(() => {
  leaves.length = 0
})

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
