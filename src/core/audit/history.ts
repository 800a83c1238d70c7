/**
 * What a log has said so far, and what it can therefore not say any more: a broker that releases by a
 * policy it never announced writes leaves that are each beyond reproach.
 *
 * @packageDocumentation
 */
import type { AppraisalLeaf, Digest, KeyLeaf, Leaf, ReleaseLeaf } from '../tlog/leaf.ts'

/** Grows with the log: an entry for each appraisal, policy and key version. */
export interface LogHistory {
  appraisalAt(index: number): AppraisalLeaf | undefined
  /** @returns How the leaf contradicts what was added before it. */
  contradictionOf(leaf: Leaf): string | undefined
  add(index: number, leaf: Leaf): void
}

/**
 * Leaves are written before they take effect, and a release that was decided before may be written
 * after: by no more than the broker waits for the log.
 */
const OVERLAP_SECONDS = 60
/** A broker's clock may be set back by so much. */
const CLOCK_SECONDS = 600

/** One thing after another, each with the time from which it was so. */
type Timeline<T> = readonly { readonly from: number; readonly value: T }[]

interface KeyHistory {
  readonly policies: Timeline<Digest>
  /** Whether each version may be released. */
  readonly versions: ReadonlyMap<number, Timeline<boolean>>
}

/** Of nothing yet. */
export function createHistory(): LogHistory {
  const appraisals = new Map<number, AppraisalLeaf>()
  const policies = new Set<Digest>()
  const keys = new Map<string, KeyHistory>()
  let brokerTime = 0
  return {
    appraisalAt: (index) => appraisals.get(index),
    contradictionOf: (leaf) => {
      if (leaf.type === 'appraisal' && !policies.has(leaf.policy)) {
        return 'judged by a policy that the log had not announced'
      }
      if (leaf.type !== 'release') return undefined
      if (leaf.time < brokerTime - CLOCK_SECONDS) {
        return `dated ${brokerTime - leaf.time} s before an earlier leaf of its broker`
      }
      return contradictsKey(leaf, keys.get(leaf.key))
    },
    add: (index, leaf) => {
      if (leaf.type === 'appraisal') appraisals.set(index, leaf)
      if (leaf.type === 'policy') policies.add(leaf.digest)
      if (leaf.type === 'key') keys.set(leaf.key, withKey(keys.get(leaf.key), leaf))
      const byBroker = leaf.type === 'release' || leaf.type === 'refusal' || leaf.type === 'key'
      if (byBroker) brokerTime = Math.max(brokerTime, leaf.time)
    },
  }
}

function contradictsKey(leaf: ReleaseLeaf, key: KeyHistory | undefined): string | undefined {
  const version = key?.versions.get(leaf.version)
  if (key === undefined || version === undefined) return 'the log has not seen this version made'
  if (!valuesAt(version, leaf.time).includes(true)) return 'this version was switched off before'
  if (valuesAt(key.policies, leaf.time).includes(leaf.policy)) return undefined
  return 'decided by a release policy that the key did not have'
}

/** What was so at a time, and what had been so until shortly before. */
function valuesAt<T>(timeline: Timeline<T>, time: number): readonly T[] {
  return timeline
    .filter((_, i) => (timeline[i + 1]?.from ?? Infinity) + OVERLAP_SECONDS >= time)
    .map(({ value }) => value)
}

function withKey(before: KeyHistory | undefined, leaf: KeyLeaf): KeyHistory {
  const from = leaf.time
  const policies = [...(before?.policies ?? []), { from, value: leaf.policy }]
  const versions = new Map(before?.versions)
  const enabled = { create: true, rotate: true, enable: true, disable: false, destroy: false }
  if (leaf.action !== 'policy') {
    const earlier = versions.get(leaf.version) ?? []
    versions.set(leaf.version, [...earlier, { from, value: enabled[leaf.action] }])
  }
  return { policies, versions }
}
