/**
 * AMD SEV-SNP, Intel TDX and SGX: which measurement of a CoRIM is which of a report.
 *
 * @packageDocumentation
 * @see draft-deeglaze-amd-sev-snp-corim-profile, draft-cds-rats-intel-corim-profile
 */
import { toHex } from '../../bytes/hex.ts'
import { type Claim, type Fragment, labelOf } from '../fragments.ts'
import type { ReferenceTriple } from './comid.ts'
import { describeEnvironment, type Environment } from './environment.ts'
import { type Mapped, NOTHING } from './mapped.ts'
import { type Digest, type HashName, type Measurement, membersOf } from './measurement.ts'

/** One member of a measurement that is a measurement of the format. */
interface Rule {
  /** The measurement's key; `*` for any. */
  readonly key: string
  readonly from: 'digests' | 'raw' | 'mrTee' | 'mrSigner' | 'registers'
  /** Of the format's measurement; with registers, a prefix that the number follows. */
  readonly name: string
  /** In bytes. */
  readonly size: number
}

interface Shape {
  readonly format: string
  readonly layer: string
  readonly rules: readonly Rule[]
}

const snp = (key: string, from: Rule['from'], name: string): Rule => ({
  key,
  from,
  name,
  size: name === 'hostData' ? 32 : 48,
})

/** By class: report fields numbered in their order (the first drafts), and grouped by key (now). */
const SNP_FIRST: Shape = {
  format: 'sev-snp',
  layer: 'guest',
  rules: [
    snp('641', 'digests', 'measurement'),
    snp('642', 'raw', 'hostData'),
    snp('643', 'raw', 'idKeyDigest'),
    snp('644', 'raw', 'authorKeyDigest'),
    snp('643', 'digests', 'idKeyDigest'),
    snp('644', 'digests', 'authorKeyDigest'),
  ],
}
const SNP_GROUPED: Shape = {
  format: 'sev-snp',
  layer: 'guest',
  rules: [
    snp('0', 'digests', 'measurement'),
    snp('5', 'raw', 'idKeyDigest'),
    snp('6', 'raw', 'authorKeyDigest'),
    snp('8', 'raw', 'hostData'),
  ],
}
const SNP_CLASSES: Readonly<Record<string, Shape>> = {
  '1.3.6.1.4.1.3704.3.1': SNP_FIRST,
  d05e6d1b9f464ae2a610ce3e6ee7e153: SNP_GROUPED,
  '89a7a1f0e7044faaacbd81c86df8a961': SNP_GROUPED,
}

const TDX_MODULE: Shape = {
  format: 'tdx',
  layer: 'module',
  rules: [
    { key: '*', from: 'mrTee', name: 'mrseam', size: 48 },
    { key: '*', from: 'mrSigner', name: 'mrsignerseam', size: 48 },
  ],
}
const TDX_GUEST: Shape = {
  format: 'tdx',
  layer: 'guest',
  rules: [
    { key: '*', from: 'mrTee', name: 'mrtd', size: 48 },
    { key: '*', from: 'registers', name: 'rtmr', size: 48 },
  ],
}
const SGX: Shape = {
  format: 'sgx',
  layer: 'guest',
  rules: [
    { key: '*', from: 'mrTee', name: 'mrenclave', size: 32 },
    { key: '*', from: 'mrSigner', name: 'mrsigner', size: 32 },
  ],
}
/**
 * By the class's model. QE and PCE, however the word is put together, are judged by what Intel signs,
 * and are none of these: `SGX_QE` measures no enclave of anybody else's.
 */
const INTEL_MODELS: readonly (readonly [RegExp, Shape | undefined])[] = [
  [/QE|QVE|PCE|quoting|provisioning/i, undefined],
  [/SEAM/i, TDX_MODULE],
  [/TDX|\bTD\b/i, TDX_GUEST],
  [/SGX/i, SGX],
]
/** The class of SGX enclaves in Intel's examples, which have no model. */
const SGX_ENCLAVE = '2.16.840.1.113741.1.2.3.5.1'
const REGISTER = /^(?:rtmr)?([0-3])$/i
/** What says which guest it is: without it an entry holds for all that match the rest. */
const MAIN: ReadonlyMap<string, string> = new Map([
  ['sev-snp', 'measurement'],
  ['tdx', 'mrtd'],
  ['sgx', 'mrenclave'],
])
const ALGORITHM: Readonly<Record<number, HashName>> = { 32: 'sha-256', 48: 'sha-384' }

