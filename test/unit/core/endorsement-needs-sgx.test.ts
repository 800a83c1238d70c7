import { describe, expect, it } from 'vitest'
import { concat } from '../../../src/core/bytes/bytes.ts'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import { describeNeed, type EndorsementNeed } from '../../../src/core/endorsements/needs.ts'
import { isMet, requireMatch } from '../../../src/core/endorsements/needs-match.ts'
import { needsOf } from '../../../src/core/endorsements/needs-of.ts'
import { urlOf, VENDOR_ENDPOINTS } from '../../../src/core/endorsements/urls.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { mintIntelPki, mintSgxPki, mintSgxQuote } from '../../../src/testing/index.ts'

const NOW = new Date('2026-09-01T12:00:00Z')
const standard = { feed: 'standard', crypto: createCrypto() } as const
const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const kinds = (needs: readonly EndorsementNeed[]): readonly string[] =>
  needs.map(({ kind }) => kind)

describe('needsOf SGX', () => {
  const sgx = mintSgxPki({ now: NOW })
  const { cpuSvn, pceSvn, pceId } = sgx.platform
  const fmspc = toHex(sgx.platform.fmspc)

  it.each([3, 4, 5] as const)('wants its own documents for version %i', async (version) => {
    const evidence = mintSgxQuote(sgx, { version })
    const needs = await needsOf({ format: 'sgx', evidence }, NO_ENDORSEMENTS, standard)
    expect(needs).toEqual([
      { kind: 'sgx-tcb-info', fmspc, feed: 'standard' },
      { kind: 'sgx-qe-identity', feed: 'standard' },
      { kind: 'pck-crl', ca: 'platform' },
      { kind: 'intel-root-crl' },
    ])
    expect(needs.map((need) => urlOf(need, VENDOR_ENDPOINTS)).slice(0, 2)).toEqual([
      `https://api.trustedservices.intel.com/sgx/certification/v4/tcb?fmspc=${fmspc}`,
      'https://api.trustedservices.intel.com/sgx/certification/v4/qe/identity',
    ])
    expect(needs.map(describeNeed).slice(0, 2)).toEqual([
      `SGX TCB Info of FMSPC ${fmspc}`,
      'SGX QE Identity',
    ])
  })

  it('wants them from the early feed by name, and for a quote in a wrapper', async () => {
    const quote = mintSgxQuote(sgx)
    const evidence = new TextEncoder().encode(JSON.stringify({ QuoteHex: toHex(quote) }))
    const needs = await needsOf({ format: 'sgx', evidence }, NO_ENDORSEMENTS, {
      ...standard,
      feed: 'early',
    })
    const urls = needs.map((need) => urlOf(need, VENDOR_ENDPOINTS))
    expect(urls[0]).toMatch(/\/sgx\/certification\/v4\/tcb\?fmspc=[0-9a-f]{12}&update=early$/)
    expect(urls[1]).toMatch(/\/sgx\/certification\/v4\/qe\/identity\?update=early$/)
  })

  it('wants the PCK certificate first where the quote only names it, then the rest', async () => {
    const certification = {
      type: 3,
      data: concat(new Uint8Array(384).fill(7), cpuSvn, Uint8Array.of(pceSvn, 0), pceId),
    }
    const quote = { format: 'sgx', evidence: mintSgxQuote(sgx, { certification }) } as const
    expect(kinds(await needsOf(quote, NO_ENDORSEMENTS, standard))).toEqual(['pck-certificate'])
    const known = { ...NO_ENDORSEMENTS, certificates: [sgx.certificates.pck] }
    expect(kinds(await needsOf(quote, known, standard))).toContain('sgx-tcb-info')
  })

  it('answers of the one TEE are no answers of the other', async () => {
    const sets = { sgx: sgx.endorsements(), tdx: mintIntelPki({ now: NOW }).endorsements() }
    for (const tee of ['sgx', 'tdx'] as const) {
      const set = sets[tee]
      const info = { ...NO_ENDORSEMENTS, certificates: set.certificates, tcbInfos: set.tcbInfos }
      const identity = { ...info, tcbInfos: [], qeIdentities: set.qeIdentities }
      const needs: readonly (readonly [EndorsementNeed, typeof info, boolean])[] = [
        [{ kind: 'sgx-tcb-info', fmspc, feed: 'standard' }, info, tee === 'sgx'],
        [{ kind: 'tdx-tcb-info', fmspc, feed: 'standard' }, info, tee === 'tdx'],
        [{ kind: 'sgx-qe-identity', feed: 'standard' }, identity, tee === 'sgx'],
        [{ kind: 'td-qe-identity', feed: 'standard' }, identity, tee === 'tdx'],
      ]
      for (const [need, answer, meets] of needs) {
        expect(await isMet(need, answer, NOW)).toBe(meets)
        if (meets) expect(await requireMatch(need, answer, blame)).toBeInstanceOf(Date)
        else await expect(requireMatch(need, answer, blame)).rejects.toThrow(VouchsafeError)
      }
    }
  })
})
