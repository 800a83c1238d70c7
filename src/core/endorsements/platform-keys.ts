/**
 * Finds keys of platforms that have no certificate: public keys in DER or PEM, JWKs, and the lists of
 * trust anchors that verifiers of Arm CCA tokens keep, in which a JWK stands beside the ids of the
 * platform that it belongs to.
 *
 * @packageDocumentation
 */
import { fromHex } from '../bytes/hex.ts'
import { type JsonNode, memberOf } from '../encoding/json-tree.ts'
import type { Blame } from '../errors.ts'
import { keyOfJwk, keyOfSpki } from '../x509/ec-key.ts'
import type { PlatformKey } from './endorsement-set.ts'

/** Sizes of the ids of Arm CCA, in bytes. */
const IMPLEMENTATION_ID = 32
const INSTANCE_ID = 33

/** The key that these bytes are, if they are a SubjectPublicKeyInfo that can be used. */
export function platformKeyOfDer(der: Uint8Array): PlatformKey | undefined {
  const key = keyOfSpki(der)
  return key && { spki: key.spki }
}

/**
 * The key that a JSON object is or describes: a JWK, or a trust anchor with a JWK in `pkey` and, in
 * hexadecimal, `implementation-id` and `instance-id`.
 *
 * @returns `undefined` for any other object.
 * @throws {@link VouchsafeError} with the code of `blame` for coordinates or ids that are none.
 */
export function platformKeyOfJson(node: JsonNode, blame: Blame): PlatformKey | undefined {
  const nested = memberOf(node, 'pkey')?.node
  if (nested === undefined) return jwkOf(node, blame)
  const key = jwkOf(nested, blame)
  const implementationId = idOf(node, { name: 'implementation-id', size: IMPLEMENTATION_ID })
  const instanceId = idOf(node, { name: 'instance-id', size: INSTANCE_ID })
  return (
    key && {
      ...key,
      ...(implementationId && { implementationId }),
      ...(instanceId && { instanceId }),
    }
  )
}

function jwkOf(node: JsonNode, blame: Blame): PlatformKey | undefined {
  const [kty, crv, x, y] = ['kty', 'crv', 'x', 'y'].map((name) => textOf(node, name))
  const key = keyOfJwk({ kty, crv, x, y }, blame)
  return key && { spki: key.spki }
}

/** Ids of another form only mean that the key is looked for without them. */
function idOf(
  node: JsonNode,
  { name, size }: { readonly name: string; readonly size: number },
): Uint8Array | undefined {
  const text = textOf(node, name)?.toLowerCase()
  if (text?.length !== 2 * size || !/^[0-9a-f]+$/.test(text)) return undefined
  return fromHex(text, { code: 'ERR_ENDORSEMENT_MALFORMED', at: `endorsements.${name}` })
}

function textOf(node: JsonNode, name: string): string | undefined {
  const member = memberOf(node, name)?.node
  return member?.kind === 'string' ? member.value : undefined
}
