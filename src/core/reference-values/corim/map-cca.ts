/**
 * Arm CCA: platform triples name an implementation and its firmware, realm triples what a realm was
 * started from. In the words of current drafts (`cca.software-component`, `cca.rim`) and of the first
 * ones (tags 600 to 602, integrity registers).
 *
 * @packageDocumentation
 * @see draft-ydb-rats-cca-endorsements, draft-ffm-rats-cca-token
 */
import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import { decodePem } from '../../encoding/pem.ts'
import { VouchsafeError } from '../../errors.ts'
import { keyOfSpki } from '../../x509/ec-key.ts'
import { type Claim, type Fragment, labelOf } from '../fragments.ts'
import type { KeyTriple, ReferenceTriple } from './comid.ts'
import { describeEnvironment, type Environment } from './environment.ts'
import { type Mapped, NOTHING } from './mapped.ts'
import { type HashName, type Measurement, membersOf } from './measurement.ts'

const [IMPLEMENTATION_ID, INSTANCE_ID, RPV] = [32, 33, 64] as const
const HASH_SIZES: readonly number[] = [32, 48, 64]
const COMPONENT = 'cca.software-component'
const CONFIG = 'cca.platform-config'
/** Of a component's type, which {@link Claim} names `sw_<type>`; as the token's claims have it. */
const COMPONENT_NAME = /^[A-Za-z0-9_]{1,28}$/
const REGISTER = /^(?:cca\.)?(rim|rem[0-3])$/
/** Without a key in the first drafts. */
const RPV_KEYS: readonly (string | undefined)[] = [undefined, 'rpv', 'cca.rpv']
/** Members that are read of a platform's measurements, by their keys. */
const PLATFORM_READS: ReadonlyMap<string | undefined, readonly string[]> = new Map([
  [COMPONENT, ['digests', 'signers']],
  [CONFIG, ['raw']],
])
const KEY_BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'corim.attest-key-triples' } as const

/** Whether a triple is about a platform: by its implementation id, which PSA's have as well. */
export function isCcaPlatform(environment: Environment, profile = ''): boolean {
  const { classId } = environment
  if (classId?.kind === 'implementation-id') return profile === '' || /cca/i.test(profile)
  return /cca[_/](?:platform|ssd)/i.test(profile) && classId?.kind === 'bytes'
}

/** Whether it is about a realm. */
export function isCcaRealm(profile: string | undefined): boolean {
  return /cca[_/]realm/i.test(profile ?? '')
}

/** Reference values of a platform: `implementation_id`, and `sw_<type>` of each component. */
export function mapCcaPlatform(triple: ReferenceTriple, at: string): Mapped {
  const { environment, measurements } = triple
  const id = environment.classId?.bytes ?? new Uint8Array()
  if (id.length !== IMPLEMENTATION_ID) {
    return leftOut(at, [`an implementation id of ${id.length} bytes`])
  }
  const components = measurements.filter(({ key }) => key === COMPONENT)
  const named = components.filter(isNamed)
  const twice = firstTwice(named.map(({ name = '' }) => name))
  if (twice !== undefined) return leftOut(at, [`two values of component ${twice}`])
  const fixed = { name: 'implementation_id', anyOf: [toHex(id)] }
  const label = labelOf(describeEnvironment(environment))
  const fragments = perAlgorithm(named, (one) => `sw_${one.name ?? ''}`).map(
    (claims): Fragment => ({
      format: 'arm-cca',
      layer: 'platform',
      label,
      claims: [fixed, ...claims],
    }),
  )
  const config = measurements.filter(({ key }) => key === CONFIG)
  const { unmapped } = leftOut(at, [
    ...(fragments.length === 0 ? ['its components have no hash algorithm in common'] : []),
    ...(named.length === 0 ? ['no component by name: any firmware of it will do'] : []),
    ...componentNotes(components),
    ...config.map(() => "platform configuration: see the policy's platform.config"),
    ...leftOver(triple, ({ key }) => PLATFORM_READS.get(key) ?? []),
  ])
  const policy = {
    'platform.swComponents': components.flatMap(componentPolicy),
    'platform.config': config.flatMap(configPolicy),
  }
  return { ...NOTHING, fragments, policy, unmapped }
}

