/**
 * Every Arm CCA sample of the shared folder gets the verdict its manifest expects. What the manifest
 * calls facts was computed independently and is compared field by field.
 *
 * Samples that are claims without a signature are signed here, by a machine made for the test: what
 * they show is which claims are good.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { type CborValue, encodeCbor } from '../../src/core/encoding/cbor.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import type { EndorsementSet } from '../../src/core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { armCca } from '../../src/core/evidence/arm-cca/format.ts'
import { type CcaEvidence, parseToken } from '../../src/core/evidence/arm-cca/token.ts'
import { unwrapEvidence } from '../../src/core/evidence/common/unwrap.ts'
import { detectFormat } from '../../src/core/evidence/formats.ts'
import { mintArmPlatform, mintCcaToken, mintRealmKey } from '../../src/testing/index.ts'
import { appraiseCca, type CcaCase, endorsed, failures, pinned } from '../support/arm.ts'
import { orTyped } from '../support/mutate.ts'
import { sharedDir } from '../support/shared.ts'

interface Facts {
  readonly tag: number
  readonly platformAlg: number
  readonly platformSigValidWith: string
  readonly platformProfile: string
  readonly platformNonceLen: number
  readonly realmSigValidWithRAK: boolean
  readonly realmChallengeLen: number
  readonly rakHashAlg: string
  readonly binderOk: boolean
  readonly challenge: string
}

interface Sample {
  readonly file: string
  readonly tee: string
  readonly role: string
  readonly size: number
  readonly expected_verdict: string
  readonly facts?: Facts
}

const dir = sharedDir()
const read = (file: string) => new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
const readJson = (file: string) => JSON.parse(new TextDecoder().decode(read(file))) as Json
const policyFile = join(import.meta.dirname, '../../policies/authentic-arm-cca.json')
const policy = parsePolicy(JSON.parse(readFileSync(policyFile, 'utf8')) as Json)

function load(): readonly Sample[] {
  if (dir === undefined) return []
  const { files } = readJson('MANIFEST.json') as unknown as { files: readonly Sample[] }
  return files.filter(({ tee, role }) => tee === 'cca' && role.startsWith('evidence'))
}

const samples = load()
const tokens = samples.filter(
  (sample): sample is Sample & { facts: Facts } => sample.facts !== undefined,
)
const claimSets = samples.filter(({ facts, file }) => !facts && file.endsWith('.cbor'))
const jsonClaims = samples.filter(({ file }) => file.startsWith('cca/json-platform/'))

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

const machine = mintArmPlatform()
const bytes = (base64: Json): CborValue =>
  typeof base64 === 'string'
    ? Uint8Array.from(Buffer.from(base64, 'base64'))
    : (base64 as CborValue)
const same = (value: Json): CborValue => value as CborValue
/** Claims of the JSON samples: label in CBOR, and how the value is written. */
const LABELS: Readonly<Record<string, readonly [number, (value: Json) => CborValue]>> = {
  'cca-platform-profile': [265, same],
  'cca-platform-challenge': [10, bytes],
  'cca-platform-implementation-id': [2396, bytes],
  'cca-platform-instance-id': [256, bytes],
  'cca-platform-config': [2401, bytes],
  'cca-platform-lifecycle': [2395, same],
  'cca-platform-sw-components': [2399, components],
  'cca-platform-service-indicator': [2400, same],
  'cca-platform-hash-algo-id': [2402, same],
}

