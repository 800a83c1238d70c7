import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { appraise } from '../../src/core/appraisal/appraise.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import type { PassportKind } from '../../src/core/endorsements/passport-trust.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { parsePassport } from '../../src/core/evidence/passport/evidence.ts'
import { PASSPORT_FORMATS } from '../../src/core/evidence/passport/format.ts'
import { createCrypto as createNode } from '../../src/drivers/crypto/node.ts'
import { createCrypto as createWeb } from '../../src/drivers/crypto/web.ts'
import { mintPassport } from '../../src/testing/index.ts'
import { passportIssuer } from '../support/mint-case.ts'
import { mutationsOf, orTyped, prefixesOf } from '../support/mutate.ts'
import { KINDS, NOW, passportInput, trusting, verdictOf } from '../support/passports.ts'

const tokens = new Map(
  KINDS.map((kind) => [kind, mintPassport({ issuer: passportIssuer(kind), at: NOW })] as const),
)
const tokenOf = (kind: PassportKind): Uint8Array => tokens.get(kind) ?? new Uint8Array()

async function tierOf(kind: PassportKind, evidence: Uint8Array): Promise<string> {
  const result = await orTyped(async () => verdictOf(passportInput(kind, {}, { evidence })))
  return result instanceof VouchsafeError ? result.code : result.tier
}

/** Any JSON that a claim could be. */
const anyJson = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom('affirming', 'disabled', true, false, null, 0, -1, 2 ** 60, 0.5, '', [], {}),
) as fc.Arbitrary<Json>

describe.each(KINDS)('%s', (kind) => {
  const good = tokenOf(kind)
  const format = PASSPORT_FORMATS[kind]

  it('flip-never-affirms', async () => {
    expect(await tierOf(kind, good)).toBe('affirming')
    // Whitespace of a bundle is nobody's; every byte of the tokens in it is somebody's.
    for (let at = 0; at < good.length; at++) {
      const flipped = good.with(at, (good[at] ?? 0) ^ (1 << (at % 8)))
      expect(await tierOf(kind, flipped), `byte ${at}`).not.toBe('affirming')
    }
  }, 120_000)

  it('truncation-is-typed', async () => {
    for (const prefix of prefixesOf(good)) {
      format.detects(prefix)
      const parsed = await orTyped(() => parsePassport(prefix, 'x'))
      // A shorter signature is still text; it must not verify.
      if (!(parsed instanceof VouchsafeError)) {
        expect(await tierOf(kind, prefix)).not.toBe('affirming')
      }
    }
  }, 60_000)

  it('garbage-is-typed', async () => {
    await fc.assert(
      fc.asyncProperty(mutationsOf(good), async (mutation) => {
        format.detects(mutation)
        const parsed = await orTyped(() => parsePassport(mutation, 'x'))
        if (parsed instanceof VouchsafeError) return
        format.describe(parsed)
        const whole = parsePassport(good, 'x')
        const same =
          parsed.token.text === whole.token.text &&
          parsed.devices.every(({ token }, i) => token.text === whole.devices[i]?.token.text)
        if (!same) expect(await tierOf(kind, mutation)).not.toBe('affirming')
      }),
      { numRuns: 300 },
    )
  }, 60_000)

  it('garbage-is-typed: claims signed by the right key, with anything in them', async () => {
    const names = Object.keys(parsePassport(good, 'x').token.payload)
    const change = fc.tuple(fc.constantFrom(...names, 'extra'), anyJson)
    await fc.assert(
      fc.asyncProperty(change, async ([name, value]) => {
        const input = passportInput(kind, { claims: { [name]: value } })
        const result = await orTyped(async () => verdictOf(input))
        if (!(result instanceof VouchsafeError)) expect(result.tier).toBeTypeOf('string')
      }),
      { numRuns: 300 },
    )
  }, 60_000)

  it('absent-never-passes: without any one claim it is no better, and what policies need refuses', async () => {
    const names = Object.keys(parsePassport(good, 'x').token.payload)
    const refused: string[] = []
    for (const name of names) {
      const result = await verdictOf(passportInput(kind, { claims: { [name]: undefined } }))
      if (result.tier !== 'affirming') refused.push(name)
    }
    expect(refused).toEqual(expect.arrayContaining(NEEDED[kind] as string[]))
  })

  it('tightening-never-helps', async () => {
    for (const [name, field] of Object.entries(format.policyFields)) {
      // With one good answer there is none tighter; the empty list of advisories accepts none.
      const { schema } = field.type as { readonly schema: Readonly<Record<string, Json>> }
      if ('const' in schema || schema['minItems'] === 0) continue
      const never = tightest(schema)
      const input = passportInput(kind, {}, { fields: { [name]: { require: never } } })
      const { tier } = await verdictOf(input)
      expect(tier, name).toBe('contraindicated')
    }
  })

  it('input-is-untouched', async () => {
    const given = good.slice()
    await verdictOf(passportInput(kind, {}, { evidence: given }))
    expect(given).toEqual(good)
  })

  it('wrong-time-fails', async () => {
    for (const year of [1970, 2020, 2027, 2100, 9999]) {
      const now = new Date(Date.UTC(year, 0, 1))
      const { tier } = await verdictOf(passportInput(kind, {}, { now, evidence: good }))
      expect(tier).toBe('contraindicated')
    }
  })

  it('replay-is-identical, on node:crypto and on WebCrypto', async () => {
    const flipped = good.with(good.length - 20, (good[good.length - 20] ?? 0) ^ 1)
    for (const evidence of [good, flipped]) {
      for (const anchors of [trusting(passportIssuer(kind).trust), trusting()]) {
        const input = passportInput(kind, {}, { evidence, anchors })
        const results = await Promise.all(
          [createNode(), createNode(), createWeb()].map(async (crypto) => {
            const result = await orTyped(async () =>
              appraise(input, { crypto, memo: createMemo(0) }),
            )
            return JSON.stringify(result)
          }),
        )
        expect(new Set(results).size).toBe(1)
      }
    }
  })
})

