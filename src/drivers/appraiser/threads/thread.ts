/** The other side of `../threads.ts`: answers tasks on one thread. @packageDocumentation */
import type { MessagePort } from 'node:worker_threads'
import { type ErrorCode, VouchsafeError } from '../../../core/errors.ts'
import type { Appraisal, AppraisalTask, Appraiser } from '../../../core/ports/appraiser.ts'

/** A task on its way. */
export interface Question {
  readonly id: number
  readonly task: AppraisalTask
}

/** Its appraisal, or the error in parts: errors of our class do not survive being copied. */
export type Answer =
  | { readonly id: number; readonly appraisal: Appraisal }
  | {
      readonly id: number
      readonly text: string
      readonly error:
        | { readonly code: ErrorCode; readonly at: string; readonly detail: string }
        | undefined
    }

/** Answers every question that comes through `port`. */
export function serveAppraisals(port: MessagePort, appraiser: Appraiser): void {
  port.on('message', ({ id, task }: Question) => {
    void answer(id, task, appraiser).then((found) => {
      // Handed over, where the rest is copied.
      port.postMessage(found, 'appraisal' in found ? [found.appraisal.encoded.buffer] : [])
    })
  })
}

async function answer(id: number, task: AppraisalTask, appraiser: Appraiser): Promise<Answer> {
  try {
    return { id, appraisal: await appraiser.appraise(task) }
  } catch (err) {
    const text = String(err instanceof Error ? err.stack : err)
    if (!(err instanceof VouchsafeError)) return { id, text, error: undefined }
    const { code, at } = err
    return { id, text, error: { code, at, detail: err.message.slice(at.length + 2) } }
  }
}
