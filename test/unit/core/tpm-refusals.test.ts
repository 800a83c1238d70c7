/** TPM evidence that is refused by one line of code each, which no other would stand in for. */
import { expect, it } from 'vitest'
import { tpm } from '../../../src/core/evidence/tpm/format.ts'
import { mintCertificate } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  AIK_CERTIFICATE,
  mintAkCertificate,
  mintPublicArea,
  mintTpmKey,
  mintTpmQuote,
} from '../../../src/testing/index.ts'
import { AK, appraiseTpmEvidence, crls, evidence, failures, NOW, PKI } from '../../support/tpm.ts'

const DAY = 24 * 60 * 60 * 1000
const CHAIN = [PKI.issuing.der, PKI.root.der]

it('a list that names the key counts, whatever others of its issuer say', async () => {
  const older = {
    thisUpdate: new Date(NOW.getTime() - 2 * DAY),
    nextUpdate: new Date(NOW.getTime() + DAY / 2),
  }
  const endorsements = { ...crls(), crls: [...crls().crls, ...crls([1000], older).crls] }
  const result = await appraiseTpmEvidence({ evidence: evidence(), endorsements })
  expect(failures(result)).toEqual(['tpm.ak.revocation'])
})

it('a CA is no attestation key, whatever it says it may do', async () => {
  const { notBefore, notAfter, root } = PKI
  const own = { subject: 'Minted AK', key: { ...root.key, spki: AK.spki }, issuer: root }
  const der = mintCertificate({
    ...{ ...own, notBefore, notAfter, serial: 9, ca: {} },
    keyUsage: ['keyCertSign', 'digitalSignature'],
    extensions: mintedUsages(),
  })
  const result = await appraiseTpmEvidence({
    evidence: evidence({ certificates: [der, ...CHAIN] }),
  })
  expect(failures(result)).toContain('tpm.ak.anchor')
})

/** extKeyUsage of an attestation key's certificate. */
function mintedUsages() {
  // 2.23.133.8.3, DER.
  const value = Uint8Array.from(Buffer.from('300706056781050803', 'hex'))
  expect(AIK_CERTIFICATE).toBe('2.23.133.8.3')
  return [{ oid: '2.5.29.37', value }]
}

it('the hash beside an ECDSA signature is that of its curve', async () => {
  const { signature } = mintTpmQuote({ key: AK })
  // Nothing signs it, and the digest of the PCRs is by it.
  const SHA384 = 0x0c
  expect(signature[3]).toBe(0x0b)
  const result = await appraiseTpmEvidence({
    evidence: evidence({ signature: signature.with(3, SHA384) }),
  })
  expect(failures(result)).toEqual(['tpm.signature.quote', 'tpm.pcrs.digest'])
})

it('an RSA key has as many bits as it says', () => {
  const key = mintTpmKey('RS256')
  const area = mintPublicArea(key)
  const at = Buffer.from(area).indexOf(Buffer.from('08000000000001', 'hex'))
  expect(at).toBeGreaterThan(0)
  const certificates = [mintAkCertificate(PKI, { spki: key.spki }), ...CHAIN]
  for (const akPublic of [area.with(at, 0x10), area.with(at + 1, 8)]) {
    expect(() => tpm.parse(evidence({ key, certificates, akPublic }))).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED', at: 'tpm.ak_public.unique' }),
    )
  }
})
