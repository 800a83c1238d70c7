import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import { AMD_CERTIFICATES, withShipped } from '../../../src/core/endorsements/shipped.ts'
import { parseCertificate } from '../../../src/core/x509/certificate.ts'
import { checkPath } from '../../../src/core/x509/chain.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'

const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const shipped = AMD_CERTIFICATES.map((entry) => {
  const der = new Uint8Array(Buffer.from(entry.base64, 'base64'))
  return { ...entry, der, certificate: parseCertificate(der, blame) }
})

describe('shipped certificates', () => {
  it.each(shipped)('$name is the certificate whose digest stands beside it', (entry) => {
    expect(createHash('sha256').update(entry.der).digest('hex')).toBe(entry.sha256)
    expect(entry.certificate.subjectName).toBe(entry.name)
  })

  it.each(['Milan', 'Genoa', 'Turin'] as const)(
    '%s: signed by its pinned root',
    async (product) => {
      const [root] = shipped.filter(({ name }) => name === `ARK-${product}`)
      const [ask] = shipped.filter(({ name }) => name === `SEV-${product}`)
      if (root === undefined || ask === undefined) throw new Error('not shipped')
      expect(VENDOR_ANCHORS.amd[product]).toEqual([root.sha256])
      const path = [ask.certificate, root.certificate]
      expect(await checkPath(path, createCrypto())).toBeUndefined()
    },
  )

  it('are given to SEV-SNP evidence only', () => {
    expect(withShipped('sev-snp', NO_ENDORSEMENTS).certificates).toHaveLength(6)
    expect(withShipped('tdx', NO_ENDORSEMENTS)).toBe(NO_ENDORSEMENTS)
  })
})
