/** Every field of TPM evidence, for people. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import type { Field } from '../common/format.ts'
import { firmwareText } from './claims.ts'
import type { Quote, TpmEvidence } from './evidence.ts'
import { describeSelection } from './pcrs.ts'
import { wrongAttributes } from './public-area.ts'
import { describeScheme } from './signature.ts'

/** In the order of TPMS_ATTEST, by TCG's names; then the key. */
export function describeEvidence(evidence: TpmEvidence): readonly Field[] {
  const { quote, ak, akPublic, certificates, certify, eventLog } = evidence
  return [
    ...describeQuote(quote),
    { name: 'AK', value: toHex(ak.spki) },
    {
      name: 'AK attributes',
      value:
        akPublic === undefined
          ? 'absent'
          : `0x${akPublic.attributes.toString(16).padStart(8, '0')} (${wrongAttributes(akPublic).join(', ') || 'restricted signing key'})`,
    },
    ...certificates.map(({ subjectName, issuerName }, i) => ({
      name: `AK certificate[${i}]`,
      value: `${subjectName || 'no name'} by ${issuerName}`,
    })),
    { name: 'TPM2_Certify name', value: certify ? toHex(certify.attest.name) : 'absent' },
    describeEventLog(eventLog),
  ]
}

export function describeEventLog(log: TpmEvidence['eventLog']): Field {
  const value =
    log === undefined ? 'absent' : `${log.events.length} events, ${log.banks.join(', ')}`
  return { name: 'event log', value }
}

/** The quote alone, for every format that has one. */
export function describeQuote({ attest, signature, banks }: Quote): readonly Field[] {
  const { clock, resetCount, restartCount, safe } = attest.clockInfo
  return [
    { name: 'qualifiedSigner', value: toHex(attest.qualifiedSigner) },
    { name: 'extraData', value: toHex(attest.extraData) || 'empty' },
    { name: 'clock', value: `${clock} ms, ${safe ? 'safe' : 'not safe'}` },
    { name: 'resetCount', value: String(resetCount) },
    { name: 'restartCount', value: String(restartCount) },
    { name: 'firmwareVersion', value: firmwareText(attest) },
    { name: 'pcrSelect', value: describeSelection(attest.selection) },
    { name: 'pcrDigest', value: toHex(attest.pcrDigest) },
    ...[...banks].flatMap(([bank, values]) =>
      [...values].map(([pcr, value]) => ({ name: `${bank} PCR ${pcr}`, value: toHex(value) })),
    ),
    { name: 'sigAlg', value: describeScheme(signature) },
  ]
}
