/**
 * The other side of `cores.ts`: a process that appraises one sample for as long as it is told, on as
 * many threads as it has cores, and answers how many a second that were.
 *
 * @packageDocumentation
 */
import { type AppraisalInput, appraise } from '../../../src/core/appraisal/appraise.ts'
import { parsePolicy } from '../../../src/core/appraisal/policy.ts'
import { encodeInput } from '../../../src/core/appraisal/record.ts'
import { collectEndorsements } from '../../../src/core/endorsements/collect.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { openAppraiser } from '../../../src/main/appraiser.ts'
import { shippedPolicy } from '../../support/appraisal.ts'
import { snpSample, tdxSample } from '../samples.ts'

/** What can be appraised. */
export type Sample = 'tdx' | 'snp'

/** In flight at once: threads never wait for the one that asks. */
const AT_ONCE = 16
const UNCHECKED = { unchecked: 'a benchmark' }
const BINDING = { nonce: UNCHECKED, reportData: UNCHECKED }

if (import.meta.main) await serve(process.argv[2] === 'snp' ? snpInput() : tdxInput())

async function serve({ input, origin }: { input: AppraisalInput; origin: string }): Promise<void> {
  await requireAffirming(input)
  const { format, now, anchors } = input
  const onFault = (err: unknown): void => {
    throw err
  }
  const appraiser = openAppraiser(undefined, anchors, { crypto: createCrypto(), onFault })
  process.on('disconnect', () => process.exit())
  process.on('message', (ms: number) => {
    const start = performance.now()
    let count = 0
    const work = async (): Promise<void> => {
      for (; performance.now() - start < ms; count++) {
        await appraiser.appraise({ format, now, blobs: encodeInput(input) })
      }
    }
    void Promise.all(Array.from({ length: AT_ONCE }, work)).then(() => {
      process.send?.({ rate: (count * 1000) / (performance.now() - start), note: origin })
    })
  })
}

/** What is measured must be good evidence, or its refusal would be. */
async function requireAffirming(input: AppraisalInput): Promise<void> {
  const { tier } = await appraise(input, { crypto: createCrypto(), memo: createMemo(0) })
  if (tier !== 'affirming' && tier !== 'contraindicated') throw new Error(tier)
}

function tdxInput() {
  const { quote: evidence, collateral, anchors, now, origin } = tdxSample()
  const { endorsements } = collectEndorsements([{ name: 'collateral', bytes: collateral }])
  const policy = parsePolicy(shippedPolicy('authentic-tdx'))
  const input = { evidence, endorsements, anchors, now, policy, binding: BINDING }
  return { input: { ...input, format: 'tdx', referenceValues: [] } as const, origin }
}

function snpInput() {
  const { report: evidence, endorsements, anchors, now, origin } = snpSample()
  const policy = parsePolicy(shippedPolicy('authentic-sev-snp'))
  const input = { evidence, endorsements, anchors, now, policy, binding: BINDING }
  return { input: { ...input, format: 'sev-snp', referenceValues: [] } as const, origin }
}
