import { describe, expect, it } from 'vitest'
import {
  ageClaims,
  checkEndorsementAge,
  ENDORSEMENTS_AGE,
  ENDORSEMENTS_AGE_FIELD,
} from '../../../src/core/appraisal/endorsement-age.ts'
import { decodeEndorsements } from '../../../src/core/appraisal/record.ts'
import { type Asked, joinAsked } from '../../../src/core/endorsements/asked.ts'
import {
  encodeEndorsements,
  endorsementsFromJson,
  endorsementsToJson,
  joinEndorsements,
  NO_ENDORSEMENTS,
  withAsked,
} from '../../../src/core/endorsements/endorsement-set.ts'
import { FORMAT_IDS } from '../../../src/core/evidence/common/format-ids.ts'
import { formatOf } from '../../../src/core/evidence/formats.ts'

const NOW = new Date('2026-11-27T12:00:00Z')
const HOUR = 3600
const unix = NOW.getTime() / 1000
const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const hoursAgo = (hours: number, seconds = 0): Asked => ({
  at: unix - hours * HOUR - seconds,
  expired: [],
})
const check = (asked: Asked | undefined, hours?: number) =>
  checkEndorsementAge(
    `tdx.${ENDORSEMENTS_AGE}`,
    { asked, now: NOW },
    hours === undefined ? { waive: 'no matter' } : { require: { hours } },
  )

describe('the age of endorsements', () => {
  it.each([
    { when: 'just now', asked: hoursAgo(0), hours: 1, outcome: 'pass' },
    { when: 'to the second', asked: hoursAgo(24), hours: 24, outcome: 'pass' },
    { when: 'a second too long ago', asked: hoursAgo(24, 1), hours: 24, outcome: 'fail' },
    { when: 'in the future', asked: hoursAgo(0, -1), hours: 24, outcome: 'fail' },
    { when: 'never', asked: { at: 0, expired: [] }, hours: 1_000_000, outcome: 'fail' },
    { when: 'nobody knows when', asked: undefined, hours: 1_000_000, outcome: 'fail' },
  ])('asked $when: $outcome', ({ asked, hours, outcome }) => {
    expect(check(asked, hours)).toMatchObject({ outcome, expected: `asked for within ${hours} h` })
    expect(check(asked)).toMatchObject({ outcome: 'waived' })
  })

  it('says when, how long ago, and what was past its date, waived or not', () => {
    const asked = { ...hoursAgo(2), expired: ['CRL of the Intel SGX Root CA'] }
    const actual =
      'asked for at 2026-11-27T10:00:00Z, 7200 s before; handed out past their date: CRL of the Intel SGX Root CA'
    expect([check(asked), check(asked, 1), check(asked, 2)].map((one) => one.actual)).toEqual([
      actual,
      actual,
      actual,
    ])
    expect(check(undefined, 1).actual).toBe('not known when they were asked for')
    expect(ageClaims({ asked, now: NOW })).toEqual({
      endorsements: {
        askedAt: '2026-11-27T10:00:00Z',
        ageSeconds: 7200,
        pastTheirDate: ['CRL of the Intel SGX Root CA'],
      },
    })
    expect(ageClaims({ asked: { at: 0, expired: [] }, now: NOW })).toEqual({
      endorsements: { askedAt: null, ageSeconds: null, pastTheirDate: [] },
    })
    expect(ageClaims({ asked: undefined, now: NOW })).toEqual({})
  })

  it('is a field of every format whose vendors can be asked, and of no other', () => {
    const having = FORMAT_IDS.filter((id) => ENDORSEMENTS_AGE in formatOf(id).policyFields)
    expect(having).toEqual([
      'tdx',
      'sev-snp',
      'sgx',
      'nvidia-gpu',
      'nvidia-switch',
      'azure-snp-vtpm',
      'azure-tdx-vtpm',
      'simulated',
    ])
  })

  it.each([{ hours: 0 }, { hours: 1.5 }, { hours: '1' }, {}, { days: 1 }, 24])(
    'no policy requires %j',
    (value) => {
      const refused = expect.objectContaining({ code: BLAME.code }) as unknown
      expect(() => ENDORSEMENTS_AGE_FIELD.type.parse(value, BLAME)).toThrow(refused)
    },
  )
})

describe('sets that were asked for', () => {
  const one = { ...NO_ENDORSEMENTS, crls: [Uint8Array.of(1)] }
  const two = { ...NO_ENDORSEMENTS, crls: [Uint8Array.of(2)] }

  it('joined, were asked for when the first of them was; others take nothing away', () => {
    const early = withAsked(one, { at: 5, expired: ['b'] })
    const late = withAsked(two, { at: 9, expired: ['a', 'b'] })
    const both = joinEndorsements(early, late)
    expect(both).toMatchObject({ crls: [one.crls[0], two.crls[0]] })
    expect(both.asked).toEqual({ at: 5, expired: ['a', 'b'] })
    expect(joinEndorsements(early, two).asked).toEqual({ at: 5, expired: ['b'] })
    expect(joinEndorsements(NO_ENDORSEMENTS, one).asked).toBeUndefined()
    // An empty set that says "never" still says it.
    const never = withAsked(NO_ENDORSEMENTS, { at: 0, expired: [] })
    expect(joinEndorsements(late, never).asked).toEqual({ at: 0, expired: ['a', 'b'] })
    expect(joinAsked(undefined, undefined)).toBeUndefined()
  })

  it('are one object for one set and time, so that they are encoded once', () => {
    const asked = { at: 7, expired: ['x'] }
    expect(withAsked(two, asked)).toBe(withAsked(two, { ...asked }))
    expect(withAsked(two, { at: 8, expired: ['x'] }).asked?.at).toBe(8)
    expect(withAsked(two, { at: 8, expired: ['y'] }).asked?.expired).toEqual(['y'])
  })

  it('keep it in the log, and send it to nobody', () => {
    const set = withAsked(one, { at: 5, expired: ['b'] })
    expect(decodeEndorsements(encodeEndorsements(set))).toEqual(set)
    expect(decodeEndorsements(encodeEndorsements(one))).toEqual(one)
    expect(endorsementsToJson(set)).toEqual(endorsementsToJson(one))
  })

  it('who sends it is refused', () => {
    const sent = { ...(endorsementsToJson(one) as object), asked: { at: unix, expired: [] } }
    const refused = expect.objectContaining({ code: BLAME.code, at: 'test' }) as unknown
    expect(() => endorsementsFromJson(sent, BLAME)).toThrow(refused)
  })

  it.each([
    null,
    [],
    'now',
    {},
    { at: 5 },
    { at: -1, expired: [] },
    { at: 1.5, expired: [] },
    { at: 253_402_300_800, expired: [] },
    { at: 5, expired: 'b' },
    { at: 5, expired: [1] },
    { at: 5, expired: ['x'.repeat(257)] },
    { at: 5, expired: Array.from({ length: 65 }, () => 'x') },
    { at: 5, expired: [], more: 1 },
  ])('in the log as %j is refused', (asked) => {
    const text = JSON.stringify({ ...(endorsementsToJson(one) as object), asked })
    const at = 'endorsements.asked'
    const refused = expect.objectContaining({ code: 'ERR_ENDORSEMENT_MALFORMED', at }) as unknown
    expect(() => decodeEndorsements(new TextEncoder().encode(text))).toThrow(refused)
  })
})
