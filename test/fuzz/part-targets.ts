/** Parsers of what evidence is made of, or measured against, each by itself. @packageDocumentation */
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { parseJsonSource } from '../../src/core/encoding/json-source.ts'
import { parsePassportTrust } from '../../src/core/endorsements/passport-trust.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { coverageOf } from '../../src/core/evidence/common/event-log/coverage.ts'
import { parseEventLog } from '../../src/core/evidence/common/event-log/parse.ts'
import { replayLog } from '../../src/core/evidence/common/event-log/replay.ts'
import {
  parseHygonCertificate,
  splitHygonCertificates,
} from '../../src/core/evidence/hygon-csv/certificate.ts'
import { parseCertifyAttest, parseQuoteAttest } from '../../src/core/evidence/tpm/attest.ts'
import { parsePublicArea } from '../../src/core/evidence/tpm/public-area.ts'
import { parseSignature } from '../../src/core/evidence/tpm/signature.ts'
import { importFile } from '../../src/core/reference-values/import.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import {
  mintEventLog,
  mintHygonPki,
  mintPublicArea,
  mintTdxBoot,
  mintTpmKey,
  mintTpmQuote,
} from '../../src/testing/index.ts'
import { ccaPlatform, ccaRealm, NOW, SIGNER, signCorim } from '../support/corim.ts'
import { mintCorimChain } from '../support/corim-chain.ts'
import { passportIssuer } from '../support/mint-case.ts'
import { captures } from './seeds.ts'
import type { Target } from './target.ts'

const crypto = createCrypto()
const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'fuzz' } as const
const WORDS = [
  '"kind"',
  '"issuer"',
  '"keys"',
  '"kty"',
  'RSA',
  'EC',
  '"x5c"',
  '[',
  ']',
  '{',
  '}',
  ',',
]

/** Bytes that may be one of several structures: the first that is not refused, or the last refusal. */
function firstOf(...parsers: readonly (() => unknown)[]): unknown {
  const [last] = parsers.slice(-1)
  for (const parse of parsers.slice(0, -1)) {
    try {
      return parse()
    } catch (err) {
      if (!(err instanceof VouchsafeError)) throw err
    }
  }
  return last?.()
}

const chain = mintCorimChain(NOW)

/** Event logs, structures of TPMs, certificates of Hygon, manifests, and other verifiers' keys. */
export const PART_TARGETS: readonly Target[] = [
  {
    id: 'event-log',
    seeds: () => [
      mintEventLog(mintTdxBoot()),
      ...captures(({ file }) => file.startsWith('eventlog/') && file.endsWith('.bin')),
    ],
    run: async (input) => {
      const log = parseEventLog(input)
      for (const event of log.events) await coverageOf(event, 'sha384', crypto)
      return replayLog(log, 'sha384', crypto)
    },
  },
  {
    id: 'tpm-attest',
    seeds: () => [mintTpmQuote({ key: mintTpmKey() }).message],
    run: (input) =>
      firstOf(
        () => parseCertifyAttest(input, 'fuzz'),
        () => parseQuoteAttest(input, 'fuzz'),
      ),
  },
  {
    id: 'tpm-public-area',
    seeds: () => [mintPublicArea(mintTpmKey('ES256')), mintPublicArea(mintTpmKey('RS256'))],
    run: (input) => parsePublicArea(input, 'fuzz'),
  },
  {
    id: 'tpm-signature',
    seeds: () => [mintTpmQuote({ key: mintTpmKey() }).signature],
    run: (input) => parseSignature(input, 'fuzz'),
  },
  {
    id: 'hygon-certificates',
    seeds: () => mintHygonPki().certificates,
    run: (input) =>
      (splitHygonCertificates(input) ?? [input]).map((one) => parseHygonCertificate(one, BLAME)),
  },
  {
    id: 'corim',
    seeds: () => [
      ccaPlatform(),
      ccaRealm(),
      ...captures(({ file }) => /corim|endorsements\.cbor|rvstore|rv\.json|ta\.json/.test(file)),
    ],
    run: async (input) =>
      importFile(input, { authority: { unsigned: true }, now: NOW, crypto, anyProfile: true }),
  },
  {
    id: 'corim-signed',
    seeds: () => [signCorim(ccaPlatform()), signCorim(ccaRealm(), { wrappers: [500, 502] })],
    run: async (input) =>
      importFile(input, { authority: { key: SIGNER }, now: NOW, crypto, anyProfile: true }),
  },
  {
    id: 'corim-x5chain',
    slow: true,
    seeds: () => [
      ...[[chain.leaf, chain.root], chain.leaf].map((x5chain) =>
        signCorim(ccaPlatform(), { key: chain.key, headers: [[33, x5chain]] }),
      ),
    ],
    run: async (input) => importFile(input, { authority: chain.trust, now: NOW, crypto }),
  },
  {
    id: 'passport-trust',
    seeds: () => [
      utf8(JSON.stringify([passportIssuer('gcp-cs').trust, passportIssuer('ear').trust])),
    ],
    words: WORDS,
    run: (input) =>
      parsePassportTrust(parseJsonSource(new TextDecoder().decode(input), BLAME).value, BLAME),
  },
]
