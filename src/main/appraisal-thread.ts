/** What an appraisal thread runs: the composition of an appraiser, on drivers of its own. @packageDocumentation */
import { parentPort, workerData } from 'node:worker_threads'
import { createAppraiser } from '../core/appraisal/appraiser.ts'
import type { TrustAnchors } from '../core/endorsements/anchors.ts'
import { createMemo } from '../core/evidence/common/memo.ts'
import { serveAppraisals } from '../drivers/appraiser/threads/thread.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { CACHE_BYTES, MEMO_ENTRIES } from './appraiser.ts'

if (parentPort !== null) {
  serveAppraisals(
    parentPort,
    createAppraiser({
      crypto: createCrypto({ usePool: false }),
      memo: createMemo(MEMO_ENTRIES),
      anchors: workerData as TrustAnchors,
      cacheBytes: CACHE_BYTES,
    }),
  )
}
