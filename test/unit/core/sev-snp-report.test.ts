import { describe, expect, it } from 'vitest'
import { sevSnp } from '../../../src/core/evidence/sev-snp/format.ts'
import { parseReport } from '../../../src/core/evidence/sev-snp/report.ts'
import { decodeTcb, isAtLeast } from '../../../src/core/evidence/sev-snp/tcb.ts'
import { mintSnpReport, SNP_FIELDS, type SnpFieldValues } from '../../../src/testing/index.ts'

function report(fields: SnpFieldValues = {}, product: 'Milan' | 'Genoa' | 'Turin' = 'Milan') {
  return mintSnpReport({ product, fields })
}

/** What the firmware answers: a header of 32 bytes, the report, and zeros. */
function response(size = 4000, header: Partial<Record<number, number>> = {}): Uint8Array {
  const bytes = new Uint8Array(size)
  bytes.set([0, 0, 0, 0, 0xa0, 0x04])
  for (const [at, value] of Object.entries(header)) bytes[Number(at)] = value ?? 0
  bytes.set(report(), 32)
  return bytes
}

const MALFORMED = 'ERR_EVIDENCE_MALFORMED'
const UNSUPPORTED = 'ERR_EVIDENCE_UNSUPPORTED'
const set = (length: number, at = length - 1) => new Uint8Array(length).fill(1, at)

describe('parseReport', () => {
  it('reads every field from its place', () => {
    const fields = Object.entries(SNP_FIELDS)
      .filter(([name]) => !/^(version|signatureAlgo|flags|reserved|cpuid)/.test(name))
      .map(([name, [, length]], i) => {
        // The last byte of a firmware version is reserved.
        const value = new Uint8Array(length).fill(i + 1)
        return [name, name.endsWith('Version') ? value.with(3, 0) : value] as const
      })
    const given = Object.fromEntries(fields)
    const parsed = parseReport(report({ ...given, version: 5, flags: 3 }))
    const number = (name: string): bigint =>
      [...(given[name] ?? [])].reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
    for (const [name, value] of fields) {
      if (name in parsed && parsed[name as keyof typeof parsed] instanceof Uint8Array) {
        expect(parsed[name as keyof typeof parsed], name).toEqual(value)
      }
    }
    expect(parsed.policy).toBe(number('policy'))
    expect(parsed.platformInfo).toBe(number('platformInfo'))
    expect(BigInt(parsed.guestSvn)).toBe(number('guestSvn'))
    expect(BigInt(parsed.vmpl)).toBe(number('vmpl'))
    expect(parsed.mitigations).toEqual({
      launch: number('launchMitVector'),
      current: number('currentMitVector'),
    })
    expect(parsed.authorKeyEnabled && parsed.maskChipKey).toBe(true)
    expect(parsed.product).toBe('Milan')
    expect(parsed.signed).toEqual(report({ ...given, version: 5, flags: 3 }).slice(0, 0x2a0))
  })

  it.each([
    [2, undefined, undefined],
    [3, 'Milan', undefined],
    [4, 'Milan', undefined],
    [5, 'Milan', { launch: 0n, current: 0n }],
  ] as const)('version %s', (version, product, mitigations) => {
    const parsed = parseReport(report({ version }))
    expect([parsed.product, parsed.mitigations]).toEqual([product, mitigations])
  })

  it.each([
    [25, 0, 'Milan'],
    [25, 15, 'Milan'],
    [25, 16, 'Genoa'],
    [25, 31, 'Genoa'],
    [25, 160, 'Genoa'],
    [25, 175, 'Genoa'],
    [26, 0, 'Turin'],
    [26, 17, 'Turin'],
  ])('CPUID family %s, model %s is %s', (family, model, product) => {
    expect(parseReport(report({ cpuid: Uint8Array.of(family, model, 0) })).product).toBe(product)
  })

  it.each([
    [25, 32],
    [25, 159],
    [25, 176],
    [26, 18],
    [24, 1],
    [27, 0],
    [0, 0],
  ])('refuses CPUID family %s, model %s', (family, model) => {
    expect(() => parseReport(report({ cpuid: Uint8Array.of(family, model, 0) }))).toThrow(
      expect.objectContaining({ code: UNSUPPORTED, at: 'snp.report.cpuid' }),
    )
  })

  it.each([
    ['nothing', new Uint8Array(), MALFORMED, 'length'],
    ['a byte short', report().slice(1), MALFORMED, 'length'],
    ['a byte long', Uint8Array.from([...report(), 0]), MALFORMED, 'length'],
    ['version 0', report({ version: 0 }), UNSUPPORTED, 'version'],
    ['version 1', report({ version: 1 }), UNSUPPORTED, 'version'],
    ['version 6', report({ version: 6 }), UNSUPPORTED, 'version'],
    ['version 3 and a high byte', report({ version: 0x01000003 }), UNSUPPORTED, 'version'],
    ['signature algorithm 0', report({ signatureAlgo: 0 }), UNSUPPORTED, 'signatureAlgo'],
    ['signature algorithm 2', report({ signatureAlgo: 2 }), UNSUPPORTED, 'signatureAlgo'],
    ['signing key 2', report({ flags: 2 << 2 }), UNSUPPORTED, 'signingKey'],
    ['signing key 6', report({ flags: 6 << 2 }), UNSUPPORTED, 'signingKey'],
    ['unknown flag', report({ flags: 1 << 5 }), UNSUPPORTED, 'flags'],
    ['highest flag', report({ flags: 0x80000000 }), UNSUPPORTED, 'flags'],
    ['reserved after flags', report({ reserved0: 1 }), MALFORMED, 'reserved'],
    ['reserved after CPUID', report({ reserved1: set(21) }), MALFORMED, 'reserved1'],
    ['CPUID in version 2', report({ version: 2, cpuid: set(3) }), MALFORMED, 'reserved1'],
    ['reserved at the end', report({ reserved3: set(152) }), MALFORMED, 'reserved3'],
    ['mitigations in version 3', report({ launchMitVector: 1 }), MALFORMED, 'reserved3'],
    [
      'reserved in a version',
      report({ currentVersion: set(4) }),
      MALFORMED,
      'currentVersion.reserved',
    ],
    ['bytes after the signature', report().with(1183, 1), MALFORMED, 'signature.reserved'],
    ['response with a status', response(4000, { 0: 0x16 }), MALFORMED, 'length'],
    ['response of another size', response(4000, { 4: 0xa1 }), MALFORMED, 'length'],
    ['response with reserved bytes', response(4000, { 8: 1 }), MALFORMED, 'length'],
    ['response with bytes after it', response(4000, { 3999: 1 }), MALFORMED, 'length'],
    ['response cut', response().slice(0, 1215), MALFORMED, 'length'],
  ])('refuses %s', (...[, bytes, code, field]) => {
    expect(() => parseReport(bytes)).toThrow(
      expect.objectContaining({ code, at: `snp.report.${field}` }),
    )
  })

  it.each([1216, 4000, 4096])(
    "takes the report out of the firmware's response of %s bytes",
    (n) => {
      expect(parseReport(response(n))).toEqual(parseReport(report()))
      expect(sevSnp.detects(response(n))).toBe(true)
    },
  )

  it('input-is-untouched', () => {
    // A Buffer, whose slice() would share memory.
    const input = Buffer.from(report())
    const before = Buffer.from(input)
    const parsed = parseReport(input)
    expect(input.equals(before)).toBe(true)
    input.fill(0xff)
    expect(parsed).toEqual(parseReport(report()))
  })
})

