import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { AppraisalInput } from '../../src/core/appraisal/appraise.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import {
  type PassportKind,
  parsePassportTrust,
} from '../../src/core/endorsements/passport-trust.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { parsePassport } from '../../src/core/evidence/passport/evidence.ts'
import { mintJwk, mintJws, mintPassportIssuer } from '../../src/testing/index.ts'
import { passportIssuer } from '../support/mint-case.ts'
import { failures, passportInput, textClaim, trusting, verdictOf } from '../support/passports.ts'
import { sharedDir } from '../support/shared.ts'

const BLAME = { code: 'ERR_CONFIG_INVALID', at: 'passports' } as const
const seconds = (count: number): Date => new Date(count * 1000)
const dir = sharedDir()
const read = (file: string): Uint8Array =>
  new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
const json = (file: string): Record<string, Json> =>
  JSON.parse(Buffer.from(read(file)).toString()) as Record<string, Json>

interface Sample {
  readonly kind: PassportKind
  readonly evidence: Uint8Array
  readonly trust: Json
  readonly at: number
  readonly input?: Partial<AppraisalInput>
}

async function verdict({ kind, evidence, trust, at, input }: Sample): Promise<AttestationResult> {
  const anchors = trusting(...parsePassportTrust(trust, BLAME))
  return verdictOf(passportInput(kind, {}, { evidence, anchors, now: seconds(at), ...input }))
}

const pinned = (change: Readonly<Record<string, Json>>): Json => ({
  audiences: null,
  algorithms: ['RS256'],
  clockSkewSeconds: 60,
  maxAgeSeconds: 3600,
  ...change,
})

