/**
 * Relying Party SDK: verify an enclave and seal to it, from an existing OpenAI client. Runs in Node
 * and in browsers.
 *
 * @packageDocumentation
 */
export type { Check } from '../core/appraisal/check.ts'
export { type ErrorCode, type ErrorKind, VouchsafeError } from '../core/errors.ts'
export type { Platform } from '../core/ports/platform.ts'
export type { Receipt } from '../core/sealing/receipt.ts'
export { type ClientPin, parsePin } from './pin.ts'
export type { ReceiptOutcome } from './receipts.ts'
export type { SecureFetch } from './secure-fetch.ts'
export { type ConnectOptions, connect, type SecureSession } from './session.ts'
export { EnclaveRefusedError, type VerificationReport } from './verify-enclave.ts'