describe('detects', () => {
  it('knows reports by length, version and algorithm', () => {
    expect(sevSnp.detects(report())).toBe(true)
    expect(sevSnp.detects(report({ version: 6 }))).toBe(false)
    expect(sevSnp.detects(report({ signatureAlgo: 2 }))).toBe(false)
    expect(sevSnp.detects(new Uint8Array(1184))).toBe(false)
    expect(sevSnp.detects(report().slice(1))).toBe(false)
    expect(sevSnp.detects(new Uint8Array())).toBe(false)
  })
})

describe('TCB versions', () => {
  const raw = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  const old = { fmc: 0, bootloader: 1, tee: 2, snp: 7, microcode: 8 }

  it('are laid out by product', () => {
    expect(decodeTcb(raw, 'Milan')).toEqual(old)
    expect(decodeTcb(raw, 'Genoa')).toEqual(old)
    const turin = { fmc: 1, bootloader: 2, tee: 3, snp: 4, microcode: 8 }
    expect(decodeTcb(raw, 'Turin')).toEqual(turin)
  })

  it('are compared by component: microcode cannot make up for a bootloader', () => {
    expect(isAtLeast(old, old)).toBe(true)
    expect(isAtLeast({ ...old, microcode: 255 }, { ...old, bootloader: 2 })).toBe(false)
    for (const part of ['fmc', 'bootloader', 'tee', 'snp', 'microcode'] as const) {
      expect(isAtLeast(old, { ...old, [part]: old[part] + 1 }), part).toBe(false)
      expect(isAtLeast({ ...old, [part]: old[part] + 1 }, old), part).toBe(true)
    }
  })
})

describe('describe', () => {
  it("names every field as AMD does, and reads TCB versions by the report's product", () => {
    const fields = sevSnp.describe(sevSnp.parse(report({}, 'Turin')))
    const names = fields.map(({ name }) => name)
    for (const name of [
      'REPORTED_TCB',
      'HOST_DATA',
      'MEASUREMENT',
      'CHIP_ID',
      'LAUNCH_MIT_VECTOR',
    ]) {
      expect(names).toContain(name)
    }
    const value = fields.find(({ name }) => name === 'REPORTED_TCB')?.value
    expect(value).toBe('0103020500000061 (fmc 1, bootloader 3, tee 2, snp 5, microcode 97)')
  })

  it('says that version 2 does not tell the product', () => {
    const fields = sevSnp.describe(sevSnp.parse(report({ version: 2 })))
    expect(fields.find(({ name }) => name === 'CPUID')?.value).toBe('absent')
    expect(fields.find(({ name }) => name === 'REPORTED_TCB')?.value).toMatch(/product unknown/)
  })
})
