/** Tokens with one thing in them that no parser may take. */
import { type CborValue, encodeCbor } from '../../src/core/encoding/cbor.ts'
import type { CcaGeneration, CcaTokenOptions } from '../../src/testing/index.ts'

export const hash = (length: number, byte = 9): Uint8Array => new Uint8Array(length).fill(byte)
export const map = (...entries: readonly (readonly [number | string, CborValue])[]): CborValue =>
  new Map(entries)

export const MALFORMED = 'ERR_EVIDENCE_MALFORMED'
const UNSUPPORTED = 'ERR_EVIDENCE_UNSUPPORTED'
const P = 'cca.platform.cca-platform'
const R = 'cca.realm.cca-realm'
const component = { 1: 'BL', 2: hash(32), 5: hash(32) }
export const components = (change: Record<number, CborValue | undefined>): CborValue => {
  const members = Object.entries<CborValue | undefined>({ ...component, ...change })
  const present = members.filter((one): one is [string, CborValue] => one[1] !== undefined)
  return [map(...present.map(([label, value]) => [Number(label), value] as const))]
}
const coseKey = (change: Record<string, CborValue | undefined>): Uint8Array => {
  const members = Object.entries<CborValue | undefined>({
    1: 2,
    '-1': 2,
    '-2': hash(48),
    '-3': hash(48),
    ...change,
  })
  const present = members.filter((one): one is [string, CborValue] => one[1] !== undefined)
  return encodeCbor(map(...present.map(([label, value]) => [Number(label), value] as const)))
}

/** A token that is refused: what differs from a good one, and with which code, where. */
type Refused = readonly [name: string, change: Partial<CcaTokenOptions>, code: string, at: string]
const platform = (
  name: string,
  claims: NonNullable<CcaTokenOptions['platformClaims']>,
  ...[code, at, generation = 'legacy']: readonly [string, string, CcaGeneration?]
): Refused => [`platform: ${name}`, { platformClaims: claims, generation }, code, P + at]
const realm = (
  name: string,
  claims: NonNullable<CcaTokenOptions['realmClaims']>,
  ...[code, at, generation = 'legacy']: readonly [string, string, CcaGeneration?]
): Refused => [`realm: ${name}`, { realmClaims: claims, generation }, code, R + at]

