/** A signer of CoRIMs and the root that made it. */
import type { ChainTrust } from '../../src/core/reference-values/corim/chain-signer.ts'
import { parseCertificate } from '../../src/core/x509/certificate.ts'
import { parseCrl } from '../../src/core/x509/crl.ts'
import {
  type MintedKey,
  mintCertificate,
  mintCrl,
  mintKey,
} from '../../src/drivers/attester/simulated/minting/x509.ts'

const DAY = 86_400_000
const BLAME = { code: 'ERR_USAGE_INVALID', at: 'test' } as const

/** Valid for a day around `now`, with an empty list of the root. */
export function mintCorimChain(now: Date): {
  readonly key: MintedKey
  readonly leaf: Uint8Array<ArrayBuffer>
  readonly root: Uint8Array<ArrayBuffer>
  readonly trust: ChainTrust
} {
  const key = mintKey('ES256')
  const issuer = { name: 'Maker Root', key: mintKey('ES384') }
  const notBefore = new Date(now.getTime() - DAY)
  const notAfter = new Date(now.getTime() + DAY)
  const root = mintCertificate({
    subject: issuer.name,
    key: issuer.key,
    ca: {},
    keyUsage: ['keyCertSign', 'crlSign'],
    notBefore,
    notAfter,
  })
  const leaf = mintCertificate({ subject: 'Signer', key, issuer, serial: 7, notBefore, notAfter })
  const crl = parseCrl(mintCrl({ issuer, thisUpdate: notBefore, nextUpdate: notAfter }), BLAME)
  return { key, leaf, root, trust: { roots: [parseCertificate(root, BLAME)], crls: [crl] } }
}
