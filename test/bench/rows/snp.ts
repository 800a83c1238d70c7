/** SEV-SNP reports. @packageDocumentation */
import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { sevSnp } from '../../../src/core/evidence/sev-snp/format.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { compareTimes, type Operation } from '../measure.ts'
import { type Bench, withNote } from '../row.ts'
import { type SnpSample, snpSample } from '../samples.ts'

/** Rows about SEV-SNP. */
export const SNP: readonly Bench[] = [
  {
    id: 'snp-warm',
    what: 'SEV-SNP report, warm, against one P-384 verification by node:crypto',
    unit: 'µs',
    goal: { of: 'ratio', sign: '<=', bound: 1.25 },
    run: async (effort) => {
      const sample = snpSample()
      const found = await compareTimes({ ours: warm(sample), theirs: oneVerification() }, effort)
      return withNote(found, sample.origin)
    },
  },
]

function warm({ report, endorsements, anchors, now }: SnpSample): Operation {
  const context = { endorsements, anchors, now, crypto: createCrypto(), memo: createMemo(1000) }
  return async () => {
    const { authentic } = await sevSnp.authenticate(sevSnp.parse(report), context)
    if (!authentic) throw new Error('not authentic')
  }
}

/** As fast as it gets: key imported before, signature in DER, no trip to the pool. */
function oneVerification(): Operation {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const data = Buffer.alloc(672, 7)
  const signature = sign('sha384', data, privateKey)
  return () => {
    if (!verify('sha384', data, publicKey, signature)) throw new Error('not valid')
  }
}
