import { describe, expect, it } from 'vitest'
import { parseEventLog } from '../../../src/core/evidence/common/event-log/parse.ts'
import { compareSets } from '../../../src/core/reference-values/difference.ts'
import { setOf } from '../../../src/core/reference-values/import.ts'
import { lintReferenceValues } from '../../../src/core/reference-values/lint.ts'
import { registersOf } from '../../../src/core/reference-values/log-registers.ts'
import {
  missingMeasurements,
  proposeMeasurements,
  trustedValues,
} from '../../../src/core/reference-values/propose.ts'
import type { ReferenceValueSet } from '../../../src/core/reference-values/reference-values.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { mintEventLog, mintRegister } from '../../../src/testing/index.ts'
import { hex, readUnsigned } from '../../support/corim.ts'

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const none = { include: [], exclude: [] }
const TDX = { mrtd: hex(48, 1), rtmr0: hex(48, 2), mrseam: hex(48, 3), mrconfigid: hex(48, 0) }

describe('stores of other verifiers', () => {
  const store = {
    platform: [
      {
        'implementation-id': hex(32, 1).toUpperCase(),
        'sw-components': [
          { 'component-type': 'BL', 'measurement-value': hex(32, 2), 'signer-id': hex(32, 3) },
        ],
        'platform-configuration': 'CFCF',
      },
    ],
    realm: [
      {
        'initial-measurement': hex(64, 4),
        'extensible-measurements': [hex(64, 5)],
        'rak-hash-algorithm': 'sha-256',
      },
    ],
  }
  it('become one entry for each platform and realm', async () => {
    const imported = await readUnsigned(text(store))
    expect(setOf([imported], { name: 'mine', version: '7' })).toEqual({
      name: 'mine',
      version: '7',
      format: 'arm-cca',
      entries: [
        {
          label: `implementation-id ${hex(32, 1)} + realm ${hex(8, 4)}`,
          values: {
            implementation_id: hex(32, 1),
            sw_BL: hex(32, 2),
            rim: hex(64, 4),
            rem0: hex(64, 5),
          },
        },
      ],
    })
    expect(imported.policy['platform.config']).toEqual([{ mask: 'ffff', value: 'cfcf' }])
    expect(imported.unmapped).toHaveLength(3)
  })

  it.each([
    [{ platform: [{}] }],
    [{ platform: [{ 'implementation-id': 'xyz' }] }],
    [{ realm: [{ 'initial-measurement': hex(31, 1) }] }],
    [{ realm: [{ 'initial-measurement': hex(32, 1), 'extensible-measurements': 'x' }] }],
    [{ realm: [1] }],
    [{ realm: [], platform: 'x' }],
  ])('malformed: %j', async (value) => {
    const error = { code: 'ERR_REFERENCE_VALUES_INVALID' }
    await expect(readUnsigned(text(value))).rejects.toMatchObject(error)
  })

  it('a plain set stays as it is, and several formats must be chosen among', async () => {
    const set = {
      name: 'mine',
      version: '1',
      format: 'tdx',
      entries: [{ label: 'a', values: { mrtd: hex(48, 1) } }],
    }
    const plain = await readUnsigned(text(set))
    expect(setOf([plain], {})).toEqual(set)
    const both = [plain, await readUnsigned(text(store))]
    expect(() => setOf(both, {})).toThrow('of several formats')
    expect(setOf(both, { format: 'tdx' })?.entries).toHaveLength(1)
  })
})

describe('proposals', () => {
  it('trust what runs, and leave out where it ran', () => {
    const proposed = proposeMeasurements('tdx', TDX, none)
    expect(trustedValues(proposed)).toEqual({ mrtd: TDX.mrtd, rtmr0: TDX.rtmr0 })
    expect(proposed.find(({ name }) => name === 'mrconfigid')?.why).toContain('all zeros here')
    expect(missingMeasurements('tdx', TDX)).toEqual(['rtmr1', 'rtmr2', 'rtmr3'])
  })

  it('are the operator’s to change, but not by mistake', () => {
    const choice = { include: ['mrseam'], exclude: ['rtmr0'] }
    const values = trustedValues(proposeMeasurements('tdx', TDX, choice))
    expect(values).toEqual({ mrtd: TDX.mrtd, mrseam: TDX.mrseam })
    const propose = (include: string[], exclude: string[]) => () =>
      proposeMeasurements('tdx', TDX, { include, exclude })
    expect(propose(['rtmr9'], [])).toThrow('the evidence has no rtmr9')
    expect(propose(['mrtd'], ['mrtd'])).toThrow('both')
    expect(propose([], ['mrtd', 'rtmr0'])).toThrow('nothing is left')
  })
})

