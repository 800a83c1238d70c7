/** What an event log proves about a TD, and what it does not. */
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { canonicalBytes } from '../../../src/core/encoding/canonical-json.ts'
import { EVENT } from '../../../src/core/evidence/common/event-log/event-types.ts'
import {
  type MintedEvent,
  mintDigest,
  mintDstackEvidence,
  mintRtmrs,
  mintTdxBoot,
  mintTdxQuote,
} from '../../../src/testing/index.ts'
import { authenticate, contextOf } from '../../support/tdx.ts'
import {
  APP,
  boot,
  COMPOSE,
  changed,
  checkOf,
  claimsOf,
  dstack,
  LINE,
  pki,
} from '../../support/tdx-boot.ts'

const ALL = { registers: ['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'] }

describe('a log that replays', () => {
  it('proves how the TD was booted', async () => {
    const { eventLog, measurements, printable } = await claimsOf(boot)
    expect(eventLog).toMatchObject({
      secureBoot: true,
      kernelCommandLines: [LINE],
      bootApplications: [toHex(mintDigest({ register: 2, type: 0, data: utf8('a boot loader') }))],
      dstack: { 'app-id': toHex(APP), 'compose-hash': toHex(COMPOSE) },
      duplicateSeparators: [],
    })
    expect(measurements).toMatchObject({ app_id: toHex(APP), compose_hash: toHex(COMPOSE) })
    expect(measurements['os_image_hash']).toBeUndefined()
    expect(printable).toMatchObject({
      eventLog: {
        registers: { rtmr0: 'replays in 3 events', rtmr3: 'replays in 3 events' },
        secureBoot: true,
        kernelCommandLines: [LINE],
        dstack: { 'compose-hash': toHex(COMPOSE), 'os-image-hash': null },
      },
    })
    expect(checkOf(await claimsOf(boot), 'eventLog', ALL).outcome).toBe('pass')
  })

  it('proves the same in the list of dstack', async () => {
    const quote = mintTdxQuote(pki, { body: { rtmrs: mintRtmrs(boot) } })
    const found = await authenticate(mintDstackEvidence(quote, boot), contextOf(pki))
    if (!found.authentic) throw new Error('not authentic')
    expect(found.claims.eventLog).toEqual((await claimsOf(boot)).eventLog)
  })

  it('has nothing to say of a register that nothing extended', async () => {
    const claims = await claimsOf(mintTdxBoot())
    expect(checkOf(claims, 'eventLog', ALL)).toMatchObject({ outcome: 'pass' })
    expect(claims.eventLog?.dstack).toEqual({})
  })

  it('claims no more than fits a result', async () => {
    const lines = Array.from({ length: 20 }, (_, i) =>
      mintTdxBoot({ commandLine: `/v${i}` }),
    ).flat()
    const long = mintTdxBoot({ commandLine: 'x'.repeat(5000) })
    const { printable, eventLog } = await claimsOf([...long, ...lines])
    expect(eventLog?.kernelCommandLines).toHaveLength(21)
    const shown = (printable as { eventLog: { kernelCommandLines: readonly string[] } }).eventLog
    expect(shown.kernelCommandLines).toHaveLength(17)
    expect(shown.kernelCommandLines[0]).toMatch(/^x{4096} and 904 characters more$/)
    expect(shown.kernelCommandLines[16]).toBe('and 5 more')
    expect(eventLog?.duplicateSeparators).toHaveLength(40)
  })
})

