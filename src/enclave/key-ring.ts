/**
 * The enclave's sealing keys over time. Three generations are in every keyset: `next` is announced,
 * `current` is sealed to, `previous` is still opened. A ring never changes: turning it gives another
 * one, so that a new keyset can be attested and logged before anything in force moves.
 *
 * @see `spec/envelope.md` §2, §10, §13
 * @packageDocumentation
 */
import type { Random } from '../core/ports/crypto.ts'
import type { SealingCrypto } from '../core/ports/sealing.ts'
import { generateKeyPair, type KemKeyPair } from '../core/sealing/kem.ts'
import { type KeyConfig, keyConfigOf } from '../core/sealing/key-config.ts'
import {
  type KeyLife,
  type KeyState,
  type SealingKey,
  sealingKeyOf,
} from '../core/sealing/keyset.ts'
import type { OhttpKey } from '../core/sealing/ohttp.ts'
import { AEAD_PREFERENCE, KDF_HKDF_SHA256, type KemId } from '../core/sealing/suites.ts'

/** Hybrid first: that is the order in which clients look. */
const RING_KEMS: readonly KemId[] = [0x647a, 0x0020]
const SUITES = AEAD_PREFERENCE.map((aead) => ({ kdf: KDF_HKDF_SHA256, aead }))

/** Seconds. */
export interface RingTimes {
  /** How long a generation is sealed to. */
  readonly rotate: number
  /** How long it is opened afterwards: at least as long as a client may keep a keyset. */
  readonly overlap: number
}

interface RingKey {
  /** In the keyset, and in receipts. */
  readonly name: string
  /** In the header of every request. */
  readonly keyId: number
  readonly keyPair: KemKeyPair
  readonly config: KeyConfig
}

interface Generation {
  /** Unix seconds. */
  readonly notBefore: number
  readonly notAfter: number
  readonly keys: readonly RingKey[]
}

export interface KeyRing {
  readonly previous: Generation | undefined
  readonly current: Generation
  readonly next: Generation
  /** Unix second from which {@link turnRing} is due. */
  readonly turnAt: number
  readonly nextKeyId: number
}

interface RingDeps {
  readonly crypto: SealingCrypto
  readonly times: RingTimes
}

/** A ring with fresh keys. Key ids start anywhere, so that another boot's rarely mean ours. */
export async function makeRing(
  now: number,
  { crypto, times, random }: RingDeps & { readonly random: Random },
): Promise<KeyRing> {
  const first = random(1)[0] ?? 0
  const turnAt = now + times.rotate
  const current = await generate(first, { crypto, from: now, until: turnAt + times.overlap })
  const next = await generate(first + RING_KEMS.length, {
    crypto,
    from: turnAt,
    until: turnAt + times.rotate + times.overlap,
  })
  const nextKeyId = (first + 2 * RING_KEMS.length) % 256
  return { previous: undefined, current, next, turnAt, nextKeyId }
}

/** The ring one turn later: what was next is current, and there are fresh keys to announce. */
export async function turnRing(
  ring: KeyRing,
  now: number,
  { crypto, times }: RingDeps,
): Promise<KeyRing> {
  const turnAt = now + times.rotate
  const next = await generate(ring.nextKeyId, {
    crypto,
    from: turnAt,
    until: turnAt + times.rotate + times.overlap,
  })
  return {
    previous: { ...ring.current, notAfter: now + times.overlap },
    current: { ...ring.next, notBefore: now, notAfter: turnAt + times.overlap },
    next,
    turnAt,
    nextKeyId: (ring.nextKeyId + RING_KEMS.length) % 256,
  }
}

/** Keys that requests may be sealed to at `now`. Announced ones are opened early: clocks differ. */
export function openingKeys(ring: KeyRing, now: number): readonly OhttpKey[] {
  return generations(ring)
    .filter(({ generation }) => now < generation.notAfter)
    .flatMap(({ generation }) =>
      generation.keys.map(({ keyId, keyPair }) => ({ keyId, keyPair, suites: SUITES })),
    )
}

/** What the keyset says about the ring. */
export function describeRing(ring: KeyRing): {
  readonly sealing: readonly SealingKey[]
  readonly lives: readonly KeyLife[]
} {
  const all = generations(ring).flatMap(({ state, generation }) =>
    generation.keys.map((key) => ({ state, generation, key })),
  )
  return {
    sealing: all.map(({ key }) => sealingKeyOf(key.name, key.config)),
    lives: all.map(({ state, generation, key }) => ({
      key_id: key.name,
      state,
      not_before: generation.notBefore,
      not_after: generation.notAfter,
    })),
  }
}

/** Key ids that the first ring has and the second has not. */
export function retiredKeyIds(before: KeyRing, after: KeyRing): readonly number[] {
  const ids = (ring: KeyRing): number[] =>
    generations(ring).flatMap(({ generation }) => generation.keys.map(({ keyId }) => keyId))
  const kept = new Set(ids(after))
  return ids(before).filter((id) => !kept.has(id))
}

function generations(
  ring: KeyRing,
): readonly { readonly state: KeyState; readonly generation: Generation }[] {
  const { previous, current, next } = ring
  return [
    { state: 'current', generation: current },
    { state: 'next', generation: next },
    ...(previous === undefined ? [] : [{ state: 'previous' as const, generation: previous }]),
  ]
}

async function generate(
  firstKeyId: number,
  { crypto, from, until }: { crypto: SealingCrypto; from: number; until: number },
): Promise<Generation> {
  const keys = RING_KEMS.map(async (kem, i) => {
    const keyId = (firstKeyId + i) % 256
    const keyPair = await generateKeyPair(kem, crypto)
    const config = keyConfigOf(keyId, kem, keyPair.publicKey)
    return { name: `o${keyId}`, keyId, keyPair, config }
  })
  return { notBefore: from, notAfter: until, keys: await Promise.all(keys) }
}
