import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  type ArmPlatform,
  type CcaGeneration,
  type CcaTokenOptions,
  mintArmPlatform,
  mintCcaToken,
  mintRealmKey,
} from '../../../src/testing/index.ts'
import { appraiseCca, type CcaCase, endorsed, failures, pinned } from '../../support/arm.ts'

const machine = mintArmPlatform()
const stranger = mintArmPlatform({ instanceId: Uint8Array.of(1, ...new Uint8Array(32).fill(0xb3)) })
const p256 = mintKey('ES256')
const GENERATIONS: readonly CcaGeneration[] = ['legacy', '2023', '2024', '2026']

const mint = (options: Partial<CcaTokenOptions> = {}) =>
  mintCcaToken({ platform: machine, ...options })
const good: CcaCase = {
  token: mint(),
  anchors: pinned(machine),
  endorsements: endorsed(machine.endorsement),
}
const hash = (length: number, byte = 9): Uint8Array => new Uint8Array(length).fill(byte)

const ANCHOR = ['cca.platform_key.anchor', 'cca.platform_key.revocation']
const PLATFORM = ['cca.signature.platform']
const REALM = ['cca.signature.realm']
const BINDING = ['cca.binding.realm_key']

async function withMachine(other: ArmPlatform, generation: CcaGeneration) {
  return appraiseCca({
    token: mintCcaToken({ platform: other, generation }),
    anchors: pinned(other),
    endorsements: endorsed(other.endorsement),
  })
}

describe('Arm CCA authentication: a good token', () => {
  it.each(GENERATIONS)('of %s, by keys of either curve', async (generation) => {
    for (const cpak of [machine.cpak, p256]) {
      for (const rak of [machine.rak, p256]) {
        const result = await withMachine(mintArmPlatform({ cpak, rak }), generation)
        expect(failures(result)).toEqual([])
        expect(result.tier).toBe('affirming')
      }
    }
  })

  it.each<[string, Partial<CcaCase>]>([
    ['the key without ids', { endorsements: endorsed({ spki: machine.cpak.spki }) }],
    [
      'the key among junk',
      {
        endorsements: endorsed(
          ...Array.from({ length: 40 }, () => ({ spki: hash(5) })),
          { spki: stranger.cpak.spki },
          stranger.endorsement,
          { spki: p256.spki },
          machine.endorsement,
        ),
      },
    ],
    [
      'the key behind more unpinned ones than are tried',
      {
        endorsements: endorsed(
          ...Array.from({ length: 20 }, () => ({ spki: mintKey('ES384').spki })),
          { spki: machine.cpak.spki },
        ),
      },
    ],
    ['several machines pinned', { anchors: pinned(stranger, machine) }],
    ['a binding of SHA-512', { token: mint({ realmClaims: { 44240: 'sha-512' } }) }],
    ['a binding of SHA-384', { token: mint({ realmClaims: { 44240: 'sha-384' } }) }],
    [
      'claims nobody knows',
      { token: mint({ realmClaims: { 99999: 1, x: 'y' }, platformClaims: { 2499: [1] } }) },
    ],
    ['the legacy realm key under tag 907', { token: mint({ tag: 907 }) }],
    ['a COSE_Key under tag 399', { token: mint({ generation: '2023', tag: 399 }) }],
    [
      'a COSE_Key without a profile',
      { token: mint({ generation: '2023', realmClaims: { 265: undefined } }) },
    ],
  ])('%s', async (_, change) => {
    const result = await appraiseCca({ ...good, ...change })
    expect(failures(result)).toEqual([])
    expect(result.tier).toBe('affirming')
  })
})

