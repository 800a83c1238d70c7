/**
 * One gateway, one pin, and everything verified so far: what an application holds on to.
 *
 * @packageDocumentation
 */
import type { Platform } from '../core/ports/platform.ts'
import { createEnclaves } from './enclaves.ts'
import { parsePin } from './pin.ts'
import { collectReceipt, type ReceiptOutcome, type Seen } from './receipts.ts'
import { createSecureFetch, type SecureFetch } from './secure-fetch.ts'
import type { VerificationReport } from './verify-enclave.ts'

/** What {@link connect} needs. */
export interface ConnectOptions {
  /** Origin of the gateway, such as `https://models.example`. */
  readonly gateway: string
  /** The gateway's, not the model's: it never goes inside. */
  readonly apiKey: string
  /** Parsed JSON of the pin: what you decided to trust, from someone you trust. */
  readonly pin: unknown
  /** From `createPlatform()` of `vouchsafe/platform`. */
  readonly platform: Platform
}

export interface SecureSession {
  /** For an OpenAI client. */
  readonly baseURL: string
  /** For an OpenAI client: seals what goes below {@link SecureSession.baseURL}. */
  readonly fetch: SecureFetch
  /**
   * Verifies the enclave of a model now rather than with the first request.
   *
   * @throws {@link EnclaveRefusedError} with every check, if it is not what was pinned.
   */
  verify(model: string): Promise<VerificationReport>
  /** The newest verification of each model, refused ones too. */
  verifications(): readonly VerificationReport[]
  /** Receipts of the answers so far, newest last; waits for those on their way. */
  receipts(): Promise<readonly ReceiptOutcome[]>
}

/** Receipts kept for {@link SecureSession.receipts}. */
const MAX_RECEIPTS = 256

/**
 * Opens a session. Nothing is fetched until the first request or `verify`.
 *
 * @throws {@link VouchsafeError} for a pin that says nothing clear: see `parsePin`.
 */
export async function connect(options: ConnectOptions): Promise<SecureSession> {
  const { platform, apiKey } = options
  const gateway = { url: options.gateway.replace(/\/+$/, ''), apiKey }
  const baseURL = `${gateway.url}/v1`
  const pin = await parsePin(options.pin, platform.crypto)
  const enclaves = createEnclaves({ gateway, pin, platform })
  const receipts: Promise<ReceiptOutcome>[] = []
  const onEnd = (seen: Seen): void => {
    const receipt = collectReceipt(seen, { gateway, platform })
    // Looked at in `receipts()`; until then a failure must not end the process.
    receipt.catch(() => undefined)
    receipts.push(receipt)
    if (receipts.length > MAX_RECEIPTS) void receipts.shift()
  }
  return {
    baseURL,
    fetch: createSecureFetch({ gateway, baseUrl: baseURL, enclaves, platform, onEnd }),
    verify: async (model) => (await enclaves.target(model)).enclave.report,
    verifications: () => enclaves.reports(),
    receipts: async () => Promise.all(receipts),
  }
}
