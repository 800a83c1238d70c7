/**
 * Every SEV-SNP sample of the shared folder gets the verdict its manifest expects. What the manifest
 * calls facts was computed independently and is compared field by field.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { withShipped } from '../../src/core/endorsements/shipped.ts'
import { unwrapEvidence } from '../../src/core/evidence/common/unwrap.ts'
import { parseReport } from '../../src/core/evidence/sev-snp/report.ts'
import { parseCertificate } from '../../src/core/x509/certificate.ts'
import { checkPath } from '../../src/core/x509/chain.ts'
import { sharedDir } from '../support/shared.ts'
import { appraiseSnp, CRYPTO, failures } from '../support/snp.ts'

interface Sample {
  readonly file: string
  readonly tee: string
  readonly role: string
  readonly expected_verdict?: string
  readonly facts?: Record<string, unknown>
}

const dir = sharedDir()
const read = (file: string) => new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))

/** Inside the validity of every certificate but those named below. */
const INSIDE = new Date('2026-09-01T00:00:00Z')
const AT: Readonly<Record<string, string>> = {
  'snp/trustee-test-vlek-report.bin': '2025-06-01T00:00:00Z', // its VLEK ran for a year
}
/** Signed by a chip whose certificate nobody captured. */
const NO_VEK = ['snp/lit-guest_report.bin', 'snp/lit-snp_report_msg_resp.bin']

const policyFile = join(import.meta.dirname, '../../policies/authentic-sev-snp.json')
const policy = parsePolicy(JSON.parse(readFileSync(policyFile, 'utf8')) as Json)

function load() {
  if (dir === undefined) return undefined
  const text = readFileSync(join(dir, 'evidence/MANIFEST.json'), 'utf8')
  const { files } = JSON.parse(text) as { files: readonly Sample[] }
  const samples = files.filter(({ tee, role }) => tee === 'snp' && role.startsWith('evidence'))
  const names = readdirSync(join(dir, 'evidence/snp')).filter((name) => /\.(der|pem)$/.test(name))
  const collected = collectEndorsements(names.map((name) => ({ name, bytes: read(`snp/${name}`) })))
  return { samples, endorsements: collected.endorsements }
}

const shared = load()

describe.runIf(shared !== undefined)('SEV-SNP samples', () => {
  const { samples, endorsements } = shared ?? { samples: [], endorsements: never() }
  const whole = samples.filter(({ role }) => role === 'evidence')
  const signed = whole.filter(({ file }) => !NO_VEK.includes(file))
  const appraised = async (file: string, now: Date) =>
    appraiseSnp({
      report: unwrapEvidence(read(file)),
      endorsements: withShipped('sev-snp', endorsements),
      anchors: VENDOR_ANCHORS,
      policy,
      now,
    })

  it('are as many as there were', () => {
    expect(samples.length).toBeGreaterThanOrEqual(10)
    expect(signed.length).toBeGreaterThanOrEqual(7)
    expect(endorsements.certificates.length).toBeGreaterThanOrEqual(18)
  })

  it.each(signed)('$file: $expected_verdict', async ({ file, expected_verdict: verdict }) => {
    const result = await appraised(file, new Date(AT[file] ?? INSIDE))
    if (verdict?.startsWith('accept') === true) {
      expect(failures(result)).toEqual([])
      expect(result.tier).toBe('affirming')
    } else {
      expect(verdict).toBe('reject under default policy (debug)')
      expect(failures(result)).toEqual(['snp.policy.debug'])
      expect(result.tier).toBe('contraindicated')
    }
  })

  it.each(signed)('$file fails outside its validity, with its own check', async ({ file }) => {
    for (const time of ['2019-01-01T00:00:00Z', '2051-01-01T00:00:00Z']) {
      const result = await appraised(file, new Date(time))
      expect(failures(result)).toEqual(['snp.vek.validity'])
      expect(result.tier).toBe('contraindicated')
    }
  })

  it.each(NO_VEK)('%s: no verdict without the certificate of its chip', async (file) => {
    await expect(appraised(file, INSIDE)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'snp.vek',
    })
  })

  it.each(samples.filter(({ role }) => role === 'evidence-negative'))(
    '$file: $expected_verdict',
    ({ file }) => {
      expect(() => parseReport(read(file))).toThrow(
        expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED', at: 'snp.report.length' }),
      )
    },
  )

  it.each(whole)('$file: the facts of the manifest', ({ file, facts = {} }) => {
    const report = parseReport(read(file))
    expect({
      version: report.version,
      guestSvn: report.guestSvn,
      policy: `0x${report.policy.toString(16)}`,
      debug: ((report.policy >> 19n) & 1n) === 1n,
      vmpl: report.vmpl,
      currentTcb: toHex(report.currentTcb),
      signingKey: report.signingKey,
      reportData: toHex(report.reportData),
      measurement: toHex(report.measurement),
      hostData: toHex(report.hostData),
      reportedTcb: toHex(report.reportedTcb),
      chipId: toHex(report.chipId),
      ...(report.cpuid && { cpuid: report.cpuid }),
    }).toEqual(pick(facts))
  })

  it('a VCEK that AMD did not sign fails its chain', async () => {
    const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
    const [ask, ark] = ['ask', 'ark'].map((name) => {
      const wanted = { ask: 'SEV-Milan', ark: 'ARK-Milan' }[name]
      const found = endorsements.certificates
        .map((der) => parseCertificate(der, blame))
        .find(({ subjectName }) => subjectName === wanted)
      if (found === undefined) throw new Error(`no ${name}`)
      return found
    })
    if (ask === undefined || ark === undefined) throw new Error('no chain')
    const chainOf = async (file: string) =>
      checkPath([parseCertificate(read(file), blame), ask, ark], CRYPTO)
    expect(await chainOf('snp/trustee-test-vcek.der')).toBeUndefined()
    expect(await chainOf('snp/trustee-test-vcek-invalid-legacy.der')).toMatchObject({
      actual: 'signature does not verify',
    })
  })

  it('the anchors are the roots of the samples, byte for byte', async () => {
    const roots = new Map<string, string>()
    for (const der of endorsements.certificates) {
      const { subjectName } = parseCertificate(der, {
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: 'test',
      })
      if (!subjectName.startsWith('ARK-')) continue
      roots.set(subjectName.slice(4), toHex(await CRYPTO.digest('SHA-256', der)))
    }
    const pinned = Object.entries(VENDOR_ANCHORS.amd).map(([product, [pin]]) => [product, pin])
    expect(Object.fromEntries(roots)).toEqual(Object.fromEntries(pinned))
  })
})

function pick(facts: Record<string, unknown>): Record<string, unknown> {
  const names = ['version', 'guestSvn', 'policy', 'debug', 'vmpl', 'currentTcb', 'signingKey']
  const more = ['reportData', 'measurement', 'hostData', 'reportedTcb', 'chipId', 'cpuid']
  const wanted = [...names, ...more].filter((name) => name in facts)
  return Object.fromEntries(wanted.map((name) => [name, facts[name]]))
}

function never(): ReturnType<typeof collectEndorsements>['endorsements'] {
  return { certificates: [], crls: [], tcbInfos: [], qeIdentities: [] }
}
