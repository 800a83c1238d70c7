import { describe, expect, it } from 'vitest'
import { createHistory } from '../../../src/core/audit/history.ts'
import type { AppraisalLeaf, KeyLeaf, Leaf, ReleaseLeaf } from '../../../src/core/tlog/leaf.ts'
import { leafOf } from '../../support/log.ts'

const digest = (byte: string): string => `sha256:${byte.repeat(32)}`
const key = (change: Partial<KeyLeaf>): KeyLeaf => ({
  v: 1,
  type: 'key',
  time: 1000,
  key: 'kbs:///a/b/c',
  version: 1,
  action: 'create',
  policy: digest('aa'),
  ...change,
})
const release = (change: Partial<ReleaseLeaf> = {}): ReleaseLeaf => ({
  v: 1,
  type: 'release',
  time: 5000,
  key: 'kbs:///a/b/c',
  version: 1,
  lease: 'l',
  decision: digest('01'),
  ear: digest('02'),
  policy: digest('aa'),
  recipient: 'A'.repeat(43),
  ...change,
})
const appraisal = (policy: string): AppraisalLeaf => ({
  v: 1,
  type: 'appraisal',
  time: 1000,
  evidence: [{ format: 'tdx', digest: digest('03') }],
  endorsements: digest('04'),
  policy,
  policy_id: 'p',
  reference_values: digest('05'),
  binding: digest('06'),
  result: digest('07'),
  tier: 'affirming',
})
const after = (leaves: readonly Leaf[], leaf: Leaf): string | undefined => {
  const history = createHistory()
  for (const [i, one] of leaves.entries()) history.add(i, one)
  return history.contradictionOf(leaf)
}

describe('a release after', () => {
  const created = key({})
  it.each<[string, readonly Leaf[], Partial<ReleaseLeaf>]>([
    ['its key was made', [created], {}],
    [
      'its version was made by rotation',
      [created, key({ version: 2, action: 'rotate' })],
      { version: 2 },
    ],
    ['a newer version was made', [created, key({ version: 2, action: 'rotate' })], {}],
    [
      'another version was switched off',
      [created, key({ version: 2, action: 'rotate' }), key({ version: 2, action: 'disable' })],
      {},
    ],
    ['another key was destroyed', [created, key({ key: 'kbs:///a/b/d', action: 'destroy' })], {}],
    [
      'its version was switched off and on',
      [created, key({ action: 'disable', time: 2000 }), key({ action: 'enable', time: 3000 })],
      {},
    ],
    [
      'its version was switched off, decided before',
      [created, key({ action: 'disable', time: 4990 })],
      {},
    ],
    [
      'the policy changed, by the new one',
      [created, key({ action: 'policy', policy: digest('bb'), time: 2000 })],
      { policy: digest('bb') },
    ],
    [
      'the policy changed, decided before',
      [created, key({ action: 'policy', policy: digest('bb'), time: 4990 })],
      {},
    ],
    ['a clock was set back a little', [key({ time: 5500 })], {}],
  ])('%s says nothing false', (_, leaves, change) => {
    expect(after(leaves, release(change))).toBeUndefined()
  })

  it.each<[string, readonly Leaf[], Partial<ReleaseLeaf>]>([
    ['nothing', [], {}],
    ['another key was made', [key({ key: 'kbs:///a/b/d' })], {}],
    ['another version was made', [created], { version: 2 }],
    ['only its policy was told', [key({ action: 'policy' })], {}],
    ['its version was switched off', [created, key({ action: 'disable', time: 2000 })], {}],
    ['its version was destroyed', [created, key({ action: 'destroy', time: 4939 })], {}],
    [
      'the policy changed, by the old one',
      [created, key({ action: 'policy', policy: digest('bb'), time: 2000 })],
      {},
    ],
    ['it was made, by a policy never told', [created], { policy: digest('cc') }],
    ['later leaves of its broker', [created, release({ time: 6000 })], { time: 5000 }],
  ])('%s contradicts the log', (_, leaves, change) => {
    expect(after(leaves, release(change))).toEqual(expect.any(String))
  })
})

describe('the overlap', () => {
  const off = (time: number): readonly Leaf[] => [key({}), key({ action: 'disable', time })]

  it('is a minute, to the second', () => {
    expect(after(off(4940), release())).toBeUndefined()
    expect(after(off(4939), release())).toEqual(expect.any(String))
  })

  it('of a broker’s clock is ten, by any leaf of its own and none of others', () => {
    const refusal = (time: number): Leaf => ({
      v: 1,
      type: 'refusal',
      time,
      key: 'kbs:///a/b/c',
      decision: digest('01'),
      code: 'ERR_RELEASE_DENIED',
      at: 'policy',
    })
    const other = { key: 'kbs:///a/b/d' }
    for (const earlier of [
      refusal,
      (time: number) => release({ ...other, time }),
      (time: number) => key({ ...other, time }),
    ]) {
      expect(after([key({}), earlier(5600)], release())).toBeUndefined()
      expect(after([key({}), earlier(5601)], release())).toEqual(expect.any(String))
    }
    const foreign = [
      { ...appraisal(digest('aa')), time: 9000 },
      { ...leafOf(1), time: 9000 },
    ]
    expect(after([key({}), ...foreign], release())).toBeUndefined()
  })
})

describe('an appraisal', () => {
  it('is by a policy that was announced before', () => {
    const announced = leafOf(1)
    const policy = announced.type === 'policy' ? announced.digest : ''
    expect(after([announced], appraisal(policy))).toBeUndefined()
    expect(after([leafOf(2)], appraisal(policy))).toEqual(expect.any(String))
    expect(after([], appraisal(policy))).toEqual(expect.any(String))
  })

  it('is found by its index, and by no other', () => {
    const history = createHistory()
    history.add(7, appraisal(digest('aa')))
    history.add(8, release())
    expect(history.appraisalAt(7)).toEqual(appraisal(digest('aa')))
    expect(history.appraisalAt(8)).toBeUndefined()
  })
})

it('other leaves contradict nothing', () => {
  expect(after([], key({ action: 'disable' }))).toBeUndefined()
  expect(after([], leafOf(0))).toBeUndefined()
})
