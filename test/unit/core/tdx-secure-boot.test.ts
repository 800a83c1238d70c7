/** When an event log may say that a TD was booted with Secure Boot, and when it may not. */
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { EVENT } from '../../../src/core/evidence/common/event-log/event-types.ts'
import { mintTdxBoot } from '../../../src/testing/index.ts'
import { boot, changed, checkOf, claimsOf } from '../../support/tdx-boot.ts'

describe('what comes twice, late or from the host is not believed', () => {
  const [variable] = boot.slice(1)
  if (variable === undefined) throw new Error('no variable')
  const [off] = mintTdxBoot({ secureBoot: false }).slice(1)
  if (off === undefined) throw new Error('no variable')

  it('Secure Boot in two variables, and behind the separator', async () => {
    expect((await claimsOf([off, ...boot])).eventLog?.secureBoot).toBeUndefined()
    const late = [...changed('SecureBoot', () => [off]), variable]
    expect((await claimsOf(late)).eventLog?.secureBoot).toBe(false)
    const without = changed('SecureBoot', () => [])
    expect((await claimsOf([...without, variable])).eventLog?.secureBoot).toBeUndefined()
    expect((await claimsOf([{ ...variable, register: 2 }, ...without])).eventLog?.secureBoot).toBe(
      undefined,
    )
  })

  it('Secure Boot without a separator, of another value, and of another name', async () => {
    const open = boot.filter(({ type }) => type !== EVENT.EV_SEPARATOR)
    expect((await claimsOf(open)).eventLog?.secureBoot).toBeUndefined()
    const of = (data: Uint8Array) => changed('SecureBoot', () => [{ ...variable, data }])
    expect((await claimsOf(of(variable.data.with(-1, 2)))).eventLog?.secureBoot).toBe(undefined)
    expect((await claimsOf(of(variable.data.slice(0, -1).with(24, 0)))).eventLog?.secureBoot).toBe(
      false,
    )
    expect((await claimsOf(of(variable.data.with(40, 0x54)))).eventLog?.secureBoot).toBe(undefined)
    expect((await claimsOf(of(variable.data.with(0, 0)))).eventLog?.secureBoot).toBe(undefined)
  })

  // Nothing covers an event's type: what runs now may call any event of the log what it likes.
  it('Secure Boot behind a separator that is called something else', async () => {
    const separator = boot.find(
      ({ type, register }) => type === EVENT.EV_SEPARATOR && register === 1,
    )
    if (separator === undefined) throw new Error('no separator')
    const measured = [...changed('SecureBoot', () => [off]), variable, separator]
    const said = measured.map((event) => {
      if (event === off) {
        const { data, type } = { data: utf8('a table'), type: EVENT.EV_EFI_HANDOFF_TABLES2 }
        return { ...event, type, data, measured: event.data }
      }
      const isFirst = event === separator && measured.indexOf(event) < measured.indexOf(variable)
      return isFirst ? { ...event, type: EVENT.EV_EFI_HANDOFF_TABLES2 } : event
    })
    // The same object stands there twice; the last one keeps its name.
    const last = [...said.slice(0, -1), separator]
    const { eventLog } = await claimsOf(last, measured)
    expect(eventLog?.registers.rtmr0.ok).toBe(true)
    expect(eventLog?.secureBoot).toBe(false)
  })

  // Firmware measures bytes of the host's choice too (FW_CFG), and no digest covers a type.
  it('Secure Boot in bytes that a host had measured, with the variable called something else', async () => {
    const config = { register: 1, type: EVENT.EV_PLATFORM_CONFIG_FLAGS, data: utf8('bootorder') }
    const measured = changed('SecureBoot', () => [{ ...config, measured: variable.data }, off])
    const said = changed('SecureBoot', () => [variable, { ...config, measured: off.data }])
    for (const log of [measured, said]) {
      const claims = await claimsOf(log, measured)
      expect(claims.eventLog?.registers.rtmr0.ok).toBe(true)
      expect(claims.eventLog?.secureBoot).toBeUndefined()
      expect(checkOf(claims, 'eventLog.secureBoot', true).outcome).toBe('fail')
    }
  })

  it('Secure Boot before a separator that a host had measured, with the true ones behind it', async () => {
    const config = { register: 1, type: EVENT.EV_PLATFORM_CONFIG_FLAGS }
    const zeros = { ...config, data: new Uint8Array(4) }
    const early = { ...config, data: utf8('bootorder'), measured: variable.data }
    const claims = await claimsOf(changed('SecureBoot', () => [early, zeros, off]))
    expect(claims.eventLog?.registers.rtmr0.ok).toBe(true)
    expect(claims.eventLog?.secureBoot).toBeUndefined()
  })
})