/** The claim that each negative sample is about, by the name of its file. */
const ABOUT: Readonly<Record<string, string>> = {
  'test-config-missing': 'cca-platform-config',
  'test-hash-algid-invalid': 'cca-platform-hash-algo-id',
  'test-hash-algid-missing': 'cca-platform-hash-algo-id',
  'test-implementation-id-invalid-long': 'cca-platform-implementation-id',
  'test-implementation-id-invalid-missing': 'cca-platform-implementation-id',
  'test-instance-id-invalid': 'cca-platform-instance-id',
  'test-instance-id-missing': 'cca-platform-instance-id',
  'test-invalid-profile': 'cca-platform-profile',
  'test-invalid-psa-claims': 'cca-platform-implementation-id',
  'test-lifecycle-invalid': 'cca-platform-lifecycle',
  'test-no-sw-components': 'cca-platform-sw-components',
  'test-nonce-invalid': 'cca-platform-challenge',
  'test-sw-components-invalid-combo': 'cca-platform-sw-components[0].measurement-value',
  'test-vsi-invalid-empty': 'cca-platform-service-indicator',
}

function components(list: Json): CborValue {
  return (list as readonly Record<string, Json>[]).map(
    (one) =>
      new Map([
        [2, strict(one['measurement-value'])],
        [5, strict(one['signer-id'])],
      ]),
  )
}

/** Two samples are wrong only as base64, which CBOR has no way to say: they become a byte too long. */
function strict(text: Json | undefined): CborValue {
  const value = String(text)
  const good = Buffer.from(value, 'base64')
  const exact = good.toString('base64') === value
  return Uint8Array.from(exact ? good : [...good, 0])
}

/** The claims of a JSON sample as a signed token; what other specifications call them is kept. */
function tokenOf(file: string): Uint8Array {
  const claims = readJson(file) as Record<string, Json>
  const map = new Map<number | string, CborValue>()
  for (const [name, value] of Object.entries(claims)) {
    const [label, convert] = LABELS[name] ?? [name, () => 'of another specification']
    map.set(label, convert(value))
  }
  // What they answered is not in the sample, so these sign for the realm that is minted here.
  const nonce = map.get(10)
  if (nonce instanceof Uint8Array && nonce.length === 32) map.set(10, hash(machine.rak))
  return mintCcaToken({ platform: machine, platformPayload: encodeCbor(map) })
}

const hash = (rak: typeof machine.rak): Uint8Array =>
  Uint8Array.from(createHash('sha256').update(mintRealmKey(rak, 'legacy')).digest())

async function verdict(token: Uint8Array): Promise<string> {
  const own = endorsed({ spki: machine.cpak.spki })
  const input = { token, anchors: pinned(machine), endorsements: own, policy }
  const result = await orTyped(async () => appraiseCca(input))
  return result instanceof VouchsafeError ? result.code : result.tier
}

describe.runIf(dir !== undefined)('Arm CCA samples of claims', () => {
  it.each(jsonClaims)('$file: $expected_verdict', async ({ file, expected_verdict }) => {
    if (expected_verdict.startsWith('accept')) {
      expect(await verdict(tokenOf(file))).toBe('affirming')
    } else {
      expect(expected_verdict).toMatch(/^reject/)
      const error = await orTyped((): CcaEvidence => parseToken(tokenOf(file)))
      expect(error).toMatchObject({
        code: expect.stringMatching(/^ERR_EVIDENCE_(MALFORMED|UNSUPPORTED)$/) as string,
        at: `cca.platform.${ABOUT[basename(file, '.json')] ?? ''}`,
      })
    }
  })

  it.each(claimSets)('$file: $expected_verdict', async ({ file, expected_verdict }) => {
    const payload = read(file)
    const part = file.includes('platform') ? 'platform' : 'realm'
    // Signed with a key that is not the one in the claims: those must parse, and nothing more.
    const token = mintCcaToken({
      platform: machine,
      ...(part === 'platform' ? { platformPayload: payload } : { realmPayload: payload }),
    })
    const parsed = await orTyped((): CcaEvidence => parseToken(token))
    if (expected_verdict.startsWith('accept')) {
      expect(parsed).not.toBeInstanceOf(VouchsafeError)
      expect(await verdict(token)).toBe('contraindicated')
    } else {
      expect(expected_verdict).toMatch(/^reject/)
      expect(parsed).toMatchObject({ code: 'ERR_EVIDENCE_MALFORMED' })
    }
  })
})