const PROFILE = 'tag:arm.com,2026:cca_platform#2.0.0'
export const REFUSED: readonly Refused[] = [
  // Platform
  platform('no profile', { 265: undefined }, MALFORMED, '-profile'),
  platform('a profile of PSA', { 265: 'http://arm.com/PSA-SSD/1.0.0' }, UNSUPPORTED, '-profile'),
  platform('the direct model', { 265: `${PROFILE};direct` }, UNSUPPORTED, '-profile'),
  platform('the HESRAK model', { 265: `${PROFILE};HESRAK` }, UNSUPPORTED, '-profile'),
  platform('a profile that is no text', { 265: 1 }, MALFORMED, '-profile'),
  platform('no challenge', { 10: undefined }, MALFORMED, '-challenge'),
  platform('a challenge of 33 bytes', { 10: hash(33) }, MALFORMED, '-challenge'),
  platform('two challenges', { 10: [hash(32), hash(32)] }, MALFORMED, '-challenge'),
  platform('no binding', { 2408: undefined }, MALFORMED, '-workload-binding', '2026'),
  platform('a challenge of 2026', { 10: hash(32) }, MALFORMED, '-challenge', '2026'),
  platform('no client', { 2394: undefined }, MALFORMED, '-client-id', '2024'),
  platform('another client', { 2394: 2 }, MALFORMED, '-client-id', '2024'),
  platform('no implementation id', { 2396: undefined }, MALFORMED, '-implementation-id'),
  platform('an implementation id of 33 bytes', { 2396: hash(33) }, MALFORMED, '-implementation-id'),
  platform('no instance id', { 256: undefined }, MALFORMED, '-instance-id'),
  platform('an instance id of 32 bytes', { 256: hash(32, 1) }, MALFORMED, '-instance-id'),
  platform('an instance id of another type', { 256: hash(33, 2) }, MALFORMED, '-instance-id'),
  platform('no config', { 2401: undefined }, MALFORMED, '-config'),
  platform('an empty config', { 2401: hash(0) }, MALFORMED, '-config'),
  platform('no lifecycle', { 2395: undefined }, MALFORMED, '-lifecycle'),
  platform('a lifecycle between the states', { 2395: 0x3100 }, MALFORMED, '-lifecycle'),
  platform('a lifecycle of three bytes', { 2395: 0x13003 }, MALFORMED, '-lifecycle'),
  platform('a negative lifecycle', { 2395: -1 }, MALFORMED, '-lifecycle'),
  platform('no hash algorithm', { 2402: undefined }, MALFORMED, '-hash-algo-id'),
  platform('a weak hash algorithm', { 2402: 'sha-1' }, UNSUPPORTED, '-hash-algo-id'),
  platform('no components', { 2399: undefined }, MALFORMED, '-sw-components'),
  platform('an empty list of components', { 2399: [] }, MALFORMED, '-sw-components'),
  platform(
    '129 components',
    { 2399: Array(129).fill(map([2, hash(32)])) },
    MALFORMED,
    '-sw-components',
  ),
  platform('a component that is none', { 2399: [1] }, MALFORMED, '-sw-components[0]'),
  platform(
    'a component without a measurement',
    { 2399: components({ 2: undefined }) },
    MALFORMED,
    '-sw-components[0].measurement-value',
  ),
  platform(
    'a measurement of 20 bytes',
    { 2399: components({ 2: hash(20) }) },
    MALFORMED,
    '-sw-components[0].measurement-value',
  ),
  platform(
    'a component without a signer',
    { 2399: components({ 5: undefined }) },
    MALFORMED,
    '-sw-components[0].signer-id',
  ),
  platform(
    'a flag that is none',
    { 2399: components({ 7: 1 }) },
    MALFORMED,
    '-sw-components[0].live-firmware-activation',
  ),
  platform(
    'a countersigner of one byte',
    { 2399: components({ 8: [hash(1)] }) },
    MALFORMED,
    '-sw-components[0].countersigners',
  ),
  platform(
    'an attribute nobody knows',
    { 2399: components({ 9: true }) },
    UNSUPPORTED,
    '-sw-components[0].attribute',
  ),
  platform('an empty service indicator', { 2400: '' }, MALFORMED, '-service-indicator'),
  platform(
    'an endless service indicator',
    { 2400: 'x'.repeat(1025) },
    MALFORMED,
    '-service-indicator',
  ),
  // Realm
  realm('another profile', { 265: 'tag:arm.com,2023:realm#9.0.0' }, UNSUPPORTED, '-profile'),
  realm('no challenge', { 10: undefined }, MALFORMED, '-challenge'),
  realm('a challenge of 32 bytes', { 10: hash(32) }, MALFORMED, '-challenge'),
  realm('a challenge of 65 bytes', { 10: hash(65) }, MALFORMED, '-challenge'),
  realm('no personalization value', { 44235: undefined }, MALFORMED, '-personalization-value'),
  realm('a short personalization value', { 44235: hash(63) }, MALFORMED, '-personalization-value'),
  realm('no initial measurement', { 44238: undefined }, MALFORMED, '-initial-measurement'),
  realm(
    'an initial measurement of 20 bytes',
    { 44238: hash(20) },
    MALFORMED,
    '-initial-measurement',
  ),
  realm('no registers', { 44239: undefined }, MALFORMED, '-extensible-measurements'),
  realm(
    'three registers',
    { 44239: Array(3).fill(hash(32)) },
    MALFORMED,
    '-extensible-measurements',
  ),
  realm(
    'five registers',
    { 44239: Array(5).fill(hash(32)) },
    MALFORMED,
    '-extensible-measurements',
  ),
  realm(
    'a register of 33 bytes',
    { 44239: [hash(32), hash(32), hash(32), hash(33)] },
    MALFORMED,
    '-extensible-measurements',
  ),
  realm('no hash algorithm', { 44236: undefined }, MALFORMED, '-hash-algo-id'),
  realm('a weak hash algorithm', { 44236: 'md5' }, UNSUPPORTED, '-hash-algo-id'),
  realm('no algorithm of the binding', { 44240: undefined }, MALFORMED, '-public-key-hash-algo-id'),
  realm(
    'a weak algorithm of the binding',
    { 44240: 'sha-1' },
    UNSUPPORTED,
    '-public-key-hash-algo-id',
  ),
  realm('no key', { 44237: undefined }, MALFORMED, '-public-key'),
  realm(
    'a compressed point',
    { 44237: Uint8Array.of(2, ...hash(48)) },
    MALFORMED,
    '-public-key.end',
  ),
  realm('a point that is cut', { 44237: Uint8Array.of(4, ...hash(95)) }, MALFORMED, '-public-key'),
  realm('a key that is no COSE_Key', { 44237: hash(97) }, MALFORMED, '-public-key.end', '2023'),
  realm(
    'a key of another kind',
    { 44237: coseKey({ 1: 1 }) },
    UNSUPPORTED,
    '-public-key.kty',
    '2023',
  ),
  realm('a key on P-521', { 44237: coseKey({ '-1': 3 }) }, UNSUPPORTED, '-public-key.crv', '2023'),
  realm(
    'a key for another algorithm',
    { 44237: coseKey({ 3: -7 }) },
    MALFORMED,
    '-public-key.alg',
    '2023',
  ),
  realm(
    'a key without y',
    { 44237: coseKey({ '-3': undefined }) },
    MALFORMED,
    '-public-key.y',
    '2023',
  ),
  realm(
    'a key with the sign of y',
    { 44237: coseKey({ '-3': true }) },
    MALFORMED,
    '-public-key.y',
    '2023',
  ),
  realm(
    'a private key',
    { 44237: coseKey({ '-4': hash(48) }) },
    UNSUPPORTED,
    '-public-key.parameter',
    '2023',
  ),
  realm(
    'a key with operations',
    { 44237: coseKey({ 4: [1] }) },
    UNSUPPORTED,
    '-public-key.parameter',
    '2023',
  ),
  realm('no policy of memory', { 44243: undefined }, MALFORMED, '-mec-policy', '2024'),
  realm('a policy of memory nobody knows', { 44243: 2 }, MALFORMED, '-mec-policy', '2026'),
  realm('a policy of firmware nobody knows', { 44244: 'maybe' }, MALFORMED, '-lfa-policy', '2026'),
  realm('no instance id', { 256: undefined }, MALFORMED, '-instance-id', '2026'),
  realm('an instance id of another type', { 256: hash(33) }, MALFORMED, '-instance-id', '2024'),
  realm(
    'a hash of devices that is none',
    { 44257: hash(5) },
    MALFORMED,
    '-devices-token-hash',
    '2026',
  ),
  // Collection and signatures
  ['no platform', { parts: { 44234: undefined } }, MALFORMED, 'cca.token.44234'],
  ['no realm', { parts: { 44241: undefined } }, MALFORMED, 'cca.token.44241'],
  ['a device token', { parts: { 44258: [601, hash(3)] }, tag: 907 }, UNSUPPORTED, 'cca.token'],
  ['a part named by a text', { parts: { __cmwc_t: 'x' } }, UNSUPPORTED, 'cca.token'],
  ['records under tag 399', { parts: { 44234: [263, hash(3)] } }, MALFORMED, 'cca.token.44234'],
  ['bytes under tag 907', { parts: { 44241: hash(3) }, tag: 907 }, MALFORMED, 'cca.token.44241'],
  [
    'a record of three',
    { parts: { 44241: [263, hash(3), 1] }, tag: 907 },
    MALFORMED,
    'cca.token.44241',
  ],
  [
    'another media type',
    { parts: { 44241: [60, hash(3)] }, tag: 907 },
    UNSUPPORTED,
    'cca.token.44241',
  ],
  ['another tag', { tag: 908 }, MALFORMED, 'cca.token.tag'],
  ['ES512', { platformHeader: map([1, -36]) }, UNSUPPORTED, 'cca.platform.cose.protected'],
  ['EdDSA', { realmHeader: map([1, -8]) }, UNSUPPORTED, 'cca.realm.cose.protected'],
  ['no algorithm', { realmHeader: map() }, MALFORMED, 'cca.realm.cose.protected'],
  [
    'a key id beside it',
    { realmHeader: map([1, -35], [4, hash(3)]) },
    MALFORMED,
    'cca.realm.cose.protected',
  ],
  ['claims that are no map', { platformPayload: encodeCbor([1]) }, MALFORMED, 'cca.platform'],
  ['claims that are nothing', { realmPayload: hash(0) }, MALFORMED, 'cca.realm.head'],
]
