/** Every field of a report and of its certificates, for people. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import type { Field } from '../common/format.ts'
import type { NvidiaEvidence } from './evidence.ts'
import { recordName } from './opaque.ts'
import { rimIdsOf } from './rim-ids.ts'

/** In the order of the report. */
export function describeDevice(evidence: NvidiaEvidence): readonly Field[] {
  const { statedArch, report, certificates } = evidence
  const { opaque } = report
  return [
    { name: 'arch', value: statedArch ?? 'absent' },
    { name: 'Nonce (request)', value: toHex(report.requestNonce) },
    { name: 'Nonce (response)', value: toHex(report.responseNonce) },
    { name: 'NumberOfBlocks', value: `${report.measurements.length}` },
    ...report.measurements.map((value, i) => ({
      name: `measurement_${i}`,
      value: toHex(value),
    })),
    ...[...report.records].map(([type, value]) => ({
      name: recordName(type),
      value: toHex(value),
    })),
    ...(opaque.kind === 'gpu' ? [{ name: 'driver version', value: opaque.driverVersion }] : []),
    { name: 'VBIOS version', value: opaque.vbiosVersion },
    ...rimIdsOf(opaque).map(({ kind, id }) => ({ name: `${kind} manifest`, value: id })),
    ...certificates.map(({ subjectName, serial, notAfter }, i) => ({
      name: `certificate[${i}]`,
      value: `${subjectName}, serial ${serial}, until ${notAfter.toISOString()}`,
    })),
    { name: 'Signature', value: toHex(report.signature) },
  ]
}
