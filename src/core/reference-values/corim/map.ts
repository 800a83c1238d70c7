/** From triples to this verifier's terms: which mapping a triple takes. @packageDocumentation */
import type { Comid, KeyTriple, ReferenceTriple } from './comid.ts'
import type { Corim } from './corim.ts'
import { describeEnvironment } from './environment.ts'
import { isCcaPlatform, isCcaRealm, mapCcaKeys, mapCcaPlatform, mapCcaRealm } from './map-cca.ts'
import { mapTee, shapeOf } from './map-tee.ts'
import { joinMapped, type Mapped, NOTHING } from './mapped.ts'

/**
 * Whose profiles the mappings were written for: Arm CCA, AMD, Intel (URIs, and its arc of OIDs in
 * hexadecimal). Profiles may add terms and change none (draft-ietf-rats-corim §4.1.4).
 */
const PROFILES: readonly RegExp[] = [
  /cca/i,
  /\bamd\.com\b/i,
  /\bintel\.com\b/i,
  /^6086480186f84d01/,
]

/** Maps a CoRIM; whatever has no place is in `unmapped`. */
export function mapCorim({ comids, profile, others }: Corim): Mapped {
  // draft-ietf-rats-corim §5.1.3: what is replaced must be disregarded.
  const replaced = new Set(comids.flatMap(({ replaces }) => replaces))
  return joinMapped([
    ...comids.map((comid) =>
      replaced.has(comid.id)
        ? { ...NOTHING, unmapped: [`CoMID ${comid.id}: replaced by another of this manifest`] }
        : mapComid(comid, profile),
    ),
    { ...NOTHING, unmapped: [...others, ...profileNotes(profile)] },
  ])
}

/** Whether this verifier knows what terms of this profile mean; a manifest may have none. */
export function isKnownProfile(profile: string | undefined): boolean {
  return profile === undefined || PROFILES.some((known) => known.test(profile))
}

function profileNotes(profile: string | undefined): readonly string[] {
  if (profile === undefined || isKnownProfile(profile)) return []
  return [`profile ${profile}, which is not known: what it adds to a manifest is not read`]
}

function mapComid(comid: Comid, profile: string | undefined): Mapped {
  const at = (what: string, i: number): string => `CoMID ${comid.id}, ${what} ${i}`
  return joinMapped([
    ...comid.references.map((triple, i) =>
      mapReference(triple, profile, at('reference triple', i)),
    ),
    ...comid.attestKeys.map((triple, i) => mapKeys(triple, profile, at('key triple', i))),
    { ...NOTHING, unmapped: comid.others.map((name) => `CoMID ${comid.id}: ${name}`) },
  ])
}

/** By the class first: a platform is one whatever its profile says. */
function mapReference(triple: ReferenceTriple, profile: string | undefined, at: string): Mapped {
  const { environment } = triple
  if (isCcaPlatform(environment, profile)) return mapCcaPlatform(triple, at)
  if (isCcaRealm(profile)) return mapCcaRealm(triple, at)
  const shape = shapeOf(environment)
  if (shape !== undefined) return mapTee(triple, shape, at)
  const what = describeEnvironment(environment)
  return { ...NOTHING, unmapped: [`${at}: an environment that is not known: ${what}`] }
}

function mapKeys(triple: KeyTriple, profile: string | undefined, at: string): Mapped {
  if (isCcaPlatform(triple.environment, profile)) return mapCcaKeys(triple, at)
  const what = describeEnvironment(triple.environment)
  return { ...NOTHING, unmapped: [`${at}: keys of ${what}, which come from its vendor`] }
}
