/** Opaque data with a header before it, and the least security version numbers that manifests ask for. */
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { recordName } from '../../../src/core/evidence/nvidia-spdm/opaque.ts'
import { parseRim } from '../../../src/core/evidence/nvidia-spdm/rim.ts'
import { parseReport } from '../../../src/core/evidence/nvidia-spdm/spdm.ts'
import {
  mintNvidiaReport,
  mintRim,
  type NvidiaModel,
  type NvidiaReportOptions,
  type RimOptions,
} from '../../../src/testing/index.ts'
import { appraiseNvidia, failures, nvidiaWorld } from '../../support/nvidia.ts'

const { pki, device, evidence, good } = nvidiaWorld()
const FSP = 37
const SVN = 0x87
const head = (...bytes: readonly number[]) => concat(utf8('NVDAOD'), Uint8Array.from(bytes))
const svn = (value: Uint8Array | undefined, type = SVN): Partial<NvidiaReportOptions> => ({
  versioned: { types: { [FSP]: type } },
  records: { [FSP]: value },
})
const five = svn(Uint8Array.of(5, 0))
/** A GPU of a driver whose manifest has these. */
const world = async (change: Partial<NvidiaReportOptions>, rim: Partial<RimOptions> = {}) => {
  const [, vbios = new Uint8Array()] = good.endorsements.rims ?? []
  const rims = [mintRim(pki, { kind: 'driver', ...rim }), vbios]
  return appraiseNvidia({
    ...good,
    evidence: evidence(change),
    endorsements: { ...good.endorsements, rims },
  })
}
const failing = async (change: Partial<NvidiaReportOptions>, floor: string) =>
  failures(await world(change, { floors: { [FSP]: floor } }))
const MISSED = ['nvgpu.policy.debug', 'nvgpu.measurements.driver']

describe('opaque data of the drivers of CUDA 13.5 and later', () => {
  it.each<NvidiaModel>(['GH100', 'GB100', 'LS10'])(
    '%s is read as without a header',
    async (model) => {
      const other = nvidiaWorld(model)
      const report = (change: Partial<NvidiaReportOptions>) =>
        parseReport(mintNvidiaReport({ device: other.device, ...change }))
      const versioned = report({ versioned: {} })
      expect(versioned.opaque).toEqual(report({}).opaque)
      expect(versioned.records).toEqual(report({}).records)
      const result = await appraiseNvidia({
        ...other.good,
        evidence: other.evidence({ versioned: {} }),
      })
      expect(failures(result)).toEqual([])
    },
  )

  it('names which of its records are security version numbers', () => {
    const numbers = (change: Partial<NvidiaReportOptions>) =>
      parseReport(mintNvidiaReport({ device, ...change })).svns
    expect(numbers(five)).toEqual(new Map([[FSP, 5]]))
    expect(numbers(svn(Uint8Array.of(5, 0), 0x86))).toEqual(new Map())
    expect(numbers({ records: { [FSP]: Uint8Array.of(5, 0) } })).toEqual(new Map())
    expect(recordName(FSP)).toBe('FSP_UCODE_SVN')
  })

  it.each<[string, Partial<NvidiaReportOptions>]>([
    ['an earlier version', { versioned: { head: head(0, 0, 1, 0, 0, 0) } }],
    ['a later minor version', { versioned: { head: head(0, 0, 2, 9, 9, 9) } }],
    [
      'whatever version a record of the old kind says',
      { versioned: {}, records: { 34: Uint8Array.of(99, 0) } },
    ],
  ])('is read: %s', (_, change) => {
    expect(parseReport(mintNvidiaReport({ device, ...change })).opaque.kind).toBe('gpu')
  })

  it.each<[string, Partial<NvidiaReportOptions>]>([
    ['another profile', { versioned: { head: head(1, 0, 2, 0, 0, 0) } }],
    ['a later version', { versioned: { head: head(0, 0, 3, 0, 0, 0) } }],
    ['a later version, without a header', { records: { 34: Uint8Array.of(3, 0) } }],
    ['a version that no number holds', { records: { 34: new Uint8Array(9) } }],
    ['no version in the record of it', { records: { 34: new Uint8Array() } }],
  ])('is not supported: %s', (_, change) => {
    expect(() => parseReport(mintNvidiaReport({ device, ...change }))).toThrow(
      expect.objectContaining({
        code: 'ERR_EVIDENCE_UNSUPPORTED',
        at: 'nvidia.report.opaque.version',
      }),
    )
  })

  it.each<[string, Partial<NvidiaReportOptions>]>([
    ['a header that is cut off', { versioned: { head: head(0, 0, 2, 0, 0) } }],
    [
      'another word before the records',
      { versioned: { head: concat(utf8('NVDAOE'), new Uint8Array(6)) } },
    ],
    ['a security version number of no bytes', svn(new Uint8Array())],
    ['a security version number of nine bytes', svn(new Uint8Array(9))],
    ['a security version number that is too large', svn(new Uint8Array(8).fill(0xff))],
  ])('is malformed: %s', (_, change) => {
    expect(() => parseReport(mintNvidiaReport({ device, ...change }))).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }),
    )
  })
})

