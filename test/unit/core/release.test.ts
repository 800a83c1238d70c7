import { describe, expect, it } from 'vitest'
import type { Check } from '../../../src/core/appraisal/check.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { decodeDecisionInput, encodeDecisionInput } from '../../../src/core/keys/decision-record.ts'
import { decideRelease } from '../../../src/core/keys/release.ts'
import {
  checksWith,
  claimsOf,
  decisionInput,
  GOOD_CHECKS,
  resultOf,
} from '../../support/release.ts'

const key = decisionInput().key
const good = claimsOf({ cpu0: resultOf() })
const failing: Check = { id: 'tdx.debug', outcome: 'fail', expected: 'off', actual: 'on' }
const waived = (id: string): readonly Check[] =>
  checksWith({ id, outcome: 'waived', expected: 'any', actual: 'absent' })

describe('decideRelease', () => {
  it('releases what fulfils everything, with all results', () => {
    const decision = decideRelease(decisionInput({ claims: good }))
    expect(decision).toMatchObject({ release: true, results: [{ tier: 'affirming' }] })
  })

  it('refuses two CPUs: a statement is of one', () => {
    const claims = claimsOf({ cpu0: resultOf(), cpu1: resultOf() })
    expect(decideRelease(decisionInput({ claims }))).toMatchObject({
      release: false,
      code: 'ERR_RESULT_NOT_AFFIRMING',
      at: 'ear.submods',
    })
  })

  it.each([
    ['a failing check', checksWith(failing)],
    ['a warning', checksWith({ ...failing, outcome: 'warn' as const })],
    ['a nonce that nobody asked for', waived('tdx.freshness.nonce')],
    ['a binding that was waived', waived('tdx.binding.report_data')],
    ['a revocation list that nobody had', waived('dcap.pck.revocation')],
    ['a check that is not there', GOOD_CHECKS.filter(({ id }) => id !== 'dcap.quote.signature')],
    ['no checks', []],
  ])('refuses one submodule of two with %s', (_, checks) => {
    const bad = resultOf(checks)
    const claims = claimsOf({ cpu0: resultOf(), cpu1: bad })
    expect(decideRelease(decisionInput({ claims }))).toMatchObject({
      release: false,
      code: 'ERR_RESULT_NOT_AFFIRMING',
      at: 'ear.submods.cpu1',
    })
  })

  it('releases on the first second and the last that every bound allows', () => {
    const { at } = decisionInput()
    const bounds = { notBefore: at, notAfter: at + 1, maxReleases: 2, releases: 1 }
    for (const change of [
      { key: { ...key, ...bounds } },
      { key: { ...key, notBefore: at - 1 } },
      // The EAR says that it was made 60 s from now, and 1 s before it runs out.
      { claims: { ...good, iat: at + 60, exp: at + 1 } },
    ]) {
      expect(decideRelease(decisionInput(change))).toMatchObject({ release: true })
    }
    const early = decisionInput({ claims: { ...good, iat: at + 61 } })
    expect(decideRelease(early)).toMatchObject({ release: false, at: 'ear.iat' })
  })

  it('names the failing checks', () => {
    const claims = claimsOf({ cpu0: resultOf(checksWith(failing)) })
    expect(decideRelease(decisionInput({ claims }))).toMatchObject({ detail: 'tdx.debug' })
  })

  it.each<[string, string, Parameters<typeof decisionInput>[0]]>([
    ['ERR_RESULT_NOT_AFFIRMING', 'ear.submods', { claims: {} }],
    ['ERR_RESULT_NOT_AFFIRMING', 'ear.submods', { claims: null }],
    ['ERR_RESULT_NOT_AFFIRMING', 'ear.submods', { claims: claimsOf({}) }],
    ...[null, 'cpu0', 7, [], [{ 'vouchsafe.result': null }]].map(
      (submods): [string, string, Parameters<typeof decisionInput>[0]] => [
        'ERR_RESULT_NOT_AFFIRMING',
        'ear.submods',
        { claims: { ...good, submods } },
      ],
    ),
    ['ERR_RELEASE_DENIED', 'keyset', { keysetDigest: `sha256:${'00'.repeat(32)}` }],
    ['ERR_RESULT_UNTRUSTED', 'ear.exp', { at: decisionInput().at + 300 }],
    ['ERR_RESULT_UNTRUSTED', 'ear.iat', { at: decisionInput().at - 66 }],
    ['ERR_KEY_NOT_RELEASABLE', 'key.state', { key: { ...key, state: 'disabled' } }],
    ['ERR_KEY_NOT_RELEASABLE', 'key.state', { key: { ...key, state: 'pending-destruction' } }],
    ['ERR_KEY_NOT_RELEASABLE', 'key.state', { key: { ...key, state: 'destroyed' } }],
    [
      'ERR_KEY_NOT_RELEASABLE',
      'key.not_before',
      { key: { ...key, notBefore: decisionInput().at + 1 } },
    ],
    ['ERR_KEY_NOT_RELEASABLE', 'key.not_after', { key: { ...key, notAfter: decisionInput().at } }],
    [
      'ERR_KEY_NOT_RELEASABLE',
      'key.max_releases',
      { key: { ...key, maxReleases: 2, releases: 2 } },
    ],
    [
      'ERR_RELEASE_DENIED',
      'policy.anyOf.0',
      { policy: { version: '1.0.0', anyOf: [{ claim: 'gone', notEquals: 1 }] } },
    ],
  ])('%s at %s', (code, at, change) => {
    expect(decideRelease(decisionInput(change))).toMatchObject({ release: false, code, at })
  })

  it('refuses claims without keyset digest, issue or expiry', () => {
    const without: [string, string][] = [
      ['vouchsafe.keyset_digest', 'keyset'],
      ['iat', 'ear.iat'],
      ['exp', 'ear.exp'],
    ]
    for (const [name, at] of without) {
      const entries = Object.entries(claimsOf({ cpu0: resultOf() }))
      const claims = Object.fromEntries(entries.filter(([one]) => one !== name))
      expect(decideRelease(decisionInput({ claims }))).toMatchObject({ release: false, at })
    }
  })

  it('has no answer for a policy that is none, or a result that is none', () => {
    const policy: unknown = expect.objectContaining({ code: 'ERR_POLICY_INVALID' })
    expect(() => decideRelease(decisionInput({ policy: {} }))).toThrow(policy)
    const result: unknown = expect.objectContaining({ code: 'ERR_RESULT_MALFORMED' })
    const lied = { submods: { cpu0: { 'ear.status': 'affirming' } } }
    expect(() => decideRelease(decisionInput({ claims: lied }))).toThrow(result)
  })
})

