/** EARs as the later drafts name their claims, and those that mix the names of two. */
import { describe, expect, it } from 'vitest'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { detectFormat } from '../../../src/core/evidence/formats.ts'
import { mintPassport, PASSPORT_BOUND } from '../../../src/testing/index.ts'
import { passportIssuer } from '../../support/mint-case.ts'
import { failures, NOW, passportInput, verdictOf } from '../../support/passports.ts'

type Members = Readonly<Record<string, Json | undefined>>

const PROFILE = 'tag:ietf.org,2026:rats/ear#04'
const NOT_AFFIRMED = ['policy.debug', 'token.status']
const APPRAISAL: Members = {
  ear_status: 'affirming',
  ear_trustworthiness_vector: { 'instance-identity': 2, hardware: 2, executables: 3 },
  ear_appraisal_policy_ids: ['https://verifier.example/policy/1', 'strict'],
  ear_attester_claims: { report_data: PASSPORT_BOUND.reportData },
  eat_nonce: 'c3'.repeat(32),
}
const clean = (members: Members): Json =>
  Object.fromEntries(
    Object.entries(members).filter((entry): entry is [string, Json] => entry[1] !== undefined),
  )
const later = (token: Members = {}, appraisal: Members = {}): Members => ({
  eat_profile: PROFILE,
  'ear.verifier-id': undefined,
  ear_verifier_id: { developer: 'Example Verifiers', build: '2.0' },
  submods: { cpu0: clean({ ...APPRAISAL, ...appraisal }) },
  ...token,
})
const judged = async (claims: Members, fields: Readonly<Record<string, Json>> = {}) =>
  failures(await verdictOf(passportInput('ear', { claims }, { fields })))

describe('EAR of the later drafts', () => {
  it('is known by its profile or its Verifier, and believed as the earlier ones', async () => {
    for (const claims of [later(), later({ eat_profile: 'https://x.example/p' })]) {
      const token = mintPassport({ issuer: passportIssuer('ear'), at: NOW, claims })
      expect(detectFormat(token).id).toBe('ear')
      expect(await judged(claims)).toEqual([])
    }
    const { claims } = await verdictOf(passportInput('ear', { claims: later() }))
    expect(claims).toMatchObject({ token: { ear_verifier_id: { build: '2.0' } } })
  })

  it.each<[string, Members]>([
    ['another status', { ear_status: 'warning' }],
    ['a status by number', { ear_status: 2 }],
    ['no status', { ear_status: undefined }],
    ['a vector that warns', { ear_trustworthiness_vector: { hardware: 32 } }],
    ['a vector that says nothing', { ear_trustworthiness_vector: {} }],
    ['a vector that is none', { ear_trustworthiness_vector: 'affirming' }],
    ['a vector of the earlier drafts', { 'ear.trustworthiness-vector': { hardware: 2 } }],
    ['both statuses', { 'ear.status': 'affirming' }],
  ])('%s is not affirmed', async (_, appraisal) => {
    expect(await judged(later({}, appraisal))).toEqual(NOT_AFFIRMED)
  })

  it.each<[string, Members, readonly string[]]>([
    ['an overall status that affirms', { ear_status: 'affirming' }, []],
    ['an overall status that does not', { ear_status: 'contraindicated' }, NOT_AFFIRMED],
    ['an overall status that says nothing', { ear_status: 'none' }, NOT_AFFIRMED],
    ['the Verifier of the earlier drafts as well', { 'ear.verifier-id': {} }, NOT_AFFIRMED],
    ['no submodules', { submods: {} }, NOT_AFFIRMED],
  ])('%s', async (_, token, failed) => {
    const found = await judged(later(token))
    expect(found.filter((id) => !id.startsWith('binding'))).toEqual(failed)
  })

  it('one of the earlier drafts does not borrow from the later ones', async () => {
    const submods = (appraisal: Members): Members => ({
      submods: { cpu0: clean({ 'ear.status': 'affirming', ...appraisal }) },
    })
    expect(await judged(submods({}))).toEqual([])
    for (const name of ['ear_status', 'ear_trustworthiness_vector', 'ear_attester_claims']) {
      expect(await judged(submods({ [name]: 'affirming' })), name).toEqual(NOT_AFFIRMED)
    }
    expect(await judged({ ear_status: 'affirming' })).toEqual(NOT_AFFIRMED)
  })

  it('every policy of every submodule is asked', async () => {
    const ids = ['https://verifier.example/policy/1', 'strict']
    const wanting = (...values: readonly string[]) => ({ policies: { require: values } })
    expect(await judged(later(), wanting(...ids))).toEqual([])
    expect(await judged(later(), wanting('strict'))).toEqual(['token.policy_ids'])
    for (const wrong of [[], ['strict', 7], undefined]) {
      const claims = later({}, { ear_appraisal_policy_ids: wrong })
      expect(await judged(claims, wanting(...ids))).toEqual(['token.policy_ids'])
    }
  })

  it('its Verifier and the elements of its vector can be asked for', async () => {
    const good = {
      developers: { require: ['Example Verifiers'] },
      builds: { require: ['2.0'] },
      vector: { require: ['hardware', 'executables'] },
    }
    expect(await judged(later(), good)).toEqual([])
    expect(await judged(later(), { vector: { require: ['file-system'] } })).toEqual([
      'token.vector',
    ])
    expect(await judged(later(), { builds: { require: ['1.0'] } })).toEqual(['verifier.build'])
    expect(await judged(later(), { developers: { require: ['x'] } })).toEqual([
      'verifier.developer',
    ])
  })

  it('what the attester bound is in the claims that the Verifier hands on', async () => {
    const bound = async (hex: string) => {
      const reportData = { require: Uint8Array.from(Buffer.from(hex, 'hex')) }
      const binding = { nonce: { unchecked: 'test' }, reportData }
      return failures(await verdictOf(passportInput('ear', { claims: later() }, { binding })))
    }
    expect(await bound(PASSPORT_BOUND.reportData)).toEqual([])
    expect(await bound('00'.repeat(64))).toEqual(['binding.report_data'])
  })

  it('says which claims are of another draft', async () => {
    const claims = later({}, { 'ear.status': 'affirming' })
    const { checks } = await verdictOf(passportInput('ear', { claims }))
    const { actual } = checks.find(({ id }) => id === 'ear.token.status') ?? {}
    expect(actual).toBe('ear.status is of another draft')
  })
})