describe('least security version numbers', () => {
  it.each<[string, Partial<NvidiaReportOptions>, string, readonly string[]]>([
    ['is reached', five, '5', []],
    ['is passed', five, '0', []],
    ['is passed in eight bytes', svn(Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0)), '4294967296', []],
    ['is missed', five, '6', MISSED],
    ['is asked of a report without the record', { versioned: {} }, '0', MISSED],
    ['is asked of one that is no such number', svn(Uint8Array.of(5, 0), 0x86), '5', MISSED],
    [
      'is asked of a report without a header',
      { records: { [FSP]: Uint8Array.of(5, 0) } },
      '5',
      MISSED,
    ],
  ])('%s', async (...[, change, floor, failed]) => {
    expect(await failing(change, floor)).toEqual(failed)
  })

  it('says what is asked for and what there is', async () => {
    const { checks, claims } = await world(five, { floors: { [FSP]: '6' } })
    expect(checks.find(({ id }) => id === 'nvgpu.measurements.driver')).toMatchObject({
      expected: 'index 101: MIN_SVN_37 of at least 6',
      actual: 'index 101: 5',
    })
    expect(claims).toMatchObject({
      measres: 'fail',
      'x-nvidia-attester-claims': { MIN_SVN_37: 5 },
      'x-nvidia-mismatch-measurement-records': [{ index: 101, runtimeValue: '5' }],
    })
  })

  it('two manifests that ask for one do not count', async () => {
    const rims = (['driver', 'vbios'] as const).map((kind) =>
      mintRim(pki, { kind, floors: { [FSP]: '5' } }),
    )
    const result = await appraiseNvidia({
      ...good,
      evidence: evidence(five),
      endorsements: { ...good.endorsements, rims },
    })
    expect(failures(result)).toEqual(['nvgpu.policy.debug', 'nvgpu.measurements.overlap'])
  })

  const read = async (unsigned: (xml: string) => string) =>
    parseRim(mintRim(pki, { kind: 'driver', floors: { [FSP]: '5' }, unsigned }))

  it('one that is not active asks for nothing', async () => {
    const one = (await read((xml) => xml)).floors
    expect(one).toEqual([{ type: FSP, name: 'MIN_SVN_37', least: 5 }])
    const none = await read((xml) =>
      xml.replace('active="True" index="101"', 'active="False" index="101"'),
    )
    expect(none.floors).toEqual([])
  })

  it.each<[string, (xml: string) => string]>([
    ['none', (xml) => xml.replace(' ns3:minSvn="5"', '')],
    ['one of another namespace', (xml) => xml.replace(' ns3:minSvn="5"', ' ns2:minSvn="5"')],
    ['no number', (xml) => xml.replace('minSvn="5"', 'minSvn="five"')],
    ['a number below zero', (xml) => xml.replace('minSvn="5"', 'minSvn="-5"')],
    ['a number that is too large', (xml) => xml.replace('minSvn="5"', 'minSvn="9007199254740993"')],
    [
      'an attribute that nobody knows',
      (xml) => xml.replace('ns3:minSvn', 'ns3:maxSvn="9" ns3:minSvn'),
    ],
    ['a digest besides', (xml) => xml.replace('ns3:minSvn', 'ns2:Hash0="00" ns3:minSvn')],
    ['no name', (xml) => xml.replace(' name="MIN_SVN_37"', '')],
    ['a type above the last', (xml) => xml.replace('index="101"', 'index="65600"')],
    ['a place twice', (xml) => xml.replace('index="0"', 'index="101"')],
  ])('a manifest with %s is none', async (_, change) => {
    await expect(read(change)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
  })
})