/** Claims without which the shipped `authentic` policy must refuse. */
const NEEDED: Readonly<Record<PassportKind, readonly string[]>> = {
  ear: ['iat', 'submods'],
  'intel-ita': ['iss', 'iat', 'exp', 'attester_type', 'attester_tcb_status', 'tdx_is_debuggable'],
  'azure-maa': ['iss', 'iat', 'exp', 'x-ms-attestation-type', 'x-ms-sevsnpvm-is-debuggable'],
  'gcp-cs': ['iss', 'aud', 'iat', 'exp', 'secboot', 'hwmodel', 'swname', 'dbgstat', 'submods'],
  'nvidia-nras': ['iss', 'iat', 'exp', 'x-nvidia-overall-att-result', 'submods', 'eat_nonce'],
}

/** A value of the type that no token meets; for a field with one good answer, that answer. */
function tightest(schema: Json): Json {
  const {
    type,
    items,
    pattern,
    enum: words,
    const: only,
    minimum,
    properties,
  } = schema as Record<string, Json | undefined>
  if (only !== undefined) return only
  if (words !== undefined) return (words as readonly Json[]).at(-1) ?? null
  if (type === 'array') return [tightest(items ?? {})]
  if (type === 'integer') return Math.max(Number(minimum), 1_000_000_000)
  if (type === 'object') {
    const members = Object.entries(properties as Readonly<Record<string, Json>>)
    return Object.fromEntries(members.map(([name, member]) => [name, tightest(member)]))
  }
  const candidates = ['nothing', 'f'.repeat(64), 'f'.repeat(96), `sha256:${'f'.repeat(64)}`, 'SA-0']
  return (
    candidates.find((text) => typeof pattern !== 'string' || new RegExp(pattern).test(text)) ?? ''
  )
}
