/**
 * What vendors' services answered to others, read in place: the shapes that ours must accept. The
 * services themselves were not reached.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { readAnswer, type ServiceAnswer } from '../../src/core/endorsements/answers.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../../src/core/endorsements/needs.ts'
import { isMet } from '../../src/core/endorsements/needs-match.ts'
import { needsOf } from '../../src/core/endorsements/needs-of.ts'
import { isProven } from '../../src/core/endorsements/proven.ts'
import { unwrapEvidence } from '../../src/core/evidence/common/unwrap.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { sharedDir } from '../support/shared.ts'

const shared = sharedDir()
const read = (file: string): Uint8Array =>
  Uint8Array.from(readFileSync(join(shared ?? '', 'evidence', file)))
const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const vendors = { anchors: VENDOR_ANCHORS, crypto: createCrypto() }
const standard = { feed: 'standard', crypto: createCrypto() } as const

describe.runIf(shared !== undefined)('answers of Intel PCS, as others kept them', () => {
  const chain = (): string =>
    encodeURIComponent(
      new TextDecoder().decode(read('tdx/lunal-collateral/qe_identity_signing_chain.pem')),
    )
  const answers: readonly (readonly [string, EndorsementNeed, string])[] = [
    [
      'tdx/lunal-collateral/tcb_info_90c06f000000.json',
      { kind: 'tdx-tcb-info', fmspc: '90c06f000000', feed: 'standard' },
      'tcb-info-issuer-chain',
    ],
    [
      'tdx/lunal-collateral/tcb_info_50806f000000.json',
      { kind: 'tdx-tcb-info', fmspc: '50806f000000', feed: 'standard' },
      'tcb-info-issuer-chain',
    ],
    [
      'tdx/lunal-collateral/td_qe_identity.json',
      { kind: 'td-qe-identity', feed: 'standard' },
      'sgx-enclave-identity-issuer-chain',
    ],
    [
      'tdx/lunal-collateral/pck_crl_platform.der',
      { kind: 'pck-crl', ca: 'platform' },
      'sgx-pck-crl-issuer-chain',
    ],
    ['tdx/lunal-collateral/root_ca_crl.der', { kind: 'intel-root-crl' }, 'unused'],
  ]

  it.each(answers)('%s', async (file, need, header) => {
    const answer: ServiceAnswer = { headers: { [header]: chain() }, body: read(file) }
    const { validUntil, endorsements } = await readAnswer(need, answer, blame)
    expect(validUntil?.getUTCFullYear()).toBeGreaterThanOrEqual(2026)
    // The chain of these captures is the signer's; that of lists has the CA in it, which is not there.
    const isDocument = need.kind === 'tdx-tcb-info' || need.kind === 'td-qe-identity'
    expect(await isProven(need, endorsements, vendors)).toBe(isDocument)
    const other: EndorsementNeed =
      need.kind === 'tdx-tcb-info'
        ? { ...need, fmspc: '00806f050000' }
        : { kind: 'amd-crl', product: 'Milan', key: 'VCEK' }
    await expect(readAnswer(other, answer, blame)).rejects.toMatchObject({
      code: blame.code,
    })
  })

  it.each([
    ['tdx/tdx-v5-go-tdx-guest.quote.bin', true],
    ['tdx/tdx-v4-spr-e4.quote.bin', true],
    // Of a family that the kept answers have no TCB Info for.
    ['tdx/tdx-live-lunal.quote.bin', false],
  ])('%s wants what was published for its family: %s', async (file, published) => {
    const quote = unwrapEvidence(read(file))
    const needs = await needsOf({ format: 'tdx', evidence: quote }, NO_ENDORSEMENTS, standard)
    const names = [
      ...answers.map(([file]) => file),
      'tdx/lunal-collateral/qe_identity_signing_chain.pem',
    ]
    const { endorsements } = collectEndorsements(names.map((name) => ({ name, bytes: read(name) })))
    expect(needs).toHaveLength(4)
    const at = new Date('2026-03-20T00:00:00Z')
    const met = await Promise.all(needs.map(async (need) => isMet(need, endorsements, at)))
    expect(met).toEqual([published, true, true, true])
  })
})

describe.runIf(shared !== undefined)('answers of AMD KDS, as others kept them', () => {
  const pairs = [
    ['snp/lunal-live-v5-genoa.report.bin', 'snp/lunal-live-vcek-genoa.der'],
    ['snp/trustee-test-report.bin', 'snp/trustee-test-vcek.der'],
    ['snp/openanolis-turin-report.bin', 'snp/openanolis-turin-vcek.der'],
    ['snp/snp-v2-milan-go-sev-guest.report.bin', 'snp/snp-v2-milan-go-sev-guest.vcek.der'],
  ] as const

  it.each(pairs)('%s wants exactly %s', async (report, vcek) => {
    const evidence = unwrapEvidence(read(report))
    const needs = await needsOf({ format: 'sev-snp', evidence }, NO_ENDORSEMENTS, {
      ...standard,
      assumeProduct: 'Milan',
    })
    const [need] = needs
    if (need?.kind !== 'vcek') throw new Error('no VCEK wanted')
    const own = await readAnswer(need, { headers: {}, body: read(vcek) }, blame)
    expect(own.validUntil).toBeUndefined()
    // By the issuers that ship and the roots that are pinned: it may be kept for ever.
    expect(await isProven(need, own.endorsements, vendors)).toBe(true)
    for (const [, other] of pairs.filter(([, name]) => name !== vcek)) {
      await expect(
        readAnswer(need, { headers: {}, body: read(other) }, blame),
      ).rejects.toMatchObject({
        code: blame.code,
      })
    }
  })

  it.each([
    ['snp/chain-milan-vcek.pem', 'Milan', 'VCEK'],
    ['snp/chain-milan-vlek.pem', 'Milan', 'VLEK'],
    ['snp/chain-genoa-vlek.pem', 'Genoa', 'VLEK'],
    ['snp/chain-turin-vcek.pem', 'Turin', 'VCEK'],
    ['snp/chain-turin-vlek.pem', 'Turin', 'VLEK'],
  ] as const)('%s', async (file, product, key) => {
    const answer = { headers: {}, body: read(file) }
    const need = { kind: 'vek-chain', product, key } as const
    const { endorsements } = await readAnswer(need, answer, blame)
    expect(endorsements.certificates).toHaveLength(2)
    expect(await isProven(need, endorsements, vendors)).toBe(true)
    const other = { ...need, key: key === 'VCEK' ? 'VLEK' : 'VCEK' } as const
    await expect(readAnswer(other, answer, blame)).rejects.toMatchObject({
      code: blame.code,
    })
  })
})
