/** Certificates of few names make many paths; who sends them may not choose how long that takes. */
import { expect, it } from 'vitest'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { formatOf } from '../../../src/core/evidence/formats.ts'
import type { CryptoProvider } from '../../../src/core/ports/crypto.ts'
import { mintCertificate, mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  mintAwsPki,
  mintCsvEvidence,
  mintHygonPki,
  mintNitroDocument,
} from '../../../src/testing/index.ts'
import { endorsed } from '../../support/hygon.ts'
import { AT } from '../../support/nitro.ts'
import {
  AK,
  AK_CERTIFICATE,
  ANCHORS,
  appraiseTpmEvidence,
  crls,
  evidence,
  failures,
  PKI,
} from '../../support/tpm.ts'

const signer = mintKey('ES384')
const leafKey = mintKey('ES384')
const valid = { notBefore: AT, notAfter: new Date(AT.getTime() + 3_600_000) }
// Everything says that it is by one key, and is signed by another, so that no path ends the search.
const by = (name: string) => ({ name, key: signer })
const claimed = mintKey('ES384')

/** Three of one name by three of another and the other way round, and one way out. */
const MAZE = (
  [
    ['X', 'Y'],
    ['X', 'Y'],
    ['X', 'Y'],
    ['Y', 'X'],
    ['Y', 'X'],
    ['Y', 'R'],
    ['R', 'R'],
  ] as const
).map(([subject, issuer], i) =>
  mintCertificate({
    subject,
    key: claimed,
    issuer: by(issuer),
    ...valid,
    serial: i + 1,
    ca: {},
    keyUsage: ['keyCertSign'],
  }),
)

function leafOf(key: typeof signer): Uint8Array {
  const subject = { subject: 'leaf', key, issuer: by('X') }
  return mintCertificate({ ...subject, ...valid, keyUsage: ['digitalSignature'] })
}

/** Signatures that were verified. */
async function verifications(id: 'nitro' | 'tpm', bytes: Uint8Array): Promise<number> {
  let count = 0
  const real = createCrypto()
  const crypto: CryptoProvider = {
    ...real,
    verify: async (...question) => {
      count++
      return real.verify(...question)
    },
  }
  const format = formatOf(id)
  const found = await format.authenticate(format.parse(bytes), {
    endorsements: NO_ENDORSEMENTS,
    anchors: ANCHORS,
    now: AT,
    crypto,
    memo: createMemo(0),
  })
  expect(found.authentic).toBe(false)
  return count
}

// Leaf by X: 3. X by Y: 9. Y by X: 6. Y by R and R by itself: 2. And the evidence's own.
const LINKS = 20

it('nitro: each signature is verified once by each key', async () => {
  const members = { certificate: leafOf(leafKey), cabundle: MAZE }
  const pki = mintAwsPki({ at: AT })
  const document = mintNitroDocument({ pki, timestamp: AT, members, key: leafKey })
  expect(await verifications('nitro', document)).toBeLessThanOrEqual(LINKS + 1)
})

it('tpm: each signature is verified once by each key', async () => {
  const bytes = evidence({ certificates: [leafOf(AK), ...MAZE] })
  expect(await verifications('tpm', bytes)).toBeLessThanOrEqual(LINKS + 1)
})

it('tpm: an endorsed issuer whose key is none keeps no good one from its turn', async () => {
  const { issuing, root, notBefore, notAfter } = PKI
  const { spki } = issuing.key
  const off = { ...issuing.key, spki: spki.with(-1, (spki.at(-1) ?? 0) ^ 1) }
  const ca = { ca: {}, keyUsage: ['keyCertSign', 'crlSign'] as const, notBefore, notAfter }
  const junk = mintCertificate({ subject: issuing.name, key: off, issuer: root, ...ca })
  const { tier } = await appraiseTpmEvidence({
    evidence: evidence({ certificates: [AK_CERTIFICATE] }),
    endorsements: { ...crls(), certificates: [junk, issuing.der, root.der] },
  })
  expect(tier).toBe('affirming')
})

it('tpm: an issuer certified anew is not held to its older certificate', async () => {
  const { issuing, root, notBefore } = PKI
  const ca = { ca: { pathLength: 0 }, keyUsage: ['keyCertSign', 'crlSign'] as const }
  const expired = mintCertificate({
    ...{ subject: issuing.name, key: issuing.key, issuer: root, serial: 3, ...ca },
    ...{ notBefore, notAfter: new Date(notBefore.getTime() + 1000) },
  })
  for (const issuers of [
    [expired, issuing.der],
    [issuing.der, expired],
  ]) {
    const { tier } = await appraiseTpmEvidence({
      evidence: evidence({ certificates: [AK_CERTIFICATE, ...issuers, root.der] }),
    })
    expect(tier).toBe('affirming')
  }
  const alone = await appraiseTpmEvidence({
    evidence: evidence({ certificates: [AK_CERTIFICATE, expired, root.der] }),
  })
  expect(failures(alone)).toEqual(['tpm.ak.validity'])
})

it('a bug of the provider is a bug, and no problem of a certificate', async () => {
  const bug = new TypeError('a bug')
  const crypto: CryptoProvider = { ...createCrypto(), verify: async () => Promise.reject(bug) }
  const hygon = mintHygonPki()
  const cases = [
    ['tpm', evidence(), NO_ENDORSEMENTS],
    ['hygon-csv', mintCsvEvidence({ pki: hygon }), endorsed(...hygon.certificates)],
  ] as const
  for (const [id, bytes, endorsements] of cases) {
    const format = formatOf(id)
    const context = { endorsements, anchors: ANCHORS, now: AT, crypto, memo: createMemo(0) }
    await expect(format.authenticate(format.parse(bytes), context)).rejects.toBe(bug)
  }
})