describe('the events behind registers', () => {
  const events = [
    { register: 1, type: 4, data: new Uint8Array(4) },
    {
      register: 3,
      type: 13,
      data: new TextEncoder().encode('grub_cmd: linux /vmlinuz'),
      measured: new TextEncoder().encode('linux /vmlinuz'),
    },
    {
      register: 3,
      type: 13,
      data: new TextEncoder().encode('/vmlinuz'),
      measured: new Uint8Array(9),
    },
  ]
  it('are those that replay to them, with what their digests cover', async () => {
    const log = parseEventLog(mintEventLog(events, { banks: ['sha256', 'sha384'] }))
    const registers = await registersOf(log, 'tdx', createCrypto())
    const value = (register: number) => Buffer.from(mintRegister(events, register)).toString('hex')
    expect(registers.map((one) => [one.name, one.value])).toEqual([
      ['rtmr0', value(1)],
      ['rtmr2', value(3)],
    ])
    expect(registers[1]?.events.map(({ covered, said }) => [covered, said])).toEqual([
      ['linux /vmlinuz', 'grub_cmd: linux /vmlinuz'],
      [undefined, '/vmlinuz'],
    ])
    const pcrs = await registersOf(log, 'tpm', createCrypto())
    expect(pcrs.map(({ name }) => name)).toEqual(['pcr1_sha256', 'pcr3_sha256'])
  })

  it('are none where the format has no logs, or the log no bank of its own', async () => {
    const log = parseEventLog(mintEventLog(events, { banks: ['sha256'] }))
    const error = { code: 'ERR_EVIDENCE_UNSUPPORTED' }
    await expect(registersOf(log, 'tdx', createCrypto())).rejects.toMatchObject(error)
    await expect(registersOf(log, 'constructor', createCrypto())).rejects.toMatchObject(error)
  })
})

describe('compareSets', () => {
  const set = (entries: ReferenceValueSet['entries'], version = '1'): ReferenceValueSet => ({
    name: 'a',
    version,
    format: 'tdx',
    entries,
  })
  const a = { label: 'a', values: { mrtd: '11', rtmr0: '22' } }
  it('names what changed, came and went', () => {
    expect(compareSets(set([a]), set([a]))).toEqual([])
    expect(
      compareSets(set([a]), set([{ ...a, values: { mrtd: '12', rtmr1: '33' } }], '2')),
    ).toEqual([
      { at: 'version', before: '1', after: '2' },
      { at: 'a: mrtd', before: '11', after: '12' },
      { at: 'a: rtmr0', before: '22' },
      { at: 'a: rtmr1', after: '33' },
    ])
    const b = { label: 'b', values: { mrtd: '44' } }
    expect(compareSets(set([a]), set([b]))).toEqual([
      { at: 'a: mrtd', before: '11' },
      { at: 'a: rtmr0', before: '22' },
      { at: 'b: mrtd', after: '44' },
    ])
    expect(compareSets(set([a, b]), set([b, { ...a, label: 'c' }]))).toEqual([
      { at: 'a: label', before: 'a', after: 'c' },
    ])
  })
})

describe('lintReferenceValues', () => {
  const good = `{"name": "a", "version": "1", "format": "tdx",
 "entries": [{"label": "x", "values": {"mrtd": "${hex(48, 1)}"}}]}`
  const at = (source: string) =>
    lintReferenceValues(source).diagnostics.map(({ line, column, at: place }) => [
      line,
      column,
      place,
    ])

  it('finds nothing in a good one', () => {
    expect(lintReferenceValues(good)).toMatchObject({ set: { name: 'a' }, diagnostics: [] })
  })

  it('finds everything at once, by line and column', () => {
    const bad = `{"name": "A B",
 "format": "tdx", "odd": 1,
 "entries": [
  {"label": "", "values": {"mrtd": "zz",
   "rtmr0": 5}},
  {"label": "y", "values": {}}]}`
    expect(at(bad)).toEqual([
      [1, 1, 'reference_values.version'],
      [1, 2, 'reference_values.name'],
      [2, 19, 'reference_values.odd'],
      [4, 4, 'reference_values.entries.0.label'],
      [4, 28, 'reference_values.entries.0.values.mrtd'],
      [5, 4, 'reference_values.entries.0.values.rtmr0'],
      [6, 18, 'reference_values.entries.1.values'],
    ])
  })

  it('finds a measurement that no evidence has, an entry twice, and what is no JSON', () => {
    expect(lintReferenceValues(good.replace('mrtd', 'mrdt'))).toMatchObject({
      set: { name: 'a' },
      diagnostics: [{ line: 2, detail: expect.stringContaining('never matches') as string }],
    })
    const entry = `{"label": "x", "values": {"mrtd": "${hex(48, 1)}"}}`
    expect(at(good.replace(entry, `${entry}, ${entry}`))).toEqual([
      [2, 2, 'reference_values.entries'],
    ])
    expect(at('{"name": "a",\n "name": "b"}')).toEqual([[2, 2, 'reference_values']])
    expect(at('[]')).toEqual([[1, 1, 'reference_values']])
  })
})
