/** What a policy makes of an event log. */
import { describe, expect, it } from 'vitest'
import type { Check } from '../../../src/core/appraisal/check.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { EVENT } from '../../../src/core/evidence/common/event-log/event-types.ts'
import { tdx } from '../../../src/core/evidence/tdx/format.ts'
import { type MintedEvent, mintDigest, mintTdxBoot } from '../../../src/testing/index.ts'
import { boot, changed, checkOf, claimsOf, LINE } from '../../support/tdx-boot.ts'

describe('a policy', () => {
  const digestOf = (words: string): string => {
    const found = boot.find(({ data }) => new TextDecoder().decode(data).includes(words))
    if (found === undefined) throw new Error(words)
    return toHex(mintDigest(found))
  }
  const of = (register: number): readonly string[] =>
    boot.filter((event) => event.register === register).map((event) => toHex(mintDigest(event)))
  const strange = '5a'.repeat(48)
  const second = [...boot, ...mintTdxBoot({ commandLine: '/other' }).slice(7, 8)]

  const ROWS: readonly (readonly [string, unknown, Check['outcome'], readonly MintedEvent[]])[] = [
    ['eventLog', { registers: ['rtmr0'] }, 'pass', boot],
    ['eventLog.secureBoot', true, 'pass', boot],
    ['eventLog.secureBoot', true, 'fail', mintTdxBoot({ secureBoot: false })],
    ['eventLog.secureBoot', true, 'fail', changed('SecureBoot', () => [])],
    ['eventLog.kernelCommandLine', [LINE], 'pass', boot],
    ['eventLog.kernelCommandLine', ['/other', LINE], 'pass', second],
    ['eventLog.kernelCommandLine', [LINE], 'fail', second],
    ['eventLog.kernelCommandLine', [`${LINE} quiet`], 'fail', boot],
    ['eventLog.kernelCommandLine', [LINE], 'fail', changed('kernel_cmdline', () => [])],
    ['eventLog.events', [digestOf('grub.efi'), digestOf('kernel_cmdline')], 'pass', boot],
    ['eventLog.events', [digestOf('grub.efi'), strange], 'fail', boot],
    [
      'eventLog.onlyEvents',
      { registers: ['rtmr1'], digests: [...new Set(of(2)), strange] },
      'pass',
      boot,
    ],
    ['eventLog.onlyEvents', { registers: ['rtmr1'], digests: of(2).slice(1) }, 'fail', boot],
    ['eventLog.onlyEvents', { registers: ['rtmr1', 'rtmr2'], digests: of(2) }, 'fail', boot],
    ['eventLog.onlyEvents', { registers: ['rtmr3'], digests: of(4) }, 'pass', boot],
    ['eventLog.onlyEvents', { registers: ['rtmr3'], digests: of(4) }, 'fail', mintTdxBoot()],
  ]
  const CASES = ROWS.map(([name, value, outcome, events]) => ({ name, value, outcome, events }))
  it.each(CASES)('$name $value: $outcome', async ({ name, value, outcome, events }) => {
    expect(checkOf(await claimsOf(events), name, value).outcome).toBe(outcome)
  })

  const REQUIRED = [...new Map(ROWS.map(([name, value]) => [name, value]))]
  it.each(REQUIRED)('absent-never-passes: %s without a log', async (name, value) => {
    expect(checkOf(await claimsOf(undefined), name, value)).toMatchObject({
      outcome: 'fail',
      actual: 'absent',
    })
  })

  it.each(REQUIRED)('an unreplayable log never passes: %s', async (name, value) => {
    // Every register has one event more than the log says.
    const more = ([1, 2, 3, 4] as const).map((register) => ({
      register,
      type: EVENT.EV_ACTION,
      data: utf8('more'),
    }))
    expect(checkOf(await claimsOf(boot, [...boot, ...more]), name, value).outcome).toBe('fail')
  })

  it.each([
    ['eventLog', { registers: [] }],
    ['eventLog', { registers: ['mrtd'] }],
    ['eventLog', {}],
    ['eventLog.secureBoot', false],
    ['eventLog.kernelCommandLine', []],
    ['eventLog.kernelCommandLine', ['a\nb']],
    ['eventLog.events', ['00']],
    ['eventLog.onlyEvents', { registers: ['rtmr0'], digests: [] }],
  ])('cannot ask %s for %j', (name, value) => {
    const blame = { code: 'ERR_POLICY_INVALID', at: 'policy' } as const
    expect(() => tdx.policyFields[name]?.type.parse(value, blame)).toThrow(
      expect.objectContaining({ code: 'ERR_POLICY_INVALID' }),
    )
  })
})
