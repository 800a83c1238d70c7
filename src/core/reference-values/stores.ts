/**
 * The JSON in which verifiers of Arm CCA tokens (Veraison, Trustee) keep reference values: lists of
 * platforms and of realms.
 *
 * @packageDocumentation
 */
import type { Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { joinMapped, type Mapped, NOTHING } from './corim/mapped.ts'
import { type Claim, type Fragment, labelOf } from './fragments.ts'

type Members = Readonly<Record<string, Json | undefined>>

const HEX = /^(?:[0-9a-f]{2}){1,64}$/
const HASH = /^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/
const COMPONENT_NAME = /^[A-Za-z0-9_]{1,28}$/
const MAX_ITEMS = 1_000
const REGISTERS = 4

/** Whether a JSON value looks like such a store. */
export function isStore(value: Json): boolean {
  return isObject(value) && (Array.isArray(value['platform']) || Array.isArray(value['realm']))
}

/**
 * Reads a store.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for values that are not hexadecimal, and
 *   lists that are none.
 */
export function readStore(value: Json, blame: Blame): Mapped {
  const store = objectOf(value, blame)
  const { platform = [], realm = [], ...rest } = store
  const at = (name: string, i: number): Blame => ({
    code: blame.code,
    at: `${blame.at}.${name}[${i}]`,
  })
  return joinMapped([
    ...listOf(platform, blame).map((item, i) => readPlatform(item, at('platform', i))),
    ...listOf(realm, blame).map((item, i) => readRealm(item, at('realm', i))),
    { ...NOTHING, unmapped: Object.keys(rest).map((name) => `member ${name}`) },
  ])
}

function readPlatform(value: Json, blame: Blame): Mapped {
  const {
    'implementation-id': id,
    'sw-components': components = [],
    'platform-configuration': config,
    ...rest
  } = objectOf(value, blame)
  const implementation = hexOf(id, HASH, blame)
  const read = listOf(components, blame).map((item) => readComponent(item, blame))
  const names = read.map(({ claim }) => claim?.name).filter((name) => name !== undefined)
  if (new Set(names).size < names.length) {
    return { ...NOTHING, unmapped: [`${blame.at}: two values of one component`] }
  }
  const mask = config === undefined ? '' : hexOf(config, HEX, blame)
  const fragment: Fragment = {
    format: 'arm-cca',
    layer: 'platform',
    label: labelOf(`implementation-id ${implementation}`),
    claims: [
      { name: 'implementation_id', anyOf: [implementation] },
      ...read.flatMap(({ claim }) => (claim === undefined ? [] : [claim])),
    ],
  }
  const unmapped = [
    ...(names.length === 0 ? ['no component by name: any firmware of it will do'] : []),
    ...read.flatMap((component) => component.unmapped),
    ...(mask === '' ? [] : ["platform configuration: see the policy's platform.config"]),
    ...Object.keys(rest).map((name) => `member ${name}`),
  ]
  return {
    ...NOTHING,
    fragments: [fragment],
    policy: {
      'platform.swComponents': read.map(({ policy }) => policy),
      'platform.config': mask === '' ? [] : [{ mask: mask.replaceAll(/../g, 'ff'), value: mask }],
    },
    unmapped: unmapped.map((text) => `${blame.at}: ${text}`),
  }
}

function readComponent(
  value: Json,
  blame: Blame,
): {
  readonly claim: Claim | undefined
  readonly policy: Json
  readonly unmapped: readonly string[]
} {
  const {
    'component-type': type,
    'measurement-value': measured,
    'signer-id': signer,
    version,
    ...rest
  } = objectOf(value, blame)
  const measurement = hexOf(measured, HASH, blame)
  const signerId = hexOf(signer, HASH, blame)
  const name = typeof type === 'string' ? type : ''
  const named = COMPONENT_NAME.test(name)
  return {
    claim: named ? { name: `sw_${name}`, anyOf: [measurement] } : undefined,
    policy: { type: name, measurement, signerId },
    unmapped: [
      named
        ? `signer of ${name}: see the policy's platform.swComponents`
        : 'a component without a name',
      ...(version === undefined ? [] : [`version of ${name}`]),
      ...Object.keys(rest).map((member) => `${name}: member ${member}`),
    ],
  }
}

function readRealm(value: Json, blame: Blame): Mapped {
  const {
    'initial-measurement': rim,
    'extensible-measurements': rems = [],
    'personalization-value': rpv,
    'rak-hash-algorithm': algorithm,
    ...rest
  } = objectOf(value, blame)
  const registers = listOf(rems, blame)
  if (registers.length > REGISTERS) throw new VouchsafeError(blame, 'more than four registers')
  const initial = hexOf(rim, HASH, blame)
  const claims: readonly Claim[] = [
    { name: 'rim', anyOf: [initial] },
    ...registers.map((rem, i) => ({ name: `rem${i}`, anyOf: [hexOf(rem, HASH, blame)] })),
    ...(rpv === undefined ? [] : [{ name: 'rpv', anyOf: [hexOf(rpv, HASH, blame)] }]),
  ]
  const label = labelOf(`realm ${initial.slice(0, 16)}`)
  const unmapped = [
    // Of the key that signs the token, which the token itself names and the platform vouches for.
    ...(algorithm === undefined ? [] : ['rak-hash-algorithm']),
    ...Object.keys(rest).map((name) => `member ${name}`),
  ]
  return {
    ...NOTHING,
    fragments: [{ format: 'arm-cca', layer: 'realm', label, claims }],
    unmapped: unmapped.map((text) => `${blame.at}: ${text}`),
  }
}

function hexOf(value: Json | undefined, pattern: RegExp, blame: Blame): string {
  const text = typeof value === 'string' ? value.toLowerCase() : ''
  if (!pattern.test(text)) throw new VouchsafeError(blame, 'want hexadecimal of a known length')
  return text
}

function listOf(value: Json, blame: Blame): readonly Json[] {
  if (Array.isArray(value) && value.length <= MAX_ITEMS) return value as readonly Json[]
  throw new VouchsafeError(blame, `want a list of at most ${MAX_ITEMS}`)
}

function objectOf(value: Json, blame: Blame): Members {
  if (isObject(value)) return value
  throw new VouchsafeError(blame, 'want an object')
}

function isObject(value: Json): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
