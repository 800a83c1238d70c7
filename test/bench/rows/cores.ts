/** Appraisals on more than one core, as the verifier makes them. @packageDocumentation */
import { availableParallelism } from 'node:os'
import { type AppraisalInput, appraise } from '../../../src/core/appraisal/appraise.ts'
import { parsePolicy } from '../../../src/core/appraisal/policy.ts'
import { encodeInput } from '../../../src/core/appraisal/record.ts'
import { collectEndorsements } from '../../../src/core/endorsements/collect.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import type { AppraisalTask, Appraiser } from '../../../src/core/ports/appraiser.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { openAppraiser } from '../../../src/main/appraiser.ts'
import { shippedPolicy } from '../../support/appraisal.ts'
import { median } from '../measure.ts'
import { type Bench, type Effort, type Finding, withNote } from '../row.ts'
import { snpSample, tdxSample } from '../samples.ts'

const SLICE_MS = 250
/** In flight at once: threads never wait for the one that asks. */
const AT_ONCE = 16

const WHAT =
  'warm appraisals by the verifier’s own threads, copied there and back, tasks encoded as the log keeps them'

/** The rows about cores. */
export const CORES: readonly Bench[] = [
  bench('appraisals-two-cores', `TDX v4 quotes, ${WHAT}: two threads against one`, tdxInput),
  bench('appraisals-two-cores-snp', `SEV-SNP reports, ${WHAT}: two threads against one`, snpInput),
]

function bench(id: string, what: string, inputOf: () => Sample): Bench {
  return {
    id,
    what,
    unit: '/s',
    goal: { of: 'ratio', sign: '>=', bound: 1.8 },
    run: async (effort) => {
      if (availableParallelism() < 2) {
        return { ours: null, theirs: null, ratio: null, note: 'this machine has one core' }
      }
      const { input, origin } = inputOf()
      await requireAffirming(input)
      return withNote(await compareThreads(input, effort), origin)
    },
  }
}

interface Sample {
  readonly input: AppraisalInput
  readonly origin: string
}

/** What is measured must be good evidence, or its refusal would be. */
async function requireAffirming(input: AppraisalInput): Promise<void> {
  const { tier } = await appraise(input, { crypto: createCrypto(), memo: createMemo(0) })
  if (tier !== 'affirming' && tier !== 'contraindicated') throw new Error(tier)
}

async function compareThreads(
  input: AppraisalInput,
  { rounds, warmUpMs }: Effort,
): Promise<Finding> {
  const onFault = (err: unknown): void => {
    throw err
  }
  const { format, now, anchors } = input
  const task = { format, now, blobs: encodeInput(input) }
  const open = (threads: number) =>
    openAppraiser(threads, anchors, { crypto: createCrypto(), onFault })
  const [one, two] = [open(1), open(2)] as const
  try {
    await rateOf(one, task, warmUpMs)
    await rateOf(two, task, warmUpMs)
    const found: { readonly one: number; readonly two: number }[] = []
    for (let round = 0; round < rounds; round++) {
      const first = round % 2 === 0 ? await rateOf(one, task, SLICE_MS) : undefined
      const both = await rateOf(two, task, SLICE_MS)
      found.push({ one: first ?? (await rateOf(one, task, SLICE_MS)), two: both })
    }
    return {
      ours: median(found.map((round) => round.two)),
      theirs: median(found.map((round) => round.one)),
      ratio: median(found.map((round) => round.two / round.one)),
    }
  } finally {
    await Promise.all([one.close(), two.close()])
  }
}

/** Per second. */
async function rateOf(appraiser: Appraiser, task: AppraisalTask, ms: number): Promise<number> {
  const start = performance.now()
  let count = 0
  const work = async (): Promise<void> => {
    for (; performance.now() - start < ms; count++) await appraiser.appraise(task)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return (count * 1000) / (performance.now() - start)
}

const UNCHECKED = { unchecked: 'a benchmark' }
const BINDING = { nonce: UNCHECKED, reportData: UNCHECKED }

function tdxInput(): Sample {
  const { quote: evidence, collateral, anchors, now, origin } = tdxSample()
  const { endorsements } = collectEndorsements([{ name: 'collateral', bytes: collateral }])
  const policy = parsePolicy(shippedPolicy('authentic-tdx'))
  const input = { evidence, endorsements, anchors, now, policy, binding: BINDING }
  return { input: { ...input, format: 'tdx', referenceValues: [] }, origin }
}

function snpInput(): Sample {
  const { report: evidence, endorsements, anchors, now, origin } = snpSample()
  const policy = parsePolicy(shippedPolicy('authentic-sev-snp'))
  const input = { evidence, endorsements, anchors, now, policy, binding: BINDING }
  return { input: { ...input, format: 'sev-snp', referenceValues: [] }, origin }
}
