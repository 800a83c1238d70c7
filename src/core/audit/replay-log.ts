/** Replaying every decision in a log, in order. @packageDocumentation */
import type { Leaf } from '../tlog/leaf.ts'
import type { OpenedCheckpoint } from '../tlog/open.ts'
import { createHistory } from './history.ts'
import { type ReplayOutcome, type ReplayTools, replayLeaf } from './replay.ts'
import { auditLog, type LogAudit, readLeaf } from './verify-log.ts'

/** One leaf whose decision does not follow from what the log has. */
interface ReplayFinding {
  readonly index: number
  readonly type: Leaf['type']
  readonly outcome: 'differs' | 'unreplayable'
  readonly detail: string
}

export interface LogReplay {
  readonly checkpoint: OpenedCheckpoint
  /** How many leaves had each outcome. */
  readonly counts: Readonly<Record<ReplayOutcome['outcome'], number>>
  /** In order of index. Bounded: the counts go on. */
  readonly findings: readonly ReplayFinding[]
}

const MAX_FINDINGS = 1_000

/**
 * Checks the whole log and makes every decision in it again. One that follows from its own inputs,
 * and not from what the log said before it, differs as well.
 *
 * @throws {@link VouchsafeError} as {@link auditLog}; a decision that differs is a finding instead.
 */
export async function replayLog(
  audit: Omit<LogAudit, 'onEntry'>,
  tools: Pick<ReplayTools, 'memo' | 'anchors' | 'isEarSigned'>,
): Promise<LogReplay> {
  const { source, crypto } = audit
  const counts = { same: 0, differs: 0, unreplayable: 0, 'not-replayed': 0 }
  const findings: ReplayFinding[] = []
  const history = createHistory()
  const appraisalAt: ReplayTools['appraisalAt'] = (index) => history.appraisalAt(index)
  const onEntry = async (index: number, entry: Uint8Array): Promise<void> => {
    const leaf = readLeaf(index, entry)
    const replay = weigh(
      await replayLeaf(leaf, { ...tools, source, crypto, appraisalAt }),
      history.contradictionOf(leaf),
    )
    history.add(index, leaf)
    counts[replay.outcome]++
    if (!('detail' in replay) || findings.length >= MAX_FINDINGS) return
    findings.push({ index, type: leaf.type, ...replay })
  }
  const checkpoint = await auditLog({ ...audit, onEntry })
  return { checkpoint, counts, findings }
}

function weigh(replay: ReplayOutcome, contradiction: string | undefined): ReplayOutcome {
  if ('detail' in replay || contradiction === undefined) return replay
  return { outcome: 'differs', detail: contradiction }
}
