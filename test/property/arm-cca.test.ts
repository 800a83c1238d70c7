import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { appraise } from '../../src/core/appraisal/appraise.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { armCca } from '../../src/core/evidence/arm-cca/format.ts'
import { parseToken } from '../../src/core/evidence/arm-cca/token.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { mintKey } from '../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto as createNode } from '../../src/drivers/crypto/node.ts'
import { createCrypto as createWeb } from '../../src/drivers/crypto/web.ts'
import { type CcaGeneration, mintArmPlatform, mintCcaToken } from '../../src/testing/index.ts'
import { appraiseCca, armPolicy, type CcaCase, endorsed, NOW, pinned } from '../support/arm.ts'
import { mutationsOf, orTyped, prefixesOf } from '../support/mutate.ts'
import { sharedDir } from '../support/shared.ts'

// P-256, so that thousands of verdicts take seconds; the samples have both curves.
const machine = mintArmPlatform({ cpak: mintKey('ES256'), rak: mintKey('ES256') })
const mint = (generation: CcaGeneration) => mintCcaToken({ platform: machine, generation })
const TOKENS = [mint('legacy'), mint('2026')]
const [legacy = new Uint8Array(), modern = new Uint8Array()] = TOKENS
const good: CcaCase = {
  token: legacy,
  anchors: pinned(machine),
  endorsements: endorsed(machine.endorsement),
}

async function tierOf(change: Partial<CcaCase>, base = good): Promise<string> {
  const result = await orTyped(async () => appraiseCca({ ...base, ...change }))
  return result instanceof VouchsafeError ? result.code : result.tier
}

/** A token of the Trusted Firmware, if the shared folder is there. */
function capture(): CcaCase | undefined {
  const dir = sharedDir()
  if (dir === undefined) return undefined
  const read = (file: string) => new Uint8Array(readFileSync(join(dir, 'evidence/cca', file)))
  const files = [{ name: 'key', bytes: read('rust-cpak.json') }]
  const { endorsements } = collectEndorsements(files)
  const [{ spki } = { spki: new Uint8Array() }] = endorsements.platformKeys ?? []
  const anchor = createHash('sha256').update(spki).digest('hex')
  return { token: read('rust-cca-token-01.cbor'), anchors: pinned({ anchor }), endorsements }
}

