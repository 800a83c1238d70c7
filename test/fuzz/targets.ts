/** Every parser of untrusted bytes in evidence and endorsements. @packageDocumentation */
import { decodeBinding } from '../../src/core/appraisal/binding-record.ts'
import { readPolicy } from '../../src/core/appraisal/policy.ts'
import { decodeInput, decodeResult } from '../../src/core/appraisal/record.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { decodeCbor } from '../../src/core/encoding/cbor.ts'
import { decodeCoseSign1 } from '../../src/core/encoding/cose.ts'
import { parseJsonSource } from '../../src/core/encoding/json-source.ts'
import { decodePem, encodePem } from '../../src/core/encoding/pem.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { encodeEndorsements } from '../../src/core/endorsements/endorsement-set.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { readDocument } from '../../src/core/evidence/intel-dcap/json.ts'
import { readQeIdentity } from '../../src/core/evidence/intel-dcap/qe-identity.ts'
import { readPckPlatform } from '../../src/core/evidence/intel-dcap/sgx-extension.ts'
import { readTcbInfo } from '../../src/core/evidence/intel-dcap/tcb-info.ts'
import { parseRim } from '../../src/core/evidence/nvidia-spdm/rim.ts'
import { parseReferenceValues } from '../../src/core/reference-values/reference-values.ts'
import { parseCertificate } from '../../src/core/x509/certificate.ts'
import { parseCrl } from '../../src/core/x509/crl.ts'
import { keyOfSpki } from '../../src/core/x509/ec-key.ts'
import { parseOcspResponse } from '../../src/core/x509/ocsp.ts'
import { mintIntelPki } from '../../src/testing/index.ts'
import { mintedInput } from '../support/minted-input.ts'
import { ANSWER_TARGETS } from './answer-targets.ts'
import { EVIDENCE_TARGETS } from './evidence-targets.ts'
import { PART_TARGETS } from './part-targets.ts'
import { captures, keptSeeds } from './seeds.ts'
import type { Target } from './target.ts'

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'fuzz' } as const
const JSON_WORDS = ['{', '}', '[', ']', ',', ':', '"', '\\u', 'null', 'true', '1e999', '__proto__']
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const tdx = mintedInput('tdx')
const snp = mintedInput('sev-snp')
const gpu = mintedInput('nvidia-gpu')
const [tcbInfo] = tdx.endorsements.tcbInfos
const [sgxTcbInfo] = mintedInput('sgx').endorsements.tcbInfos
const [qeIdentity] = tdx.endorsements.qeIdentities
const certificates = [...tdx.endorsements.certificates, ...snp.endorsements.certificates]
const crls = [...tdx.endorsements.crls, ...snp.endorsements.crls]
const fromFiles = (endings: readonly string[]): readonly Uint8Array[] =>
  captures(({ file, role }) => role !== 'evidence' && endings.some((end) => file.endsWith(end)))

