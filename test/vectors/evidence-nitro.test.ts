/**
 * Every AWS Nitro sample of the shared folder gets the verdict its manifest expects. What the
 * manifest calls facts was computed independently and is compared field by field.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { decodePem } from '../../src/core/encoding/pem.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { unwrapEvidence } from '../../src/core/evidence/common/unwrap.ts'
import { parseDocument } from '../../src/core/evidence/nitro/document.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { appraiseNitro, failures } from '../support/nitro.ts'
import { sharedDir } from '../support/shared.ts'

interface Facts {
  readonly module: string
  readonly timestampMs: number
  readonly leafWindow: readonly [string, string]
  readonly pcr0: string
  readonly nonZeroPcrs: readonly number[]
  readonly debug: boolean
  readonly nonce: string | null
  readonly user_data: string | null
  readonly public_key: string | null
}

interface Sample {
  readonly file: string
  readonly tee: string
  readonly role: string
  readonly expected_verdict: string
  readonly facts: Facts
}

const dir = sharedDir()
const read = (file: string) => new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
const policyFile = join(import.meta.dirname, '../../policies/authentic-nitro.json')
const policy = parsePolicy(JSON.parse(readFileSync(policyFile, 'utf8')) as Json)

function load(): readonly Sample[] {
  if (dir === undefined) return []
  const text = readFileSync(join(dir, 'evidence/MANIFEST.json'), 'utf8')
  const { files } = JSON.parse(text) as { files: readonly Sample[] }
  return files.filter(({ tee, role }) => tee === 'nitro' && role.startsWith('evidence'))
}

const samples = load()

async function appraised(file: string, now: Date) {
  const document = unwrapEvidence(read(file))
  return appraiseNitro({ document, anchors: VENDOR_ANCHORS, policy, now })
}

describe.runIf(dir !== undefined)('Nitro samples', () => {
  it('are as many as there were', () => {
    expect(samples.length).toBeGreaterThanOrEqual(7)
    expect(samples.filter(({ facts }) => facts.debug)).toHaveLength(3)
  })

  it.each(samples)('$file: $expected_verdict', async ({ file, expected_verdict, facts }) => {
    const result = await appraised(file, new Date(facts.timestampMs + 60_000))
    if (expected_verdict.startsWith('accept')) {
      expect(failures(result)).toEqual([])
      expect(result.tier).toBe('affirming')
    } else {
      expect(expected_verdict).toMatch(/^reject/)
      expect(failures(result)).toEqual(['nitro.policy.debug'])
      expect(result.tier).toBe('contraindicated')
    }
  })

  it.each(samples)('$file fails outside its validity, with its own check', async (sample) => {
    const [from, to] = sample.facts.leafWindow.map((time) => new Date(time).getTime())
    for (const time of [(from ?? 0) - 1000, (to ?? 0) + 1000]) {
      const result = await appraised(sample.file, new Date(time))
      expect(failures(result)).toEqual(['nitro.chain.validity'])
      expect(result.tier).toBe('contraindicated')
    }
  })

  it.each(samples)('$file is too old within its validity', async ({ file, facts }) => {
    const result = await appraised(file, new Date(facts.timestampMs + 3_600_000))
    expect(failures(result)).toContain('nitro.freshness.max_age')
  })

  it.each(samples)('$file: the facts of the manifest', ({ file, facts }) => {
    const { document } = parseDocument(unwrapEvidence(read(file)))
    expect(document.moduleId).toBe(facts.module)
    expect(document.timestamp).toBe(facts.timestampMs)
    expect(toHex(document.pcrs.get(0) ?? new Uint8Array())).toBe(facts.pcr0)
    const set = [...document.pcrs].filter(([, value]) => value.some((byte) => byte !== 0))
    expect(set.map(([i]) => i)).toEqual(facts.nonZeroPcrs)
    expect(shown(document.nonce)).toBe(facts.nonce)
    expect(shown(document.userData)).toBe(facts.user_data)
    expect(shown(document.publicKey)).toBe(facts.public_key)
  })

  it('the anchor is the root of the samples, byte for byte', async () => {
    const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
    const pem = new TextDecoder().decode(read('nitro/aws-nitro-root-g1.pem'))
    const [root] = decodePem(pem, 'CERTIFICATE', blame)
    const digest = await createCrypto().digest('SHA-256', root ?? new Uint8Array())
    expect(VENDOR_ANCHORS.aws).toEqual([toHex(digest)])
  })
})

/** As the manifest writes it: hex if it is short, else its length. */
function shown(bytes: Uint8Array | undefined): string | null {
  if (bytes === undefined) return null
  return bytes.length > 64 ? `${bytes.length} bytes` : toHex(bytes)
}