/** What the triple's class says it is about; `undefined` for none that is known. */
export function shapeOf({ classId, vendor, model }: Environment): Shape | undefined {
  const own = SNP_CLASSES[classId?.text ?? '']
  if (own !== undefined && (classId?.kind === 'oid' || classId?.kind === 'uuid')) return own
  if (classId?.kind === 'oid' && classId.text === SGX_ENCLAVE) return SGX
  if (!/intel/i.test(vendor ?? '')) return undefined
  return INTEL_MODELS.find(([pattern]) => pattern.test(model ?? ''))?.[1]
}

/** Reference values by the rules of a shape. */
export function mapTee(triple: ReferenceTriple, shape: Shape, at: string): Mapped {
  const { environment, measurements } = triple
  const claims: Claim[] = []
  const unmapped: string[] = environment.others.map((name) => `environment ${name}`)
  // Of one machine: a report has its id elsewhere, and a set is of software.
  if (environment.instance !== undefined) unmapped.push('instance: these values hold for any')
  for (const measurement of measurements) {
    const found = readAll(measurement, shape)
    claims.push(...found.claims)
    unmapped.push(...found.unmapped)
  }
  const names = claims.map(({ name }) => name)
  if (new Set(names).size < names.length) {
    return { ...NOTHING, unmapped: [`${at}: two values of one measurement`] }
  }
  const { format, layer } = shape
  if (claims.length === 0) unmapped.push(`nothing that ${format} evidence measures`)
  const main = MAIN.get(format) ?? ''
  if (claims.length > 0 && layer === 'guest' && !names.includes(main)) {
    unmapped.push(`no ${main}: any guest that fits the rest will do`)
  }
  const label = labelOf(describeEnvironment(environment))
  const fragments: readonly Fragment[] =
    claims.length === 0 ? [] : [{ format, layer, label, claims }]
  return { ...NOTHING, fragments, unmapped: unmapped.map((text) => `${at}: ${text}`) }
}

function readAll(
  measurement: Measurement,
  { rules }: Shape,
): { readonly claims: readonly Claim[]; readonly unmapped: readonly string[] } {
  const own = rules.filter(({ key }) => key === '*' || key === measurement.key)
  const claims = own.flatMap((rule) => readRule(measurement, rule))
  const name = measurement.key === undefined ? '' : `measurement ${measurement.key}: `
  const unread = membersOf(measurement).filter(
    (member) => !own.some((rule) => rule.from === member && readRule(measurement, rule).length > 0),
  )
  const strange = measurement.registers.filter(([register]) => !REGISTER.test(register))
  return {
    claims,
    unmapped: [
      ...[...unread, ...measurement.others].map((what) => `${name}${what}`),
      ...strange.map(([register]) => `${name}register ${register}`),
    ],
  }
}

function readRule(measurement: Measurement, rule: Rule): readonly Claim[] {
  const { from, name, size } = rule
  if (from === 'raw') {
    const { raw } = measurement
    const fits = raw?.mask === undefined && raw?.value.length === size
    return fits ? [{ name, anyOf: [toHex(raw.value)] }] : []
  }
  if (from !== 'registers') return claimOf(measurement[from], name, size)
  return measurement.registers.flatMap(([register, digests]) => {
    const number = REGISTER.exec(register)?.[1]
    return number === undefined ? [] : claimOf(digests, `${name}${number}`, size)
  })
}

/** The digests by the algorithm of the format; a report has no others. */
function claimOf(digests: readonly Digest[], name: string, size: number): readonly Claim[] {
  const anyOf = digests
    .filter(({ algorithm }) => algorithm === ALGORITHM[size])
    .map(({ value }) => value)
  return anyOf.length === 0 ? [] : [{ name, anyOf: [...new Set(anyOf)] }]
}