describe.skipIf(dir === undefined)('passports in the field', () => {
  it('are all looked at', () => {
    const files = readdirSync(join(dir ?? '', 'evidence/jwt'))
    expect(files).toHaveLength(15)
    const nvidia = readdirSync(join(dir ?? '', 'evidence/nvidia'))
    expect(nvidia.filter((file) => /detached_eat|decoded|gpu_attestation/.test(file))).toHaveLength(
      5,
    )
  })

  it('are found by their shape', () => {
    const kinds = {
      'jwt/gcp-confidential-space.jwt': 'gcp-cs',
      'jwt/maa-sev-snp.jwt': 'azure-maa',
      'nvidia/sdk-sample-hopperClaimsv3_detached_eat.json': 'nvidia-nras',
      'nvidia/sdk-sample-switch_detached_eat.json': 'nvidia-nras',
      'nvidia/dstack-gpu_attestation_h100.json': 'nvidia-nras',
    }
    for (const [file, kind] of Object.entries(kinds)) {
      const { format, evidence } = openEvidence(read(file))
      expect(format.id).toBe(kind)
      expect(format.describe(format.parse(evidence)).length).toBeGreaterThan(10)
    }
  })

  describe('Microsoft Azure Attestation', () => {
    const bytes = dir === undefined ? new Uint8Array() : read('jwt/maa-sev-snp.jwt')
    const token = dir === undefined ? undefined : parsePassport(bytes, 'maa').token
    const sample: Sample = {
      kind: 'azure-maa',
      evidence: bytes,
      trust: pinned({
        kind: 'azure-maa',
        issuer: 'https://sharedweu.weu.test.attest.azure.net',
        keys: [{ ...mintJwk(passportIssuer('azure-maa').key), kid: token?.kid ?? '' }],
      }),
      at: 1744085700,
    }

    it('is refused for its signature alone: its key, a test service’s, is published nowhere', async () => {
      expect(failures(await verdict(sample))).toEqual(['signature.token'])
      expect(failures(await verdict({ ...sample, at: 1744114500 }))).toEqual([
        'signature.token',
        'freshness.expiry',
        'freshness.max_age',
      ])
    })

    it('has claims that are understood, once signed by a key that is pinned', async () => {
      const issuer = passportIssuer('azure-maa')
      const text = mintJws({ issuer, at: new Date(), claims: token?.payload ?? {} })
      const trust = { ...(sample.trust as object), keys: [mintJwk(issuer.key)] } as Json
      const evidence = Uint8Array.from(Buffer.from(text))
      const reportData = textClaim(token?.payload['x-ms-sevsnpvm-reportdata'])
      const binding = {
        nonce: { unchecked: 'test' },
        reportData: { require: Uint8Array.from(Buffer.from(reportData, 'hex')) },
      }
      const result = await verdict({ ...sample, evidence, trust, input: { binding } })
      expect(result.tier).toBe('affirming')
    })

    it('refuses the signing certificate of 2020: its key has 1024 bits', () => {
      const pem = Buffer.from(read('jwt/maa.prod.uks.signing.cert.pem')).toString()
      const x5c = [pem.replaceAll(/-----[A-Z ]+-----|\s/g, '')]
      const trust = pinned({ kind: 'azure-maa', issuer: 'x', keys: [{ kty: 'RSA', x5c }] })
      expect(() => parsePassportTrust(trust, BLAME)).toThrow(
        expect.objectContaining({
          code: 'ERR_CONFIG_INVALID',
          message: expect.stringContaining('1024') as string,
        }),
      )
    })
  })

  describe('NVIDIA', () => {
    const nras = passportIssuer('nvidia-nras')
    const bundle = (file: string, iss: string, at: number): Sample => ({
      kind: 'nvidia-nras',
      evidence: openEvidence(read(file)).evidence,
      trust: pinned({
        kind: 'nvidia-nras',
        issuer: iss,
        algorithms: ['ES384'],
        keys: [mintJwk(nras.key)],
      }),
      at,
    })
    const samples = [
      ['hopperClaimsv3', 'https://nras.attestation.nvidia.com', 1749601858],
      ['switch', 'https://nras.attestation-stg.nvidia.com', 1751155060],
    ] as const

    it.each(samples)(
      '%s: digests are those of its tokens; NVIDIA’s key is not here',
      async (name, iss, at) => {
        const sample = bundle(`nvidia/sdk-sample-${name}_detached_eat.json`, iss, at)
        expect(failures(await verdict(sample))).toEqual(['signature.token'])
        expect(failures(await verdict({ ...sample, at: at + 3600 }))).toEqual([
          'signature.token',
          'freshness.expiry',
        ])
      },
    )

    it.each(samples)(
      '%s: claims are those that NVIDIA decoded, and good once signed',
      async (name, iss, at) => {
        const { token, devices } = parsePassport(
          read(`nvidia/sdk-sample-${name}_detached_eat.json`),
          'nras',
        )
        const decoded = json(`nvidia/sdk-sample-${name}_decoded.json`)
        expect(Object.fromEntries(devices.map((one) => [one.name, one.token.payload]))).toEqual(
          decoded,
        )
        const sign = (claims: Readonly<Record<string, Json | undefined>>) =>
          mintJws({ issuer: nras, at: new Date(), claims })
        const parts = devices.map((one) => [one.name, sign(one.token.payload)] as const)
        const submods = parts.map(([device, text]) => {
          return [device, ['DIGEST', ['SHA-256', createHash('sha256').update(text).digest('hex')]]]
        })
        const overall = sign({ ...token.payload, submods: Object.fromEntries(submods) as Json })
        const text = JSON.stringify([['JWT', overall], Object.fromEntries(parts)])
        const sample = bundle(`nvidia/sdk-sample-${name}_detached_eat.json`, iss, at)
        const evidence = Uint8Array.from(Buffer.from(text))
        expect((await verdict({ ...sample, evidence })).tier).toBe('affirming')
      },
    )

    it('refuses what NVIDIA’s local tool prints: nobody signed it', async () => {
      const sample = bundle(
        'nvidia/dstack-gpu_attestation_h100.json',
        'NVAT-LOCAL-VERIFIER',
        1784207862,
      )
      const failed = failures(await verdict(sample))
      expect(failed[0]).toBe('token.alg')
      expect(failed).toContain('signature.token')
      expect(failed).not.toContain('binding.devices')
    })
  })

  describe('EAR', () => {
    const issuer = mintPassportIssuer({ kind: 'ear', at: seconds(1666091373) })
    const signed = (file: string): Sample => {
      const claims = json(file)
      return {
        kind: 'ear',
        evidence: Uint8Array.from(Buffer.from(mintJws({ issuer, at: new Date(), claims }))),
        trust: pinned({
          kind: 'ear',
          issuer: null,
          algorithms: ['ES256'],
          keys: [mintJwk(issuer.key)],
        }),
        at: Number(claims['iat']),
      }
    }

    it.each<[string, readonly string[]]>([
      ['veraison-ear-claims.json', []],
      ['veraison-ear-claims-extension-ok.json', []],
      ['veraison-ear-claims-tv-ok.json', []],
      ['veraison-ear-claims-key-attestation-ok.json', []],
      ['veraison-ear-claims-key-attestation-ko.json', ['policy.debug', 'token.status']],
      ['trustee-example.token.json', ['policy.debug', 'token.status']],
    ])('claims of %s, signed by us, fail for %j', async (file, expected) => {
      const sample = signed(`jwt/${file}`)
      expect(failures(await verdict(sample))).toEqual(expected)
      expect(failures(await verdict({ ...sample, at: sample.at - 61 }))).toContain(
        'freshness.not_before',
      )
      expect(failures(await verdict({ ...sample, at: sample.at + 3601 }))).toContain(
        'freshness.max_age',
      )
    })

    it('takes the report data that Trustee annotates', async () => {
      const require = Uint8Array.from(Buffer.from('test'))
      const binding = { nonce: { unchecked: 'test' }, reportData: { require } }
      const result = await verdict({
        ...signed('jwt/trustee-example.token.json'),
        input: { binding },
      })
      expect(failures(result)).not.toContain('binding.report_data')
    })

    it('pins Veraison’s key as it is published', () => {
      const trust = pinned({
        kind: 'ear',
        issuer: null,
        algorithms: ['ES256'],
        keys: [json('jwt/veraison-pkey.json')],
      })
      expect(parsePassportTrust(trust, BLAME)[0]?.keys[0]?.key.alg).toBe('ES256')
    })
  })
})
