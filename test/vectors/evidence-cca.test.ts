/**
 * Every Arm CCA sample of the shared folder gets the verdict its manifest expects. What the manifest
 * calls facts was computed independently and is compared field by field. Samples that are claims
 * without a signature are in `evidence-cca-claims.test.ts`.
 */
import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/core/bytes/hex.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import type { EndorsementSet } from '../../src/core/endorsements/endorsement-set.ts'
import { armCca } from '../../src/core/evidence/arm-cca/format.ts'
import { parseToken } from '../../src/core/evidence/arm-cca/token.ts'
import { unwrapEvidence } from '../../src/core/evidence/common/unwrap.ts'
import { detectFormat } from '../../src/core/evidence/formats.ts'
import { mintArmPlatform } from '../../src/testing/index.ts'
import { appraiseCca, type CcaCase, endorsed, failures, pinned } from '../support/arm.ts'
import {
  claimSets,
  dir,
  type Facts,
  jsonClaims,
  policy,
  read,
  readJson,
  type Sample,
  samples,
  tokens,
} from '../support/cca-samples.ts'

/**
 * The manifest names a file that is not in the folder. The endorsements that belong to these samples
 * are, and have the key in them as PEM.
 */
const KEY_FILES: Readonly<Record<string, string>> = {
  'cca/veraison-cca-good.cbor': 'cca/veraison-corim-cca-platform-valid.cbor',
  'cca/veraison-e2e-cca-evidence.cbor': 'cca/veraison-e2e-cca-endorsements.cbor',
}

function collect(name: string): EndorsementSet {
  const bytes = read(name)
  const [pem] = /-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----/.exec(
    Buffer.from(bytes).toString('latin1'),
  ) ?? [undefined]
  const file = { name, bytes: pem === undefined ? bytes : new TextEncoder().encode(pem) }
  return collectEndorsements([file]).endorsements
}

const digestOf = (spki: Uint8Array): string => createHash('sha256').update(spki).digest('hex')

function caseOf({ file, facts }: Sample & { facts: Facts }): CcaCase {
  const endorsements = collect(KEY_FILES[file] ?? facts.platformSigValidWith)
  const anchor = digestOf(endorsements.platformKeys?.[0]?.spki ?? new Uint8Array())
  return { token: unwrapEvidence(read(file)), anchors: pinned({ anchor }), endorsements, policy }
}

