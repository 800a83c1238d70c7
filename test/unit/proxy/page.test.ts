import { describe, expect, it } from 'vitest'
import type { VerificationReport } from '../../../src/client/index.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { verificationPage } from '../../../src/proxy/page.ts'

const EVIL = `"><script>alert('x')</script>&`
const report: VerificationReport = {
  model: EVIL,
  verified: false,
  format: 'simulated',
  simulated: true,
  policyId: EVIL,
  keysetDigest: EVIL,
  nonce: EVIL,
  at: EVIL,
  checks: [{ id: EVIL, outcome: 'fail', expected: EVIL, actual: EVIL }],
}

describe('the page of /verification', () => {
  it('shows what came from the network as text, wherever it stands', () => {
    const blame = { code: 'ERR_RECEIPT_MISMATCH', at: 'receipt' } as const
    const error = new VouchsafeError(blame, EVIL)
    const page = verificationPage([report], [{ id: EVIL, verified: false, error }])
    expect(page).not.toContain('<script')
    expect(page).not.toContain(`'x'`)
    expect(page.split('&lt;script&gt;')).toHaveLength(10)
    expect(page).toContain('Simulated TEE')
    expect(page).toContain('refused')
  })

  it('says so when nothing was verified', () => {
    expect(verificationPage([], [])).toContain('Nothing verified yet')
  })
})
