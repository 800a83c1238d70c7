/** Cases of SEV-SNP. */
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import { mintAmdCrl, mintAmdPki, mintSnpReport, mintVek } from '../../src/testing/index.ts'

import { AT, DAY, fieldsOf, type Minted, type Overrides, refuseUnknown } from './mint-overrides.ts'

export function mintSnp(overrides: Overrides): Minted {
  return snpCase(overrides).minted
}

/** With the VCEK, which Azure's evidence carries. */
export function snpCase({
  product = 'Genoa',
  signingKey = 'VCEK',
  crl = 'current',
  fields,
  ...rest
}: Overrides): { readonly minted: Minted; readonly vcek: Uint8Array } {
  refuseUnknown(rest)
  const name = product as 'Milan' | 'Genoa' | 'Turin'
  const kind = signingKey as 'VCEK' | 'VLEK'
  const dates = {
    notBefore: new Date(AT.getTime() - 30 * DAY),
    notAfter: new Date(AT.getTime() + 900 * DAY),
  }
  const pki = mintAmdPki(name, { ...dates, rsaBits: 2048 })
  const changes = fieldsOf(fields)
  const tcb = changes['reportedTcb']
  const vek = mintVek(pki, { kind, ...dates, ...(tcb instanceof Uint8Array && { tcb }) })
  const nextUpdate = new Date(AT.getTime() + (crl === 'expired' ? -DAY : DAY))
  const list = mintAmdCrl(pki, { thisUpdate: dates.notBefore, nextUpdate })
  const minted = {
    evidence: mintSnpReport({ product: name, key: vek.key, signingKey: kind, fields: changes }),
    endorsements: {
      ...NO_ENDORSEMENTS,
      certificates: [vek.der, pki.ask.der, pki.asvk.der, pki.ark.der],
      crls: crl === 'absent' ? [] : [list],
    },
    anchors: { ...VENDOR_ANCHORS, amd: { ...VENDOR_ANCHORS.amd, [name]: [pki.anchor] } },
    now: AT,
  }
  return { minted, vcek: vek.der }
}