/** Reference values of a realm: `rim`, `rem0` to `rem3`, and `rpv`. */
export function mapCcaRealm(triple: ReferenceTriple, at: string): Mapped {
  const { environment, measurements } = triple
  const registers = registersOf(measurements)
  const known = registers.filter((one) => nameOf(one) !== '')
  const rpv = measurements.filter(isRpv).map(({ raw }) => toHex(raw?.value ?? new Uint8Array()))
  const names = known.map(nameOf)
  if (new Set(names).size < names.length || rpv.length > 1) {
    return leftOut(at, ['two values of one register'])
  }
  const [named] = rimOf(environment)
  const rim = known.find((one) => nameOf(one) === 'rim')
  if (named !== undefined && rim !== undefined && !isOneOf(named, rim)) {
    return leftOut(at, ['its class names a realm that is not the one measured'])
  }
  const extra: readonly Claim[] = [
    ...(rim !== undefined || named === undefined ? [] : [named]),
    ...(rpv.length === 0 ? [] : [{ name: 'rpv', anyOf: rpv }]),
  ]
  const label = labelOf(`realm ${describeEnvironment(environment).slice(0, 60)}`)
  const fragments = perAlgorithm(known, nameOf)
    .map((claims) => [...claims, ...extra])
    .filter((claims) => claims.length > 0)
    .map((claims): Fragment => ({ format: 'arm-cca', layer: 'realm', label, claims }))
  const strange = registers.filter((one) => nameOf(one) === '')
  const { unmapped } = leftOut(at, [
    ...(fragments.length === 0 ? ['no measurement of a realm'] : []),
    ...((rim ?? named) ? [] : ['no initial measurement: any realm will do']),
    ...strange.map(({ key = '' }) => `register ${key}`),
    ...leftOver(triple, (one) => [
      ...(nameOf(one) === '' ? [] : ['digests']),
      ...(one.registers.length === 0 ? [] : ['registers']),
      ...(isRpv(one) ? ['raw'] : []),
    ]),
  ])
  return { ...NOTHING, fragments, unmapped }
}

/** Keys of platforms, found by the ids that the triple names. */
export function mapCcaKeys({ environment, keys, others }: KeyTriple, at: string): Mapped {
  const { classId, instance } = environment
  const implementationId = sized(classId?.bytes, IMPLEMENTATION_ID)
  const instanceId = sized(instance?.bytes, INSTANCE_ID)
  if (implementationId === undefined || instanceId === undefined) {
    return leftOut(at, ['keys of no one platform'])
  }
  const spkis = keys.map(spkiOf)
  return {
    ...NOTHING,
    platformKeys: spkis.flatMap((spki) =>
      spki === undefined ? [] : [{ spki, implementationId, instanceId }],
    ),
    unmapped: leftOut(at, [
      ...others,
      ...spkis.filter((spki) => spki === undefined).map(() => 'a key that is not P-256 or P-384'),
    ]).unmapped,
  }
}

/** What is left out of a triple, and why. */
function leftOut(at: string, reasons: readonly string[]): Mapped {
  return { ...NOTHING, unmapped: reasons.map((reason) => `${at}: ${reason}`) }
}

function isNamed({ name }: Measurement): boolean {
  return COMPONENT_NAME.test(name ?? '')
}

/** Each is looked at once: whoever writes the manifest says how many there are. */
function firstTwice(names: readonly string[]): string | undefined {
  const seen = new Set<string>()
  for (const name of names) {
    if (seen.has(name)) return name
    seen.add(name)
  }
  return undefined
}

