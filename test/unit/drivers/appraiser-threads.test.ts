import { afterEach, describe, expect, it } from 'vitest'
import { appraise } from '../../../src/core/appraisal/appraise.ts'
import { encodeInput, encodeResult } from '../../../src/core/appraisal/record.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import type { AppraisalTask } from '../../../src/core/ports/appraiser.ts'
import { createThreadAppraiser } from '../../../src/drivers/appraiser/threads.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { openAppraiser } from '../../../src/main/appraiser.ts'
import { mintedInput } from '../../support/minted-input.ts'

const crypto = createCrypto()
const NOTHING = new Uint8Array(0)
const order = (text: string): AppraisalTask => ({
  format: 'tdx',
  now: new Date(0),
  blobs: {
    evidence: utf8(text),
    endorsements: NOTHING,
    policy: NOTHING,
    referenceValues: NOTHING,
    binding: NOTHING,
  },
})
const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(async (one) => one.close()))
})

const OK = { result: { policyId: 'ok' } }

describe('threads', () => {
  const faults: unknown[] = []
  const start = (threads: number, timeoutMs = 20_000) => {
    faults.length = 0
    const appraiser = createThreadAppraiser({
      entry: new URL('../../support/appraisal-thread.ts', import.meta.url),
      anchors: VENDOR_ANCHORS,
      threads,
      timeoutMs,
      onFault: (err) => faults.push(err),
    })
    open.push(appraiser)
    return appraiser
  }
  const overloaded = { code: 'ERR_OVERLOADED', kind: 'unavailable', at: 'verifier.appraisal' }

  it('answer many at once, each its own', async () => {
    const pool = start(2)
    const names = Array.from({ length: 40 }, (_, i) => `p${i}`)
    const results = await Promise.all(names.map(async (name) => pool.appraise(order(name))))
    expect(results.map(({ result }) => result.policyId)).toEqual(names)
    expect(faults).toEqual([])
  })

  it('give typed errors back as they were, and bugs as bugs', async () => {
    const pool = start(1)
    await expect(pool.appraise(order('refuse'))).rejects.toMatchObject({
      name: 'VouchsafeError',
      code: 'ERR_EVIDENCE_MALFORMED',
      at: 'a.b',
      message: 'a.b: c: d',
    })
    await expect(pool.appraise(order('throw'))).rejects.toThrow('RangeError: a bug')
    await expect(pool.appraise(order('ok'))).resolves.toMatchObject(OK)
  })

  it('that die are replaced, and their work is refused as something to try again', async () => {
    const pool = start(1)
    const [dead, beside] = await Promise.allSettled([
      pool.appraise(order('die')),
      pool.appraise(order('beside')),
    ])
    expect(dead).toMatchObject({ status: 'rejected', reason: overloaded })
    expect(beside).toMatchObject({ status: 'rejected', reason: overloaded })
    expect(faults).toHaveLength(1)
    await expect(pool.appraise(order('ok'))).resolves.toMatchObject(OK)
  })

  it('that hang are ended, however they hang', async () => {
    const pool = start(2, 1_500)
    await expect(pool.appraise(order('spin'))).rejects.toMatchObject(overloaded)
    expect(faults).toHaveLength(1)
    await expect(pool.appraise(order('ok'))).resolves.toMatchObject(OK)
  })

  it('that hang take nothing along that was still waiting, nor are busy ones ended', async () => {
    const pool = start(1, 5_000)
    const names = Array.from({ length: 12 }, (_, i) => `w${i}`)
    const spinning = pool.appraise(order('spin'))
    const hung = expect(spinning).rejects.toMatchObject(overloaded)
    const waiting = names.map(async (name) => pool.appraise(order(name)))
    await hung
    const settled = await Promise.allSettled(waiting)
    const lost = settled.filter(({ status }) => status === 'rejected')
    // Only what the thread was given together with it.
    expect(lost.length).toBeLessThan(4)
    // Each takes an eighth of what a thread may take, and all of them together half as much again.
    const slow = names.map(async () => pool.appraise(order('slow')))
    expect(await Promise.all(slow)).toHaveLength(names.length)
    expect(faults).toHaveLength(1)
  })

  it('refuse work once closed, and what is at work', async () => {
    const appraiser = start(1)
    const spinning = appraiser.appraise(order('spin'))
    const refused = expect(spinning).rejects.toMatchObject(overloaded)
    await appraiser.close()
    await refused
    await expect(appraiser.appraise(order('ok'))).rejects.toMatchObject(overloaded)
    expect(faults).toEqual([])
  })
})

describe('the verifier’s appraiser', () => {
  it.each([0, 2])('gives the same bytes of result as `appraise`: %i threads', async (threads) => {
    const input = mintedInput('tdx')
    const { format, anchors, now } = input
    const faults: unknown[] = []
    const onFault = (err: unknown): void => {
      faults.push(err)
    }
    const appraiser = openAppraiser(threads, anchors, { crypto, onFault })
    open.push(appraiser)
    const memo = createMemo(0)
    const cold = new Date('2060-01-01T00:00:00Z')
    for (const time of [now, cold, now]) {
      const task = { format, now: time, blobs: encodeInput(input) }
      const expected = await appraise({ ...input, now: time }, { crypto, memo })
      const { result, encoded } = await appraiser.appraise(task)
      expect(encoded).toEqual(encodeResult(expected))
      expect(encodeResult(result)).toEqual(encoded)
      expect(expected.tier).toBe(time === now ? 'affirming' : 'contraindicated')
    }
    const broken = { ...encodeInput(input), evidence: input.evidence.subarray(0, 100) }
    await expect(appraiser.appraise({ format, now, blobs: broken })).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_MALFORMED',
    })
    expect(faults).toEqual([])
  })
})
