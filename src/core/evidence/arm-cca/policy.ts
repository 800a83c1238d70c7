/** What a policy can ask of a realm and of its platform, and the answers. @packageDocumentation */
import {
  constant,
  field,
  fixedField,
  hex,
  listOf,
  oneOf,
  record,
  text,
} from '../../appraisal/policy-field.ts'
import { type Ask, among, policyTable, question } from '../../appraisal/question.ts'
import { toHex } from '../../bytes/hex.ts'
import { HASH_NAMES } from './claim-reader.ts'
import type { CcaClaims } from './claims.ts'
import { PLATFORM_PROFILES, type PlatformClaims } from './platform.ts'
import { COMPONENTS, checkComponents, checkSigners, SIGNERS } from './policy-firmware.ts'
import { REALM_PROFILES } from './realm.ts'

const ask: Ask<CcaClaims> = question

const hash = text(/^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/)
const anyBytes = text(/^(?:[0-9a-f]{2}){1,4096}$/)
const hashName = oneOf(...HASH_NAMES)
const noProfile = 'none'

/** Claim 2395 while something on the platform can be looked into from outside, or says nothing. */
const DEBUG_STATES: readonly string[] = [
  'non-platform-rot-debug',
  'recoverable-platform-rot-debug',
  'unknown',
]

