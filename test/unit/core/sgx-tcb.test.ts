/** TCB levels of SGX platforms: which one, and what becomes of it with the Quoting Enclave's. */
import { describe, expect, it } from 'vitest'
import {
  type IntelPkiOptions,
  mintSgxPki,
  mintSgxQuote,
  type SgxQuoteOptions,
} from '../../../src/testing/index.ts'
import { authenticateSgx } from '../../support/sgx.ts'
import { contextOf, failing, NOW } from '../../support/tdx.ts'

const pki = mintSgxPki({ now: NOW })
type Doc = Readonly<Record<string, unknown>>

describe('the TCB', () => {
  const withLevels = (edit: (levels: readonly Doc[]) => readonly Doc[]): IntelPkiOptions => ({
    now: NOW,
    keys: pki.keys,
    platform: pki.platform,
    tcbInfo: (info) => ({ ...info, tcbLevels: edit(info['tcbLevels'] as readonly Doc[]) }),
  })
  const tcbOf = async (options: IntelPkiOptions, quote: SgxQuoteOptions = {}) => {
    const own = mintSgxPki(options)
    const found = await authenticateSgx(mintSgxQuote(own, quote), contextOf(own))
    if (!found.authentic) throw new Error('not authentic')
    return {
      tcb: found.claims.tcb,
      short: found.claims.sgxTcb.short,
      failed: failing(found.checks),
    }
  }
  const raise = (level: Doc, edit: (tcb: Doc) => Doc): Doc => ({
    ...level,
    tcb: edit(level['tcb'] as Doc),
  })
  const component = (i: number, by: number) => (tcb: Doc) => ({
    ...tcb,
    sgxtcbcomponents: (tcb['sgxtcbcomponents'] as readonly { readonly svn: number }[]).map(
      ({ svn }, k) => ({ svn: k === i ? svn + by : svn }),
    ),
  })

  it.each([0, 1, 7, 15])('component %i one short makes it the former level', async (i) => {
    const { tcb, short, failed } = await tcbOf(
      withLevels(([first = {}, ...rest]) => [raise(first, component(i, 1)), ...rest]),
    )
    expect(tcb).toMatchObject({ status: 'OutOfDate', advisoryIds: ['INTEL-SA-99901'] })
    expect(short).toMatch(new RegExp(`^sgxtcbcomponents\\[${i}\\] \\d+ < \\d+$`))
    expect(failed).toEqual([])
  })

  it('PCESVN counts too', async () => {
    const { tcb, short } = await tcbOf(
      withLevels(([first = {}, ...rest]) => [raise(first, (t) => ({ ...t, pcesvn: 14 })), ...rest]),
    )
    expect([tcb.status, short]).toEqual(['OutOfDate', 'pcesvn 13 < 14'])
  })

  it('no level is no verdict but a failed check, never out of date', async () => {
    const { tcb, failed } = await tcbOf(
      withLevels((levels) => levels.map((level) => raise(level, component(0, 9)))),
    )
    expect(tcb).toEqual({ status: 'NotSupported', date: undefined, advisoryIds: [] })
    expect(failed).toEqual(['sgx.tcb.level'])
    expect((await tcbOf(withLevels(() => []))).failed).toEqual(['sgx.tcb.level'])
  })

  it.each([
    ['UpToDate', 'OutOfDate'],
    ['SWHardeningNeeded', 'OutOfDate'],
    ['ConfigurationNeeded', 'OutOfDateConfigurationNeeded'],
    ['ConfigurationAndSWHardeningNeeded', 'OutOfDateConfigurationNeeded'],
    ['OutOfDate', 'OutOfDate'],
    ['Revoked', 'Revoked'],
  ])('converges: platform %s and a QE out of date is %s', async (platform, whole) => {
    const levels = withLevels(([first = {}, ...rest]) => [
      { ...first, tcbStatus: platform, advisoryIDs: ['INTEL-SA-00001'] },
      ...rest,
    ])
    const { tcb } = await tcbOf(levels, { qeReport: { isvSvn: 4 } })
    expect(tcb).toEqual({
      status: whole,
      date: '2025-05-14T00:00:00Z',
      advisoryIds: ['INTEL-SA-00001', 'INTEL-SA-99903'],
    })
  })

  it('an unknown status is no status', async () => {
    const odd = withLevels(([first = {}]) => [{ ...first, tcbStatus: 'Splendid' }])
    await expect(tcbOf(odd)).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
  })

  it('reads TCB Info of version 2, which has no id, and compares all of it', async () => {
    const version2 = (first: number): IntelPkiOptions => ({
      now: NOW,
      keys: pki.keys,
      platform: pki.platform,
      tcbInfo: (info) => ({
        ...info,
        id: undefined,
        version: 2,
        tcbLevels: (info['tcbLevels'] as readonly Doc[]).slice(0, 1).map((level) => ({
          ...level,
          tcb: {
            pcesvn: 13,
            ...Object.fromEntries(
              pki.platform.sgxComponents.map((svn, i) => [
                `sgxtcbcomp${`${i + 1}`.padStart(2, '0')}svn`,
                i === 0 ? first : svn,
              ]),
            ),
          },
        })),
      }),
    })
    const [have = 0] = pki.platform.sgxComponents
    expect((await tcbOf(version2(have))).tcb.status).toBe('UpToDate')
    expect((await tcbOf(version2(have + 1))).failed).toEqual(['sgx.tcb.level'])
  })
})
