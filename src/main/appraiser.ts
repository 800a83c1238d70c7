/** Where the verifier's appraisals are made: on threads, or on the one that serves. @packageDocumentation */
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { createAppraiser } from '../core/appraisal/appraiser.ts'
import type { TrustAnchors } from '../core/endorsements/anchors.ts'
import { createMemo } from '../core/evidence/common/memo.ts'
import type { CryptoProvider } from '../core/ports/crypto.ts'
import { createThreadAppraiser, type ThreadAppraiser } from '../drivers/appraiser/threads.ts'

/** Parsed certificates and checked signatures, some hundred bytes each. */
export const MEMO_ENTRIES = 4_096
/** Of encoded endorsements, kept decoded, which takes several times as much: a few hundred sets. */
export const CACHE_BYTES = 4 * 1024 * 1024
/** Evidence is appraised in milliseconds; whatever takes this long is stuck. */
const TIMEOUT_MS = 10_000

/**
 * @param threads - 0 for none; `undefined` for as many as the machine runs at once.
 */
export function openAppraiser(
  threads: number | undefined,
  anchors: TrustAnchors,
  {
    crypto,
    onFault,
  }: { readonly crypto: CryptoProvider; readonly onFault: (err: unknown) => void },
): ThreadAppraiser {
  const count = threads ?? availableParallelism()
  if (count > 0) {
    return createThreadAppraiser({
      // Compiled or not, the module beside this one.
      entry: new URL(`./appraisal-thread${extname(import.meta.url)}`, import.meta.url),
      anchors,
      threads: count,
      timeoutMs: TIMEOUT_MS,
      onFault,
    })
  }
  const memo = createMemo(MEMO_ENTRIES)
  const here = createAppraiser({ crypto, memo, anchors, cacheBytes: CACHE_BYTES })
  return { ...here, close: async () => undefined }
}
