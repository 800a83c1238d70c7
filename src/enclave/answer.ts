/** What the enclave has to say to a request, before it is sealed. @packageDocumentation */
import type { ReceiptOutcome } from '../core/sealing/receipt.ts'
import type { PlainResponse } from '../core/sealing/seal-response.ts'
import type { TokenUsage } from '../core/sealing/usage.ts'

/** What to answer. Usage and outcome are final when the body has ended. */
export interface Plan {
  readonly response: PlainResponse
  readonly usage: () => TokenUsage
  readonly outcome: () => Exclude<ReceiptOutcome, 'aborted'>
}