describe('Arm CCA', () => {
  it('flip-never-affirms', async () => {
    for (const token of TOKENS) {
      expect(await tierOf({ token })).toBe('affirming')
      for (let at = 0; at < token.length; at++) {
        const flipped = token.with(at, (token[at] ?? 0) ^ (1 << (at % 8)))
        expect(await tierOf({ token: flipped }), `byte ${at}`).not.toBe('affirming')
      }
    }
  }, 60_000)

  it('flip-never-affirms, of a real capture', async () => {
    const real = capture()
    if (real === undefined) return
    expect(await tierOf({}, real)).toBe('affirming')
    // Every byte of the head, of the last signature, and a third of the rest.
    const { length } = real.token
    for (let at = 0; at < length; at += at < 64 || at >= length - 96 ? 1 : 3) {
      const flipped = real.token.with(at, (real.token[at] ?? 0) ^ (1 << (at % 8)))
      expect(await tierOf({ token: flipped }, real), `byte ${at}`).not.toBe('affirming')
    }
  }, 60_000)

  it('truncation-is-typed', async () => {
    for (const token of TOKENS) {
      for (const prefix of prefixesOf(token)) {
        expect(await orTyped(() => parseToken(prefix))).toBeInstanceOf(VouchsafeError)
        armCca.detects(prefix)
      }
    }
  })

  it('garbage-is-typed', async () => {
    const start = performance.now()
    for (const token of TOKENS) {
      const { platform, realm } = parseToken(token)
      await fc.assert(
        fc.asyncProperty(mutationsOf(token), async (mutation) => {
          armCca.detects(mutation)
          const parsed = await orTyped(() => parseToken(mutation))
          if (parsed instanceof VouchsafeError) return
          armCca.describe(parsed)
          const same = [
            [parsed.platform.message, platform.message] as const,
            [parsed.realm.message, realm.message] as const,
          ].every(
            ([a, b]) =>
              Buffer.from(a.payload).equals(b.payload) &&
              Buffer.from(a.signature).equals(b.signature),
          )
          if (!same) expect(await tierOf({ token: mutation })).not.toBe('affirming')
        }),
        { numRuns: 5000 },
      )
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        for (const head of [[], [0xd9, 1, 0x8f], [0xd9, 3, 0x8b]]) {
          const garbage = Uint8Array.of(...head, ...bytes)
          expect(await orTyped(() => parseToken(garbage))).toBeInstanceOf(VouchsafeError)
        }
      }),
      { numRuns: 2000 },
    )
    expect(performance.now() - start).toBeLessThan(60_000)
  }, 90_000)

  it('garbage-is-typed: claims signed by the right keys, with anything in them', async () => {
    const scalar = fc.oneof(
      fc.integer(),
      fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n }),
      fc.string(),
      fc.uint8Array({ maxLength: 70 }),
      fc.boolean(),
      fc.constant(null),
      fc.constant(undefined),
    )
    const value = fc.oneof(scalar, fc.array(fc.oneof(fc.string(), fc.uint8Array(), fc.boolean())))
    const labels = [10, 256, 265, 2394, 2395, 2396, 2399, 2400, 2401, 2402, 2403, 2404, 2406, 2408]
    const realm = [10, 256, 265, 44235, 44236, 44237, 44238, 44239, 44240, 44243, 44244, 44257, 9]
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.tuple(fc.constant('platformClaims'), fc.constantFrom(...labels)),
          fc.tuple(fc.constant('realmClaims'), fc.constantFrom(...realm)),
        ),
        value,
        async ([part, label], given) => {
          const change = { [part]: { [label]: given } }
          let token: Uint8Array
          try {
            token = mintCcaToken({ platform: machine, generation: '2024', ...change })
          } catch (error) {
            // No strict encoding: nothing to parse.
            if (error instanceof RangeError) return
            throw error
          }
          const parsed = await orTyped(() => parseToken(token))
          if (!(parsed instanceof VouchsafeError)) armCca.describe(parsed)
          expect(typeof (await tierOf({ token }))).toBe('string')
        },
      ),
      { numRuns: 1500 },
    )
  }, 60_000)

  it('garbage-is-typed: lengths that lie allocate nothing', async () => {
    for (const head of [0x9a, 0xba, 0x5a]) {
      const lie = Uint8Array.of(0xd9, 1, 0x8f, head, 0xff, 0xff, 0xff, 0xff)
      expect(await orTyped(() => parseToken(lie))).toBeInstanceOf(VouchsafeError)
    }
    const deep = Uint8Array.of(0xd9, 1, 0x8f, ...new Uint8Array(100).fill(0x81))
    expect(await orTyped(() => parseToken(deep))).toBeInstanceOf(VouchsafeError)
  })

  it('absent-never-passes', async () => {
    const platform = [10, 256, 265, 2395, 2396, 2399, 2401, 2402]
    const realm = [10, 44235, 44236, 44237, 44238, 44239, 44240]
    for (const label of platform) {
      const token = mintCcaToken({ platform: machine, platformClaims: { [label]: undefined } })
      expect(await tierOf({ token }), `${label}`).toBe('ERR_EVIDENCE_MALFORMED')
    }
    for (const label of realm) {
      const token = mintCcaToken({ platform: machine, realmClaims: { [label]: undefined } })
      expect(await tierOf({ token }), `${label}`).toBe('ERR_EVIDENCE_MALFORMED')
    }
    expect(await tierOf({ endorsements: endorsed() })).toBe('ERR_ENDORSEMENT_UNAVAILABLE')
    expect(await tierOf({ anchors: pinned() })).toBe('contraindicated')
    for (const field of ['realm.mecPolicy', 'realm.lfaPolicy']) {
      const policy = armPolicy({ [field]: { require: ['private', 'disallow'] } })
      expect(await tierOf({ policy })).toBe('contraindicated')
    }
  })

  it('tightening-never-helps', async () => {
    const names = Object.keys(armCca.policyFields).filter((name) => name.includes('.'))
    const never = {
      instanceId: '',
      key: '',
      mask: '',
      value: '',
      type: 'x',
      measurement: '',
      signerId: '',
    }
    for (const name of names) {
      const require = /extensions|devices/.test(name)
        ? false
        : [/instances|config|swComponents/.test(name) ? never : 'x']
      const policy = armPolicy({ [name]: { require } })
      expect(await tierOf({ policy })).toBe(require === false ? 'affirming' : 'contraindicated')
    }
  })

  it('replay-is-identical, on node:crypto and on WebCrypto', async () => {
    for (const token of [legacy, modern]) {
      const input = {
        format: 'arm-cca',
        evidence: token,
        endorsements: good.endorsements,
        referenceValues: [],
        policy: armPolicy(),
        binding: { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } },
        anchors: good.anchors,
        now: NOW,
      } as const
      const results = await Promise.all(
        [createNode(), createNode(), createWeb()].map(async (crypto) =>
          JSON.stringify(await appraise(input, { crypto, memo: createMemo(0) })),
        ),
      )
      expect(new Set(results).size).toBe(1)
      expect(results[0]).toContain('"tier":"affirming"')
    }
  })
})
