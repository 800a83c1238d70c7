/** Settings of the gateway. @packageDocumentation */
import { type Static, Type } from 'typebox'

/** The `gateway` section of the configuration file. */
export const GatewaySettings = Type.Object(
  {
    maxRequestBytes: Type.Integer({
      minimum: 1024,
      default: 32 * 1024 * 1024,
      description: 'Bytes of one sealed request.',
    }),
    headTimeoutMs: Type.Integer({
      minimum: 100,
      default: 600_000,
      description: 'Milliseconds until the enclave has begun to answer.',
    }),
    receiptWaitMs: Type.Integer({
      minimum: 100,
      default: 120_000,
      description: 'Milliseconds after the end of an answer until its receipt counts as missing.',
    }),
    requestsPerMinute: Type.Integer({
      minimum: 1,
      default: 600,
      description: 'Sealed requests and keysets that one API key may ask for in a minute.',
    }),
  },
  { additionalProperties: false, default: {} },
)

/** See {@link GatewaySettings}. */
export type GatewaySettings = Static<typeof GatewaySettings>
