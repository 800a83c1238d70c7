/** A thread that does what its evidence says: for tests of what happens when one fails. */
import { parentPort } from 'node:worker_threads'
import { VouchsafeError } from '../../src/core/errors.ts'
import { serveAppraisals } from '../../src/drivers/appraiser/threads/thread.ts'

if (parentPort !== null) {
  serveAppraisals(parentPort, {
    appraise: async ({ blobs }) => {
      const order = new TextDecoder().decode(blobs.evidence)
      if (order === 'die') process.exit(3)
      if (order === 'throw') throw new RangeError('a bug')
      if (order === 'refuse') {
        throw new VouchsafeError({ code: 'ERR_EVIDENCE_MALFORMED', at: 'a.b' }, 'c: d')
      }
      // What no promise, timer or abort signal could interrupt.
      while (order === 'spin');
      const until = performance.now() + 650
      while (order === 'slow' && performance.now() < until);
      const result = { format: 'tdx', tier: 'none', policyId: order, policyDigest: '' } as const
      return {
        result: { ...result, checks: [], tcb: null, claims: null },
        encoded: new Uint8Array(1),
      }
    },
  })
}