describe.runIf(dir !== undefined)('Arm CCA samples', () => {
  it('are as many as there were', () => {
    expect(samples.length).toBeGreaterThanOrEqual(24)
    expect(tokens.length).toBeGreaterThanOrEqual(4)
    expect(claimSets.length).toBeGreaterThanOrEqual(5)
    expect(jsonClaims.length).toBeGreaterThanOrEqual(15)
    expect(tokens.length + claimSets.length + jsonClaims.length).toBe(samples.length)
    expect(readdirSync(join(dir ?? '', 'evidence/cca/json-platform'))).toHaveLength(
      jsonClaims.length,
    )
  })

  it.each(tokens)('$file: $expected_verdict', async (sample) => {
    expect(sample.expected_verdict).toMatch(/^accept/)
    const result = await appraiseCca(caseOf(sample))
    expect(failures(result)).toEqual([])
    expect(result.tier).toBe('affirming')
  })

  it.each(tokens)('$file answers its challenge and no other', async (sample) => {
    const challenge = Uint8Array.from(Buffer.from(sample.facts.challenge, 'hex'))
    for (const [wanted, ids] of [
      [challenge, []],
      [challenge.with(0, 0x77), ['cca.freshness.nonce', 'cca.binding.report_data']],
    ] as const) {
      const binding = { nonce: { require: wanted }, reportData: { require: wanted } }
      expect(failures(await appraiseCca({ ...caseOf(sample), binding }))).toEqual(ids)
    }
  })

  it.each(tokens)('$file: not without a pin, nor with the key of another', async (sample) => {
    const good = caseOf(sample)
    const unpinned = await appraiseCca({ ...good, anchors: pinned() })
    expect(failures(unpinned)).toEqual(['cca.platform_key.anchor', 'cca.platform_key.revocation'])
    const { cpak, anchor } = mintArmPlatform()
    const es384 = sample.facts.platformAlg === -35
    const other = {
      ...good,
      anchors: pinned({ anchor }),
      endorsements: endorsed({ spki: cpak.spki }),
    }
    if (es384) {
      expect(failures(await appraiseCca(other))).toEqual(['cca.signature.platform'])
    } else {
      await expect(appraiseCca(other)).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      })
    }
  })

  it.each(tokens)('$file: the facts of the manifest', ({ file, facts, size }) => {
    const bytes = unwrapEvidence(read(file))
    expect(bytes).toHaveLength(size)
    expect(detectFormat(bytes)).toBe(armCca)
    const { tag, platform, realm } = parseToken(bytes)
    expect({
      tag,
      platformAlg: platform.message.algorithm,
      platformProfile: platform.claims.profile,
      platformNonceLen: platform.claims.binding.length,
      realmChallengeLen: realm.claims.challenge.length,
      rakHashAlg: realm.claims.keyHashAlgorithm,
      challenge: toHex(realm.claims.challenge),
    }).toEqual({
      tag: facts.tag,
      platformAlg: facts.platformAlg,
      platformProfile: facts.platformProfile,
      platformNonceLen: facts.platformNonceLen,
      realmChallengeLen: facts.realmChallengeLen,
      rakHashAlg: facts.rakHashAlg,
      challenge: facts.challenge,
    })
    expect([facts.binderOk, facts.realmSigValidWithRAK]).toEqual([true, true])
  })

  it('the firmware of one is what another verifier has for reference values', () => {
    const { platform } = parseToken(read('cca/trustee-cca-example-token.cbor'))
    const store = readJson('cca/trustee-rvstore.json') as unknown as {
      platform: readonly { 'sw-components': readonly Record<string, string>[] }[]
    }
    const wanted = store.platform[0]?.['sw-components'] ?? []
    expect(wanted).toHaveLength(13)
    expect(
      platform.claims.swComponents.map(({ type, measurement, signer }) => ({
        'component-type': type,
        'measurement-value': toHex(measurement),
        'signer-id': toHex(signer),
      })),
    ).toEqual(wanted)
  })
})

describe.runIf(dir !== undefined)('keys of the samples', () => {
  it('are the same in PEM, as a JWK, and in a list of trust anchors', () => {
    const [pem, jwk, list] = [
      'cca/ccatoken-tf-rmm-cca_platform.pub',
      'cca/rust-cpak.json',
      'cca/rust-ta-tfa.json',
    ].map((file) => collect(file).platformKeys ?? [])
    expect(pem).toHaveLength(1)
    expect(jwk).toEqual(pem)
    expect(list).toMatchObject([
      {
        spki: pem?.[0]?.spki,
        implementationId: expect.any(Uint8Array) as Uint8Array,
        instanceId: expect.any(Uint8Array) as Uint8Array,
      },
    ])
    const [pkey] = collect('cca/rust-pkey.json').platformKeys ?? []
    expect(collect('cca/rust-ta.json').platformKeys).toMatchObject([{ spki: pkey?.spki }])
    const [first, second] = Object.values(KEY_FILES).map((file) => collect(file).platformKeys)
    expect(first).toHaveLength(1)
    expect(second).toEqual(first)
  })

  it('that come with ids are found by them', async () => {
    const [sample] = tokens.filter(({ file }) => file === 'cca/rust-cca-token-01.cbor')
    if (sample === undefined) throw new Error('no sample')
    const result = await appraiseCca({
      ...caseOf(sample),
      endorsements: collect('cca/rust-ta-tfa.json'),
    })
    expect(result.tier).toBe('affirming')
  })
})