const OTHERS: readonly Target[] = [
  {
    id: 'open-evidence',
    seeds: () => [
      tdx.evidence,
      utf8(Buffer.from(tdx.evidence).toString('base64')),
      utf8(JSON.stringify({ quote: Buffer.from(tdx.evidence).toString('hex') })),
      ...captures(({ role }) => role === 'evidence'),
    ],
    words: [...JSON_WORDS, 'quote', 'evidence', '-----BEGIN CERTIFICATE-----'],
    run: (input) => openEvidence(input),
  },
  {
    id: 'x509-certificate',
    seeds: () => [...certificates, ...fromFiles(['.der'])].filter(isCertificate),
    run: (input) => parseCertificate(input, BLAME),
  },
  {
    id: 'x509-crl',
    seeds: () => crls,
    run: (input) => parseCrl(input, BLAME),
  },
  {
    id: 'x509-ocsp',
    seeds: () => gpu.endorsements.ocspResponses ?? [],
    run: (input) => parseOcspResponse(input, BLAME),
  },
  {
    id: 'nvidia-rim',
    slow: true,
    seeds: () => [...(gpu.endorsements.rims ?? []), ...fromFiles(['.xml', '.swidtag'])],
    words: ['<', '>', '/>', '<!DOCTYPE', '<!--', '<?', '&#x', 'xmlns:', 'URI=""', 'active="True"'],
    run: async (input) => parseRim(input),
  },
  {
    id: 'x509-spki',
    seeds: () =>
      certificates.filter(isCertificate).map((der) => parseCertificate(der, BLAME).key.spki),
    run: (input) => keyOfSpki(input),
  },
  {
    id: 'intel-sgx-extension',
    seeds: () => [mintIntelPki({ now: tdx.now }).certificates.pck],
    run: (input) => readPckPlatform(parseCertificate(input, BLAME)),
  },
  {
    id: 'intel-tcb-info',
    seeds: () => [tcbInfo?.body ?? new Uint8Array(0)],
    words: [...JSON_WORDS, 'tcbLevels', 'tdxModuleIdentities', 'svn', 'tcbStatus', 'UpToDate'],
    run: (input) => {
      return readTcbInfo(readDocument(input, BLAME), 'TDX', BLAME)
    },
  },
  {
    id: 'intel-tcb-info-sgx',
    seeds: () => [sgxTcbInfo?.body ?? new Uint8Array(0)],
    words: [...JSON_WORDS, 'tcbLevels', 'sgxtcbcomp01svn', 'svn', 'tcbStatus', 'UpToDate'],
    run: (input) => {
      return readTcbInfo(readDocument(input, BLAME), 'SGX', BLAME)
    },
  },
  {
    id: 'intel-qe-identity',
    seeds: () => [qeIdentity?.body ?? new Uint8Array(0)],
    words: JSON_WORDS,
    run: (input) => {
      return readQeIdentity(readDocument(input, BLAME), BLAME)
    },
  },
  {
    id: 'collect-endorsements',
    seeds: () => [
      encodeEndorsements(tdx.endorsements),
      utf8(certificates.map((der) => encodePem(der, 'CERTIFICATE')).join('')),
      ...fromFiles(['.json', '.pem', '.der', '.cbor', '.xml']),
    ],
    words: [...JSON_WORDS, 'tcbInfo', 'signature', 'kty', '-----BEGIN CERTIFICATE-----'],
    run: (input) => collectEndorsements([{ name: 'fuzz', bytes: input }]),
  },
  {
    id: 'cbor',
    seeds: () => [mintedInput('arm-cca').evidence, mintedInput('nitro').evidence],
    run: (input) => decodeCbor(input, [18, 399, 907], BLAME),
  },
  {
    id: 'cose-sign1',
    seeds: () => [mintedInput('nitro').evidence],
    run: (input) => decodeCoseSign1(input, BLAME),
  },
  {
    id: 'json',
    seeds: () => [
      encodeEndorsements(tdx.endorsements).slice(0, 4000),
      utf8('{"a":[1,2.5e3,"\\u00e9"]}'),
    ],
    words: JSON_WORDS,
    run: (input) => parseJsonSource(text(input), BLAME),
  },
  {
    id: 'pem',
    seeds: () => [
      utf8(
        certificates
          .slice(0, 2)
          .map((der) => encodePem(der, 'CERTIFICATE'))
          .join(''),
      ),
    ],
    words: ['-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----', '=', '\n'],
    run: (input) => decodePem(text(input), 'CERTIFICATE', BLAME),
  },
  {
    id: 'policy',
    seeds: () => [utf8(JSON.stringify(tdx.policy.fields))],
    words: [...JSON_WORDS, 'require', 'waive', 'format', 'tdx'],
    run: (input) => readPolicy(parseJsonSource(text(input), BLAME).value),
  },
  {
    id: 'reference-values',
    seeds: () => [
      utf8(
        `{"name":"a","version":"1","format":"tdx","entries":[{"label":"b","values":{"mrtd":"${'00'.repeat(48)}"}}]}`,
      ),
    ],
    words: JSON_WORDS,
    run: (input) => parseReferenceValues(parseJsonSource(text(input), BLAME).value),
  },
  {
    id: 'appraisal-record',
    seeds: () => [utf8('{"nonce":{"require":"00"},"report_data":{"statement":"x"}}')],
    words: [...JSON_WORDS, 'require', 'unchecked', 'statement'],
    run: (input) => {
      for (const read of [decodeBinding, decodeResult]) {
        try {
          read(input)
        } catch (err) {
          if (read === decodeResult) throw err
        }
      }
      return decodeInput(
        {
          evidence: input,
          endorsements: input,
          policy: input,
          referenceValues: input,
          binding: input,
        },
        { format: 'tdx', anchors: tdx.anchors, now: tdx.now },
      )
    },
  },
]

/** All of them, by name; what an earlier run kept is among their seeds. */
export const TARGETS: readonly Target[] = [
  ...EVIDENCE_TARGETS,
  ...PART_TARGETS,
  ...ANSWER_TARGETS,
  ...OTHERS,
].map((target) => ({
  ...target,
  seeds: () => [...target.seeds(), ...keptSeeds(target.id)],
}))

function isCertificate(der: Uint8Array): boolean {
  try {
    return parseCertificate(der, BLAME).der.length > 0
  } catch {
    // A list or a key: other targets' seed.
    return false
  }
}