describe('a log that does not replay', () => {
  it('names the first event that never happened', async () => {
    const claims = await claimsOf(boot, boot.slice(0, -2))
    const check = checkOf(claims, 'eventLog', ALL)
    expect(check.outcome).toBe('fail')
    expect(check.actual).toContain(
      'rtmr3 log goes wrong at #11 0x08000001: the register was never extended by it',
    )
    expect(check.actual).toContain('rtmr2 replays in 2 events')
    expect(checkOf(claims, 'eventLog', { registers: ['rtmr0', 'rtmr1', 'rtmr2'] }).outcome).toBe(
      'pass',
    )
  })

  it('says where it stops short', async () => {
    const check = checkOf(await claimsOf(boot.slice(0, -1), boot), 'eventLog', ALL)
    expect(check.outcome).toBe('fail')
    expect(check.actual).toMatch(/rtmr3 log stops short or differs: .* after #11 0x08000001/)
    const none = checkOf(await claimsOf(mintTdxBoot(), boot), 'eventLog', ALL)
    expect(none.actual).toContain('rtmr3 log stops short: no event')
  })

  it('says which event does not go with its own data', async () => {
    const touched = boot.map((event) =>
      event.type === EVENT.EV_SEPARATOR && event.register === 1
        ? { ...event, measured: Uint8Array.of(1) }
        : event,
    )
    const check = checkOf(await claimsOf(touched, boot), 'eventLog', { registers: ['rtmr0'] })
    expect(check.outcome).toBe('fail')
    expect(check.actual).toMatch(
      /rtmr0 log goes wrong at #3 EV_SEPARATOR.*; log stops short or differs/,
    )
  })

  it('makes no claims, register by register', async () => {
    const fake = mintTdxBoot({ secureBoot: true, commandLine: '/good', dstack })
    const true_ = mintTdxBoot({ secureBoot: false, commandLine: '/evil', loader: utf8('evil') })
    expect((await claimsOf(fake, true_)).eventLog).toMatchObject({
      secureBoot: undefined,
      kernelCommandLines: [],
      bootApplications: [],
      dstack: {},
    })
    const half = changed('kernel_cmdline', () => [], boot)
    expect((await claimsOf(half, boot)).eventLog).toMatchObject({
      secureBoot: true,
      kernelCommandLines: [],
      dstack: { 'app-id': toHex(APP) },
    })
    expect((await claimsOf(half, boot)).measurements).toMatchObject({ app_id: toHex(APP) })
  })
})

describe('data that no digest covers', () => {
  const lie = (words: string, data: Uint8Array): readonly MintedEvent[] =>
    changed(words, (event) => [{ ...event, data, measured: event.measured ?? event.data }])

  it('makes a log wrong where the type says that it is covered', async () => {
    const [off] = mintTdxBoot({ secureBoot: false }).slice(1)
    const claims = await claimsOf(lie('SecureBoot', off?.data ?? new Uint8Array()), boot)
    const { actual, outcome } = checkOf(claims, 'eventLog', ALL)
    expect(outcome).toBe('fail')
    expect(actual).toContain('rtmr0 log goes wrong at #2 EV_EFI_VARIABLE_DRIVER_CONFIG')
    expect(claims.eventLog?.secureBoot).toBeUndefined()
    expect(claims.eventLog?.registers.rtmr0.digests).toEqual([])
  })

  it('is no command line', async () => {
    const said = lie('kernel_cmdline', utf8('kernel_cmdline: /good\0'))
    const { eventLog } = await claimsOf(said, boot)
    expect(eventLog?.registers.rtmr2.ok).toBe(true)
    expect(eventLog?.kernelCommandLines).toEqual([])
  })

  it('is no event of dstack', async () => {
    const compose = changed('compose-hash', (event) => [
      { ...event, measured: event.data, data: event.data.with(-1, 0xff) },
    ])
    const { eventLog, measurements } = await claimsOf(compose, boot)
    expect(eventLog?.registers.rtmr3.ok).toBe(true)
    expect(eventLog?.dstack).toEqual({})
    expect(measurements['compose_hash']).toBeUndefined()
  })

  // A workload that was started as something else, and then measures what it would like to be.
  it.each<[string, (event: MintedEvent) => MintedEvent]>([
    ['its type', (event) => ({ ...event, type: EVENT.EV_IPL })],
    ['its payload', (event) => ({ ...event, data: event.data.with(-1, 0xff) })],
    ['its name', (event) => ({ ...event, data: event.data.with(5, 0x78) })],
  ])('does not let an event of dstack hide behind a change of %s', async (_, hide) => {
    const evil = new Uint8Array(32).fill(0xee)
    const measured = mintTdxBoot({
      dstack: [
        ['app-id', APP],
        ['compose-hash', evil],
        ['compose-hash', COMPOSE],
      ],
    })
    const hidden = measured.map((event) =>
      toHex(event.data).endsWith(toHex(evil)) ? { ...hide(event), measured: event.data } : event,
    )
    const { eventLog, measurements } = await claimsOf(hidden, measured)
    expect(eventLog?.registers.rtmr3.ok).toBe(true)
    expect(measurements['compose_hash']).toBeUndefined()
    expect(eventLog?.dstack).toEqual({})
  })
})

describe('what comes twice or late is not believed', () => {
  it('events of dstack by any name once the system is ready', async () => {
    const late = ['os-image-hash', new Uint8Array(32).fill(0xee)] as const
    const { eventLog, measurements } = await claimsOf(
      mintTdxBoot({ dstack: [...dstack, late, ['compose-hash', APP]] }),
    )
    expect(measurements['os_image_hash']).toBeUndefined()
    expect(eventLog?.dstack).toEqual({ 'app-id': toHex(APP), 'compose-hash': toHex(COMPOSE) })
  })

  it('an event of dstack by a name that was there', async () => {
    const again = mintTdxBoot({ dstack: [['compose-hash', APP], ...dstack] })
    expect((await claimsOf(again)).eventLog?.dstack).toEqual({ 'app-id': toHex(APP) })
    // The name ends at a colon, and names may have colons.
    const colon = mintTdxBoot({ dstack: [['compose-hash:x', APP], ...dstack] })
    expect((await claimsOf(colon)).eventLog?.dstack).toEqual({ 'app-id': toHex(APP) })
    const elsewhere = boot.map((event) => ({
      ...event,
      register: event.register === 4 ? 3 : event.register,
    }))
    expect((await claimsOf(elsewhere)).eventLog?.dstack).toEqual({})
  })

  it('a payload that is no digest is no measurement', async () => {
    const short = mintTdxBoot({ dstack: [['app-id', utf8('short')]] })
    const { eventLog, measurements } = await claimsOf(short)
    expect(eventLog?.dstack).toEqual({ 'app-id': toHex(utf8('short')) })
    expect(measurements['app_id']).toBeUndefined()
  })

  it.each([
    ['no UTF-8', Uint8Array.of(0xff)],
    ['an escape sequence', utf8('\u001b[2J')],
    ['a turn of direction', utf8('\u202e')],
  ])('a command line with %s is no text', async (_, odd) => {
    const bytes = concat(utf8('/vmlinuz '), odd)
    const said = changed('kernel_cmdline', (event) => [
      { ...event, data: concat(utf8('kernel_cmdline: '), bytes), measured: bytes },
    ])
    expect((await claimsOf(said)).eventLog?.kernelCommandLines).toEqual([`0x${toHex(bytes)}`])
  })

  it('a command line that is cut in the middle of a character can be printed', async () => {
    const long = mintTdxBoot({ commandLine: `${'x'.repeat(4095)}\u{1f600}` })
    const claims = await claimsOf(long)
    expect(() => canonicalBytes(claims.printable)).not.toThrow()
    const line = mintTdxBoot({ commandLine: `${'x'.repeat(499)}\u{1f600}` })
    const check = checkOf(await claimsOf(line), 'eventLog.kernelCommandLine', [LINE])
    expect(check.actual.isWellFormed()).toBe(true)
  })
})
