/** Every field of a token, for people. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import type { Field } from '../common/format.ts'
import { printCbor } from './claims.ts'
import type { PlatformClaims, SwComponent } from './platform.ts'
import type { RealmClaims } from './realm.ts'
import type { CcaEvidence } from './token.ts'

/** In the order of the specification, by its names. */
export function describeToken({ tag, platform, realm }: CcaEvidence): readonly Field[] {
  return [
    { name: 'collection tag', value: String(tag) },
    { name: 'cca-platform alg', value: platform.alg },
    ...describePlatform(platform.claims),
    { name: 'cca-platform signature', value: toHex(platform.message.signature) },
    { name: 'cca-realm alg', value: realm.alg },
    ...describeRealm(realm.claims),
    { name: 'cca-realm signature', value: toHex(realm.message.signature) },
  ]
}

function describePlatform(claims: PlatformClaims): readonly Field[] {
  const others = Object.entries(claims.others).map(([name, value]) => ({
    name: `cca-platform ${name}`,
    value: JSON.stringify(printCbor(value)),
  }))
  return [
    { name: 'cca-platform-profile', value: claims.profile },
    { name: 'cca-platform binding', value: toHex(claims.binding) },
    { name: 'cca-platform-implementation-id', value: toHex(claims.implementationId) },
    { name: 'cca-platform-instance-id', value: toHex(claims.instanceId) },
    { name: 'cca-platform-config', value: toHex(claims.config) },
    {
      name: 'cca-platform-lifecycle',
      value: `0x${claims.lifecycle.toString(16).padStart(4, '0')} ${claims.state}`,
    },
    { name: 'cca-platform-hash-algo-id', value: claims.hashAlgorithm },
    ...claims.swComponents.map((component, i) => ({
      name: `cca-platform-sw-components[${i}]`,
      value: describeComponent(component),
    })),
    { name: 'cca-platform-service-indicator', value: claims.verificationService ?? 'absent' },
    ...others,
    { name: 'cca-platform unknown claims', value: claims.unknown.join(', ') || 'none' },
  ]
}

function describeComponent(component: SwComponent): string {
  const { type, measurement, version, signer, hashAlgorithm, liveActivation } = component
  return [
    type ?? 'no type',
    version === undefined ? 'no version' : `version ${version}`,
    `measurement ${toHex(measurement)}`,
    `signer ${toHex(signer)}`,
    ...(hashAlgorithm === undefined ? [] : [hashAlgorithm]),
    ...(liveActivation === true ? ['live activation'] : []),
    ...component.countersigners.map((id) => `countersigner ${toHex(id)}`),
  ].join(', ')
}

function describeRealm(claims: RealmClaims): readonly Field[] {
  const optional = (bytes: Uint8Array | undefined): string => (bytes ? toHex(bytes) : 'absent')
  return [
    { name: 'cca-realm-profile', value: claims.profile ?? 'absent' },
    { name: 'cca-realm-challenge', value: toHex(claims.challenge) },
    { name: 'cca-realm-personalization-value', value: toHex(claims.personalizationValue) },
    { name: 'cca-realm-initial-measurement', value: toHex(claims.rim) },
    ...claims.rems.map((rem, i) => ({
      name: `cca-realm-extensible-measurements[${i}]`,
      value: toHex(rem),
    })),
    { name: 'cca-realm-hash-algo-id', value: claims.hashAlgorithm },
    { name: 'cca-realm-public-key', value: toHex(claims.publicKey) },
    { name: 'cca-realm-public-key-hash-algo-id', value: claims.keyHashAlgorithm },
    { name: 'cca-realm-mec-policy', value: claims.mecPolicy ?? 'absent' },
    { name: 'cca-realm-lfa-policy', value: claims.lfaPolicy ?? 'absent' },
    { name: 'cca-realm-instance-id', value: optional(claims.instanceId) },
    { name: 'cca-realm-devices-token-hash', value: optional(claims.devicesTokenHash) },
    { name: 'cca-realm unknown claims', value: claims.unknown.join(', ') || 'none' },
  ]
}
