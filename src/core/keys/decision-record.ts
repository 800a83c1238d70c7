/**
 * The input of a release decision as bytes: canonical, so that a leaf can name it by digest, and
 * complete, so that `decideRelease` needs nothing else.
 *
 * @packageDocumentation
 */

import { equal } from '../bytes/bytes.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { canonicalBytes, type Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { Recipient } from './recipient.ts'
import type { DecisionInput, KeyState, ReleasableKey } from './release.ts'

const STATES: readonly KeyState[] = ['enabled', 'disabled', 'pending-destruction', 'destroyed']
const AT = 'decision'

/**
 * The canonical bytes of a decision's input.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_MALFORMED` at `ear.claims` if the claims have no
 *   canonical form, which ours always have.
 */
export function encodeDecisionInput(input: DecisionInput): Uint8Array<ArrayBuffer> {
  const { key, recipient } = input
  try {
    return canonicalBytes({
      v: 1,
      at: input.at,
      claims: input.claims,
      key: {
        uri: key.uri,
        version: key.version,
        state: key.state,
        not_before: key.notBefore,
        not_after: key.notAfter,
        max_releases: key.maxReleases,
        releases: key.releases,
      },
      keyset_digest: input.keysetDigest,
      policy: input.policy,
      recipient: { crv: recipient.crv, kty: recipient.kty, x: recipient.x, y: recipient.y },
    })
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    const blame = { code: 'ERR_RESULT_MALFORMED', at: 'ear.claims' } as const
    throw new VouchsafeError(blame, 'no canonical form', { cause })
  }
}

/**
 * The inverse of {@link encodeDecisionInput}; what it accepts encodes to the same bytes.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED` at `decision…`: only a log points to one.
 */
export function decodeDecisionInput(bytes: Uint8Array): DecisionInput {
  const input = fields(parse(bytes), AT, {
    v: (value) => value === 1,
    at: isInteger,
    claims: isObject,
    key: isObject,
    keyset_digest: (value) => typeof value === 'string',
    policy: isObject,
    recipient: isObject,
  })
  const decoded: DecisionInput = {
    at: input['at'] as number,
    claims: input['claims'] ?? null,
    key: decodeKey(input['key']),
    keysetDigest: input['keyset_digest'] as string,
    policy: input['policy'] ?? null,
    recipient: decodeRecipient(input['recipient']),
  }
  if (!equal(encodeDecisionInput(decoded), bytes)) {
    throw new VouchsafeError(blame(AT), 'not canonical JSON (RFC 8785)')
  }
  return decoded
}

function decodeKey(value: Json | undefined): ReleasableKey {
  const key = fields(value, `${AT}.key`, {
    uri: (uri) => typeof uri === 'string',
    version: isInteger,
    state: (state) => STATES.includes(state as KeyState),
    not_before: isIntegerOrNull,
    not_after: isIntegerOrNull,
    max_releases: isIntegerOrNull,
    releases: isInteger,
  })
  return {
    uri: key['uri'] as string,
    version: key['version'] as number,
    state: key['state'] as KeyState,
    notBefore: key['not_before'] as number | null,
    notAfter: key['not_after'] as number | null,
    maxReleases: key['max_releases'] as number | null,
    releases: key['releases'] as number,
  }
}

function decodeRecipient(value: Json | undefined): Recipient {
  const isCoordinate = (text: Json): boolean =>
    typeof text === 'string' && /^[A-Za-z0-9_-]{43}$/.test(text)
  const key = fields(value, `${AT}.recipient`, {
    crv: (crv) => crv === 'P-256',
    kty: (kty) => kty === 'EC',
    x: isCoordinate,
    y: isCoordinate,
  })
  return { crv: 'P-256', kty: 'EC', x: key['x'] as string, y: key['y'] as string }
}

function parse(bytes: Uint8Array): Json {
  return parseJson(decodeUtf8(bytes, blame(AT)), blame(AT))
}

/** An object with exactly these members, each as its test wants it. */
function fields(
  value: Json | undefined,
  at: string,
  tests: Readonly<Record<string, (value: Json) => boolean>>,
): Readonly<Record<string, Json>> {
  if (!isObject(value)) throw new VouchsafeError(blame(at), 'want an object')
  const object = value as Readonly<Record<string, Json>>
  const extra = Object.keys(object).find((name) => !Object.hasOwn(tests, name))
  if (extra !== undefined) throw new VouchsafeError(blame(at), 'a member too many')
  for (const [name, test] of Object.entries(tests)) {
    const member = object[name]
    if (member === undefined || !test(member)) {
      throw new VouchsafeError(blame(`${at}.${name}`), 'absent, or not what it should be')
    }
  }
  return object
}

function isObject(value: Json | undefined): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isInteger(value: Json): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isIntegerOrNull(value: Json): boolean {
  return value === null || isInteger(value)
}

function blame(at: string): Blame {
  return { code: 'ERR_LOG_MALFORMED', at }
}