describe('decision records', () => {
  it('replay-is-identical: decoded and decided again, the same', () => {
    const input = decisionInput({ key: { ...key, maxReleases: 3, notAfter: 5 } })
    const again = decodeDecisionInput(encodeDecisionInput(input))
    expect(again).toEqual(input)
    expect(decideRelease(again)).toEqual(decideRelease(input))
  })

  it('accepted-is-canonical', () => {
    const text = new TextDecoder().decode(encodeDecisionInput(decisionInput()))
    const at: unknown = expect.objectContaining({ code: 'ERR_LOG_MALFORMED' })
    for (const bent of [
      ` ${text}`,
      text.replace('"v":1', '"v":1.0'),
      text.replace('"v":1', '"v":2'),
      text.replace('"v":1', '"v":1,"w":1'),
      text.replace('"releases":0', '"releases":-1'),
      text.replace('"state":"enabled"', '"state":"open"'),
      text.replace('"crv":"P-256"', '"crv":"P-384"'),
      text.replace('"policy":{', '"policy":1,"x":{'),
      'null',
      '',
    ]) {
      expect(() => decodeDecisionInput(utf8(bent)), bent.slice(0, 40)).toThrow(at)
    }
    expect(() => decodeDecisionInput(Uint8Array.of(0xff))).toThrow(at)
  })

  it('refuses claims that have no canonical form', () => {
    expect(() => encodeDecisionInput(decisionInput({ claims: { n: 0.5 } }))).toThrow(
      expect.objectContaining({ code: 'ERR_RESULT_MALFORMED', at: 'ear.claims' }),
    )
  })
})