function componentNotes(components: readonly Measurement[]): readonly string[] {
  return [
    ...components.filter((one) => !isNamed(one)).map(() => 'a component without a name'),
    ...components.flatMap(({ name = '', signers }) =>
      signers.length === 0 ? [] : [`signer of ${name}: see the policy's platform.swComponents`],
    ),
  ]
}

/** Measurements of one register each, which the first drafts have together in one. */
function registersOf(measurements: readonly Measurement[]): readonly Measurement[] {
  return measurements.flatMap((one) => [
    ...(REGISTER.test(one.key ?? '') ? [one] : []),
    ...one.registers.map(([key, digests]) => ({ ...one, key, digests })),
  ])
}

/** Of a register; `''` for none that a realm has. */
function nameOf({ key = '' }: Measurement): string {
  return REGISTER.exec(key)?.[1] ?? ''
}

function isRpv({ key, raw }: Measurement): boolean {
  return RPV_KEYS.includes(key) && raw?.value.length === RPV && raw.mask === undefined
}

/** One list of claims for each algorithm by which every one of them has a digest. */
function perAlgorithm(
  measurements: readonly Measurement[],
  nameOf: (one: Measurement) => string,
): readonly (readonly Claim[])[] {
  if (measurements.length === 0) return [[]]
  const algorithms: readonly HashName[] = ['sha-256', 'sha-384', 'sha-512']
  return algorithms.flatMap((algorithm) => {
    const claims = measurements.flatMap((one) =>
      one.digests
        .filter((digest) => digest.algorithm === algorithm)
        .map(({ value }) => ({ name: nameOf(one), anyOf: [value] })),
    )
    return claims.length === measurements.length ? [claims] : []
  })
}

function isOneOf({ anyOf }: Claim, { digests }: Measurement): boolean {
  return digests.some(({ value }) => anyOf.includes(value))
}

/** A realm is named by its initial measurement. */
function rimOf({ classId, instance }: Environment): readonly Claim[] {
  const id = classId?.kind === 'bytes' ? classId : instance
  if (id?.kind !== 'bytes' || !HASH_SIZES.includes(id.bytes.length)) return []
  return [{ name: 'rim', anyOf: [id.text] }]
}

/** What the measurements ask besides, and measurements of which nothing was read. */
function leftOver(
  { environment, measurements }: ReferenceTriple,
  membersRead: (one: Measurement) => readonly string[],
): readonly string[] {
  return [
    ...environment.others.map((name) => `environment ${name}`),
    ...measurements.flatMap((one) => {
      const name = one.key ?? 'measurement without a key'
      const read = membersRead(one)
      if (read.length === 0) return [name]
      // A name says which of several it is.
      const unread = membersOf(one).filter((member) => member !== 'name' && !read.includes(member))
      return [...unread, ...one.others].map((other) => `${name}: ${other}`)
    }),
  ]
}

function componentPolicy({ name = '', digests, signers }: Measurement): readonly Json[] {
  return signers.flatMap((signerId) =>
    digests.map(({ value }) => ({ type: name, measurement: value, signerId })),
  )
}

function configPolicy({ raw }: Measurement): readonly Json[] {
  if (raw === undefined) return []
  const mask = raw.mask ?? raw.value.map(() => 0xff)
  const value = raw.value.map((byte, i) => byte & (mask[i] ?? 0))
  return [{ mask: toHex(mask), value: toHex(value) }]
}

function sized(bytes: Uint8Array | undefined, size: number): Uint8Array | undefined {
  return bytes?.length === size ? bytes : undefined
}

/** A PEM block, or only its base64. */
function spkiOf(text: string): Uint8Array | undefined {
  const label = 'PUBLIC KEY'
  const pem = text.includes('-----BEGIN')
    ? text
    : `-----BEGIN ${label}-----\n${text}\n-----END ${label}-----`
  try {
    return keyOfSpki(decodePem(pem, label, KEY_BLAME)[0] ?? new Uint8Array())?.spki
  } catch (error) {
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}
