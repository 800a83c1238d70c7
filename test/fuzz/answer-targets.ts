/**
 * What vendors' services answer, each kind of answer by itself. An input is a line with the issuer
 * chain as the header has it, and the body behind it: most answers are nothing without both.
 *
 * @packageDocumentation
 */
import { concat, utf8 } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { encodePem } from '../../src/core/encoding/pem.ts'
import { readAnswer } from '../../src/core/endorsements/answers.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
  type SignedJson,
} from '../../src/core/endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../../src/core/endorsements/needs.ts'
import { needsOf } from '../../src/core/endorsements/needs-of.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { rimAnswer } from '../support/fake-nvidia.ts'
import { mintedInput } from '../support/minted-input.ts'
import type { Target } from './target.ts'

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'fuzz' } as const
const WORDS = ['%0A', '%2B', '%', '-----BEGIN CERTIFICATE-----', '"', '\\u', '\n', '__proto__']
const HEADERS = [
  'tcb-info-issuer-chain',
  'sgx-enclave-identity-issuer-chain',
  'sgx-pck-crl-issuer-chain',
  'sgx-pck-certificate-issuer-chain',
]
const LINE_FEED = 0x0a
const query = { feed: 'standard', crypto: createCrypto() } as const

/** Answers to all that minted evidence of these formats needs. */
export const ANSWER_TARGETS: readonly Target[] = (
  await Promise.all((['tdx', 'sgx', 'sev-snp', 'nvidia-gpu'] as const).map(targetsOf))
)
  .flat()
  .filter(({ id }, i, all) => all.findIndex((other) => other.id === id) === i)

async function targetsOf(
  format: 'tdx' | 'sgx' | 'sev-snp' | 'nvidia-gpu',
): Promise<readonly Target[]> {
  const { evidence, endorsements } = mintedInput(format)
  const asked = [
    ...(await needsOf({ format, evidence }, NO_ENDORSEMENTS, query)),
    ...(await needsOf({ format, evidence }, endorsements, query)),
  ]
  return asked.map((need) => ({
    id: `answer-${need.kind}`,
    seeds: () => answersTo(need, endorsements).map((body) => withChain(endorsements, body)),
    words: WORDS,
    run: async (input) => {
      const end = input.indexOf(LINE_FEED)
      const header = new TextDecoder('latin1').decode(input.subarray(0, Math.max(0, end)))
      const headers = Object.fromEntries(HEADERS.map((name) => [name, header]))
      return readAnswer(need, { headers, body: input.subarray(end + 1) }, BLAME)
    },
  }))
}

/** Everything of the right kind that was minted: one of them is what was asked for. */
function answersTo(need: EndorsementNeed, set: EndorsementSet): readonly Uint8Array[] {
  switch (need.kind) {
    case 'tdx-tcb-info':
    case 'sgx-tcb-info':
      return set.tcbInfos.map((document) => signed('tcbInfo', document))
    case 'td-qe-identity':
    case 'sgx-qe-identity':
      return set.qeIdentities.map((document) => signed('enclaveIdentity', document))
    case 'pck-crl':
    case 'intel-root-crl':
    case 'amd-crl':
      return [...set.crls, ...set.crls.map((der) => utf8(encodePem(der, 'X509 CRL')))]
    case 'pck-certificate':
      return set.certificates.map((der) => utf8(encodePem(der, 'CERTIFICATE')))
    case 'vcek':
      return set.certificates
    case 'vek-chain':
      return pairs(set.certificates).map((pair) => utf8(chainOf(pair)))
    case 'nvidia-rim':
      return (set.rims ?? []).map((xml) => utf8(rimAnswer(need.id, xml)))
    case 'ocsp':
      return set.ocspResponses ?? []
  }
}

function signed(member: string, { body, signature }: SignedJson): Uint8Array {
  return concat(utf8(`{"${member}":`), body, utf8(`,"signature":"${toHex(signature)}"}`))
}

function withChain({ certificates }: EndorsementSet, body: Uint8Array): Uint8Array {
  return concat(utf8(`${encodeURIComponent(chainOf(certificates))}\n`), body)
}

function chainOf(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => encodePem(der, 'CERTIFICATE')).join('')
}

function pairs<T>(items: readonly T[]): readonly (readonly T[])[] {
  return items.flatMap((one) => items.filter((other) => other !== one).map((other) => [one, other]))
}