/** Everything that a policy for Arm CCA can ask. */
export const POLICY = policyTable<CcaClaims>({
  debug: ask({
    id: 'cca.policy.debug',
    field: fixedField(
      'Debug is off: the lifecycle state is none in which the platform is debugged.',
      constant(false),
    ),
    actual: ({ platform }) => platform.state,
    judge: ({ platform }) => ({
      expected: `none of ${DEBUG_STATES.join(', ')}`,
      ok: !DEBUG_STATES.includes(platform.state),
    }),
  }),
  lifecycle: ask({
    id: 'cca.policy.lifecycle',
    field: fixedField(
      'The platform is in service: its lifecycle is 0x3000 to 0x30ff.',
      constant('secured'),
    ),
    actual: ({ platform }) => `${platform.state} (0x${platform.lifecycle.toString(16)})`,
    judge: ({ platform }, state) => ({ expected: state, ok: platform.state === state }),
  }),
  'platform.profile': ask({
    id: 'cca.platform.profile',
    field: field('Profile of the platform token.', listOf(oneOf(...PLATFORM_PROFILES))),
    actual: ({ platform }) => platform.profile,
    judge: among(({ platform }) => platform.profile),
  }),
  'platform.implementationId': ask({
    id: 'cca.platform.implementation_id',
    field: field('Implementation id: the make of the platform.', listOf(hex(32))),
    actual: ({ platform }) => toHex(platform.implementationId),
    judge: among(({ platform }) => toHex(platform.implementationId)),
  }),
  'platform.instances': ask({
    id: 'cca.platform.instances',
    field: field(
      'Machines that may answer, each by its instance id and the SHA-256 of its key (SubjectPublicKeyInfo). Both must be of one entry: endorsements of keys are not signed, so without this a pinned machine may claim the id of another.',
      listOf(record({ instanceId: hex(33), key: hex(32) })),
    ),
    actual: (claims) => `${toHex(claims.platform.instanceId)} with key ${claims.platformKey}`,
    judge: ({ platform, platformKey }, machines) => ({
      expected: machines.map((one) => `${one.instanceId} with key ${one.key}`).join(' or '),
      ok: machines.some(
        (one) => one.instanceId === toHex(platform.instanceId) && one.key === platformKey,
      ),
    }),
  }),
  'platform.config': ask({
    id: 'cca.platform.config',
    field: field(
      'Platform configuration, as its maker encodes it: the claim, masked, must be the value. Mask and value are as long as the claim.',
      listOf(record({ mask: anyBytes, value: anyBytes })),
    ),
    actual: ({ platform }) => toHex(platform.config),
    judge: ({ platform }, wanted) => ({
      expected: wanted.map(({ mask, value }) => `${value} under ${mask}`).join(' or '),
      ok: wanted.some((one) => isMasked(platform, one)),
    }),
  }),
  'platform.hashAlgorithm': ask({
    id: 'cca.platform.hash_algorithm',
    field: field('Hash algorithm of platform measurements.', listOf(hashName)),
    actual: ({ platform }) => platform.hashAlgorithm,
    judge: among(({ platform }) => platform.hashAlgorithm),
  }),
  'platform.swComponents': ask({
    id: 'cca.platform.sw_components',
    field: COMPONENTS,
    actual: ({ platform }) => platform.swComponents.map(({ type = '-' }) => type).join(', '),
    judge: ({ platform }, wanted) => checkComponents(platform.swComponents, wanted),
  }),
  'platform.signers': ask({
    id: 'cca.platform.signers',
    field: SIGNERS,
    actual: ({ platform }) =>
      [...new Set(platform.swComponents.map(({ signer }) => toHex(signer)))].join(', '),
    judge: ({ platform }, wanted) => checkSigners(platform.swComponents, wanted),
  }),
  'platform.extensions': ask({
    id: 'cca.platform.extensions',
    field: field(
      'Nothing was added to the platform at run time, and it has no peers: tokens name such parts without vouching for them, and their own evidence is not looked at.',
      constant(false),
    ),
    actual: (claims) => extensionsOf(claims).join(', ') || 'none',
    judge: (claims) => ({ expected: 'none', ok: extensionsOf(claims).length === 0 }),
  }),
  'realm.profile': ask({
    id: 'cca.realm.profile',
    field: field(
      'Profile of the realm token; "none" for those from before there were any.',
      listOf(oneOf(...REALM_PROFILES, noProfile)),
    ),
    actual: ({ realm }) => realm.profile ?? noProfile,
    judge: among(({ realm }) => realm.profile ?? noProfile),
  }),
  'realm.rim': measurement('rim', 'Realm initial measurement: what the realm started from.'),
  'realm.rem0': measurement('rem0', 'Realm extensible measurement 0.'),
  'realm.rem1': measurement('rem1', 'Realm extensible measurement 1.'),
  'realm.rem2': measurement('rem2', 'Realm extensible measurement 2.'),
  'realm.rem3': measurement('rem3', 'Realm extensible measurement 3.'),
  'realm.personalizationValue': ask({
    id: 'cca.realm.personalization_value',
    field: field('Realm personalization value, given by the host at creation.', listOf(hex(64))),
    actual: ({ realm }) => toHex(realm.personalizationValue),
    judge: among(({ realm }) => toHex(realm.personalizationValue)),
  }),
  'realm.hashAlgorithm': ask({
    id: 'cca.realm.hash_algorithm',
    field: field('Hash algorithm of realm measurements.', listOf(hashName)),
    actual: ({ realm }) => realm.hashAlgorithm,
    judge: among(({ realm }) => realm.hashAlgorithm),
  }),
  'realm.mecPolicy': ask({
    id: 'cca.realm.mec_policy',
    field: field(
      'Memory encryption context: the realm’s own, or shared. Older tokens do not say.',
      listOf(oneOf('private', 'shared')),
    ),
    actual: ({ realm }) => realm.mecPolicy ?? 'absent',
    judge: among(({ realm }) => realm.mecPolicy),
  }),
  'realm.lfaPolicy': ask({
    id: 'cca.realm.lfa_policy',
    field: field(
      'Whether firmware may be replaced below the running realm. Older tokens do not say.',
      listOf(oneOf('disallow', 'allow')),
    ),
    actual: ({ realm }) => realm.lfaPolicy ?? 'absent',
    judge: among(({ realm }) => realm.lfaPolicy),
  }),
  'realm.devices': ask({
    id: 'cca.realm.devices',
    field: field(
      'No devices are assigned to the realm: their own evidence is not looked at.',
      constant(false),
    ),
    actual: ({ realm }) => (realm.devicesTokenHash === undefined ? 'none' : 'assigned'),
    judge: ({ realm }) => ({ expected: 'none', ok: realm.devicesTokenHash === undefined }),
  }),
})

function measurement(name: string, doc: string) {
  return ask({
    id: `cca.realm.${name}`,
    field: field(doc, listOf(hash)),
    actual: ({ measurements }) => measurements[name] ?? 'absent',
    judge: among(({ measurements }) => measurements[name]),
  })
}

function isMasked(
  { config }: PlatformClaims,
  { mask, value }: { readonly mask: string; readonly value: string },
): boolean {
  const byte = (text: string, i: number): number =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  const fits = mask.length === 2 * config.length && value.length === 2 * config.length
  return fits && config.every((found, i) => (found & byte(mask, i)) === byte(value, i))
}

function extensionsOf({ platform }: CcaClaims): readonly string[] {
  const { extension, peerSigners } = platform.others
  return [
    ...(extension === undefined ? [] : ['devices added at run time']),
    ...(peerSigners === undefined ? [] : ['peers']),
  ]
}