const CASES: readonly (readonly [string, readonly string[], () => Partial<CcaCase>])[] = [
  // Platform
  ['machine without a pin', ANCHOR, () => ({ anchors: pinned() })],
  ['another machine pinned', ANCHOR, () => ({ anchors: pinned(stranger) })],
  [
    'machine of a stranger, endorsed and not pinned',
    ANCHOR,
    () => ({
      token: mintCcaToken({ platform: stranger }),
      endorsements: endorsed(stranger.endorsement, machine.endorsement),
    }),
  ],
  ['platform signed by another key', PLATFORM, () => ({ token: mint({ cpak: stranger.cpak }) })],
  ['platform signed by the realm key', PLATFORM, () => ({ token: mint({ cpak: machine.rak }) })],
  [
    'the stranger’s key endorsed under the ids of the machine',
    ANCHOR,
    () => ({
      token: mint({ cpak: stranger.cpak }),
      endorsements: endorsed({ ...machine.endorsement, spki: stranger.cpak.spki }),
    }),
  ],
  ['no platform signature', PLATFORM, () => ({ token: mint({ platformSignature: hash(0) }) })],
  [
    'platform signature of zeros',
    PLATFORM,
    () => ({ token: mint({ platformSignature: hash(96, 0) }) }),
  ],
  ['platform signature cut', PLATFORM, () => ({ token: mint({ platformSignature: hash(95) }) })],
  [
    'platform signature too long',
    PLATFORM,
    () => ({ token: mint({ platformSignature: hash(97) }) }),
  ],
  [
    'platform header that says another algorithm',
    PLATFORM,
    () => ({
      token: mint({ platformHeader: new Map([[1, -7]]) }),
      endorsements: endorsed(machine.endorsement, { spki: p256.spki }),
      anchors: pinned(machine, mintArmPlatform({ cpak: p256 })),
    }),
  ],
  // Binding
  [
    'both signatures valid, and the platform vouches for another realm key (rust-ccatoken bug 33)',
    BINDING,
    () => ({ token: mint({ platformClaims: { 10: hash(32) } }) }),
  ],
  ['binding of zeros', BINDING, () => ({ token: mint({ platformClaims: { 10: hash(32, 0) } }) })],
  [
    'binding with zeros behind it',
    BINDING,
    () => ({ token: mint({ platformClaims: { 10: padded() } }) }),
  ],
  [
    'realm of another machine',
    BINDING,
    () => ({
      token: mint({ rak: stranger.rak, platformClaims: { 10: bindingOf(machine) } }),
    }),
  ],
  [
    'binding by another hash than the realm says',
    BINDING,
    () => ({
      token: mint({
        realmClaims: { 44240: 'sha-512' },
        platformClaims: { 10: bindingOf(machine) },
      }),
    }),
  ],
  [
    'binding over the point instead of the COSE_Key',
    BINDING,
    () => ({
      token: mint({ generation: '2023', platformClaims: { 10: bindingOf(machine) } }),
    }),
  ],
  [
    'workload binding of another key, 2026',
    BINDING,
    () => ({ token: mint({ generation: '2026', platformClaims: { 2408: hash(32) } }) }),
  ],
  // Realm
  ['realm signed by another key', REALM, () => ({ token: realmSignedBy(stranger.rak) })],
  ['realm signed by the platform key', REALM, () => ({ token: realmSignedBy(machine.cpak) })],
  ['no realm signature', REALM, () => ({ token: mint({ realmSignature: hash(0) }) })],
  ['realm signature of zeros', REALM, () => ({ token: mint({ realmSignature: hash(96, 0) }) })],
  ['realm signature cut', REALM, () => ({ token: mint({ realmSignature: hash(95) }) })],
  [
    'realm header that says another algorithm',
    REALM,
    () => ({ token: mint({ realmHeader: new Map([[1, -7]]) }) }),
  ],
  [
    'realm key of another curve than the header',
    REALM,
    () => ({ token: mint({ rak: p256, realmHeader: new Map([[1, -35]]) }) }),
  ],
  // Several
  [
    'nothing right',
    [...ANCHOR, ...PLATFORM, ...BINDING, ...REALM],
    () => ({
      anchors: pinned(),
      token: mint({
        platformSignature: hash(96),
        realmSignature: hash(96),
        platformClaims: { 10: hash(32) },
      }),
    }),
  ],
]

function bindingOf({ rak }: ArmPlatform): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(mintRealmKey(rak, 'legacy')).digest())
}

function padded(): Uint8Array {
  return Uint8Array.of(...bindingOf(machine), ...new Uint8Array(32))
}

function realmSignedBy(key: ArmPlatform['rak']): Uint8Array {
  return mint({ rak: key, realmClaims: { 44237: mintRealmKey(machine.rak, 'legacy') } })
}

describe('Arm CCA authentication: one thing wrong', () => {
  it('counts its cases', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(26)
  })

  it.each(CASES)('%s fails %j', async (_, ids, change) => {
    const result = await appraiseCca({ ...good, ...change() })
    expect(failures(result)).toEqual(ids)
    expect(result.tier).toBe('contraindicated')
    expect(result.claims).toBeNull()
  })

  it('makes the same checks in the same order, whatever was found', async () => {
    const ids = (await appraiseCca(good)).checks.map(({ id }) => id)
    for (const [, , change] of CASES) {
      const result = await appraiseCca({ ...good, ...change() })
      expect(result.checks.map(({ id }) => id)).toEqual(ids)
    }
    expect(new Set(ids).size).toBe(ids.length)
  })
})

describe('Arm CCA authentication: no verdict', () => {
  const UNAVAILABLE = 'ERR_ENDORSEMENT_UNAVAILABLE'
  const { implementationId, instanceId } = machine
  const { spki } = machine.cpak
  it.each([
    ['no key', endorsed()],
    ['a key for another instance', endorsed({ spki, instanceId: stranger.instanceId })],
    [
      'a key for another implementation',
      endorsed({ spki, instanceId, implementationId: hash(32) }),
    ],
    ['a key of the other curve', endorsed({ spki: p256.spki, implementationId, instanceId })],
    ['a key that is none', endorsed({ spki: hash(120), instanceId })],
  ])('%s', async (_, endorsements) => {
    await expect(appraiseCca({ ...good, endorsements })).rejects.toMatchObject({
      code: UNAVAILABLE,
      at: 'endorsements.platformKeys',
    })
  })

  it('a realm key off its curve', async () => {
    const point = Uint8Array.of(4, ...hash(96))
    const token = mint({ realmClaims: { 44237: point } })
    await expect(appraiseCca({ ...good, token })).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_MALFORMED',
      at: 'crypto.key',
    })
  })
})

describe('what is remembered', () => {
  it('is the signature of the platform, and never a pin, a binding or a realm', async () => {
    const memo = createMemo(100)
    expect((await appraiseCca(good, memo)).tier).toBe('affirming')
    for (const [, ids, change] of CASES) {
      const result = await appraiseCca({ ...good, ...change() }, memo)
      expect(failures(result)).toEqual(ids)
    }
    expect((await appraiseCca(good, memo)).tier).toBe('affirming')
  })
})
