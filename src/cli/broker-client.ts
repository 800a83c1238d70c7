/** The key broker as the command line sees it. @packageDocumentation */
import type { Json } from '../core/encoding/canonical-json.ts'
import { wrapKey } from '../core/keys/jwe.ts'
import { type KeyId, keyUri } from '../core/keys/uri.ts'
import { badAnswer, openService, type ServiceClient, type ServiceFlags } from './service-client.ts'

/** Calls with an operator's token. */
export interface BrokerClient extends ServiceClient {
  /** Wraps material to the broker's import key. */
  wrap(key: KeyId, material: Uint8Array): Promise<Json>
}

/**
 * Opens a client; `close` when done.
 *
 * @throws {@link VouchsafeError} as {@link openService}.
 */
export function openBroker(flags: ServiceFlags): BrokerClient {
  const service = openService(flags)
  return {
    ...service,
    wrap: async (key, material) => {
      const { x, y } = await service.call({ method: 'GET', path: '/v1/import-key' })
      if (typeof x !== 'string' || typeof y !== 'string') throw badAnswer('no import key')
      const recipient = { crv: 'P-256', kty: 'EC', x, y } as const
      return wrapKey(material, { kid: keyUri(key), recipient })
    },
  }
}

/** `/v1/keys/ns/type/name`. */
export function keyPath({ namespace, type, name }: KeyId): string {
  return `/v1/keys/${namespace}/${type}/${name}`
}
