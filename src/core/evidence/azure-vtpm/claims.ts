/** What the evidence of an Azure confidential VM says, once authenticated. @packageDocumentation */
import type { Claims } from '../common/format.ts'
import type { BootLog } from '../tpm/boot.ts'
import type { QuoteClaims } from '../tpm/claims.ts'
import type { RuntimeClaims } from './hcl.ts'

export interface AzureClaims<C extends Claims> extends Claims {
  /** What the hardware's own format found. */
  readonly hardware: C
  readonly vtpm: QuoteClaims
  readonly runtime: RuntimeClaims
  /** What the vTPM's event log says; `undefined` if none came. */
  readonly boot: BootLog | undefined
}
