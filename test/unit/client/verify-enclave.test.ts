/** What a client refuses, one attack at a time, each on otherwise genuine material. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { connect, EnclaveRefusedError } from '../../../src/client/index.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { endorsementsToJson } from '../../../src/core/endorsements/endorsement-set.ts'
import { encodeProof, parseProof } from '../../../src/core/tlog/proof.ts'
import { endorseHierarchy } from '../../../src/drivers/attester/simulated/pki.ts'
import { mintIntelPki } from '../../../src/testing/index.ts'
import { type Stage, startStage } from '../../support/client-stage.ts'
import {
  type Answer,
  attested,
  changedLife,
  flipped,
  keysetOf,
  logged,
  otherKeyset,
  proofOf,
  relabelled,
  reproved,
} from '../../support/forged-answer.ts'
import { leafOf } from '../../support/log.ts'
import { without } from '../../support/without.ts'

const DAY = 24 * 60 * 60 * 1000
let stage: Stage
beforeAll(async () => {
  stage = await startStage()
})
afterAll(async () => stage.close())
beforeEach(() => {
  stage.keyset((answer) => answer)
})

interface Attack {
  /** To the answer of `GET /v1/keyset`. */
  readonly answer?: (answer: Answer) => unknown
  readonly pin?: Answer
  /** Milliseconds by which the client's clock is off. */
  readonly late?: number
  readonly model?: string
}

async function verify({ answer, pin = {}, late = 0, model = stage.model }: Attack) {
  if (answer !== undefined) stage.keyset(answer)
  const { platform } = stage.options
  const clock = () => new Date(stage.now.getTime() + late)
  const options = { ...stage.options, pin: { ...stage.pin, ...pin } }
  const session = await connect({ ...options, platform: { ...platform, clock } })
  return session.verify(model)
}

/** @returns Ids of the failed checks, or the code of an error that is no verdict. */
async function refusal(attack: Attack): Promise<readonly string[]> {
  const error: unknown = await verify(attack).catch((thrown: unknown) => thrown)
  if (error instanceof EnclaveRefusedError) {
    expect(error).toMatchObject({ code: 'ERR_KEYSET_REFUSED', report: { verified: false } })
    return error.report.checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id)
  }
  return [String((error as { code?: unknown }).code)]
}

const first = (id: string) => ({ first: id })
const LOG = ['inclusion', 'forward', 'consistency', 'age'].map((name) => `client.log.${name}`)
const policyWith = (name: string, value: Json): Answer => {
  const [policy] = stage.pin['policies'] as Answer[]
  return { policies: [{ ...policy, [name]: value }] }
}
const logWith = (changes: Answer): Answer => ({
  log: { ...(stage.pin['log'] as Answer), ...changes },
})

it('what is genuine is verified, and every check is there', async () => {
  const report = await verify({})
  expect(report).toMatchObject({ verified: true, simulated: true, policyId: 'development' })
  const ids = report.checks.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const id of [...LOG, 'client.keyset.digest', 'client.keyset.key', 'client.model.manifest']) {
    expect(ids).toContain(id)
  }
  expect(report.checks.filter(({ outcome }) => outcome === 'fail')).toEqual([])
})

describe('refused', () => {
  it.each<[string, () => Attack, readonly string[] | { readonly first: string }]>([
    [
      'a keyset of the gateway’s own',
      () => ({ answer: (a) => ({ ...a, keyset: otherKeyset(a) }) }),
      ['client.keyset.digest', ...LOG],
    ],
    [
      'the same, with a statement that fits it',
      () => ({
        answer: async (a) => {
          const { statement } = await attested(stage, a, { keyset: otherKeyset(a) })
          return { ...a, keyset: otherKeyset(a), statement }
        },
      }),
      ['simulated.binding.report_data', ...LOG],
    ],
    [
      'an enclave of the gateway’s own that nobody has seen',
      () => ({ answer: async (a) => attested(stage, a, { keyset: otherKeyset(a) }) }),
      LOG,
    ],
    [
      'a statement about another keyset, vouched for by real evidence',
      () => ({
        answer: async (a) => ({
          ...(await attested(stage, a, { keyset: otherKeyset(a) })),
          keyset: a['keyset'],
        }),
      }),
      ['client.keyset.digest'],
    ],
    [
      'evidence over another nonce',
      () => ({ answer: async (a) => attested(stage, a, { nonce: 'ab'.repeat(32) }) }),
      ['simulated.freshness.nonce'],
    ],
    [
      'evidence over no nonce',
      () => ({ answer: async (a) => attested(stage, a, { nonce: null }) }),
      ['simulated.freshness.nonce'],
    ],
    [
      'a debug TD',
      () => ({ answer: async (a) => attested(stage, a, { debug: true }) }),
      ['tdx.debug'],
    ],
    [
      'a simulated platform under another root',
      () => ({
        answer: async (a) => attested(stage, a, { pki: mintIntelPki({ now: stage.now }) }),
      }),
      first('dcap.pck.anchor'),
    ],
    [
      'a simulated platform where none is pinned',
      () => ({ pin: { unsafe_simulated_roots: [] } }),
      first('simulated.root'),
    ],
    [
      'collateral that has expired',
      () => ({
        answer: async (a) => {
          const now = new Date(stage.now.getTime() - 60 * DAY)
          return attested(stage, a, { pki: endorseHierarchy(stage.pki, { now }) })
        },
      }),
      first('dcap.crl.root.validity'),
    ],
    ['a bit of the quote that differs', () => ({ answer: flipped }), first('dcap.quote.signature')],
    [
      'measurements that are not the pinned ones',
      () => ({ pin: policyWith('mrtd', { require: ['ab'.repeat(48)] }) }),
      ['tdx.mrtd'],
    ],
    [
      'another manifest than the pinned one',
      () => ({ pin: { manifests: { [stage.model]: `sha256:${'1'.repeat(64)}` } } }),
      ['client.model.manifest'],
    ],
    [
      'an enclave that does not serve the model',
      () => ({ model: 'other', pin: { manifests: { other: `sha256:${'1'.repeat(64)}` } } }),
      ['client.keyset.key', 'client.model.manifest'],
    ],
    [
      'a keyset that is no longer in force',
      () => ({
        answer: async (a) => {
          const notAfter = Math.floor(stage.now.getTime() / 1000)
          return logged(stage, a, { keyset: { ...keysetOf(a), not_after: notAfter } })
        },
      }),
      ['client.keyset.key'],
    ],
    [
      'keys that are not in use yet',
      () => ({ answer: async (a) => logged(stage, a, { keyset: changedLife(a, 'next') }) }),
      ['client.keyset.key'],
    ],
    [
      'keys that are in use no more',
      () => ({ answer: async (a) => logged(stage, a, { keyset: changedLife(a, 'previous') }) }),
      ['client.keyset.key'],
    ],
    ['a log that nobody pinned', () => ({ pin: logWith({ origin: 'other.test/log' }) }), LOG],
    [
      'a proof for another leaf',
      () => ({
        answer: async (a) => {
          const { log } = stage.gateway.log
          return reproved(a, await log.proof((await log.append(leafOf(7))).index))
        },
      }),
      LOG,
    ],
    [
      'a proof for the leaf of another keyset',
      () => ({
        answer: async (a) =>
          reproved(a, proofOf(await logged(stage, a, { keyset: otherKeyset(a) }))),
      }),
      LOG,
    ],
    [
      'the right leaf with the path of another',
      () => ({
        answer: async (a) => {
          const { extra } = parseProof(utf8(proofOf(a)))
          const other = parseProof(
            utf8(proofOf(await logged(stage, a, { keyset: otherKeyset(a) }))),
          )
          return reproved(a, encodeProof({ ...other, extra }))
        },
      }),
      LOG,
    ],
    [
      'a proof without a leaf',
      () => ({
        answer: (a) =>
          reproved(a, encodeProof({ ...parseProof(utf8(proofOf(a))), extra: undefined })),
      }),
      LOG,
    ],
    [
      'a checkpoint whose signature was touched',
      () => ({
        answer: (a) =>
          reproved(
            a,
            proofOf(a).replace(/(— \S+ .{8})(.)/, (_, before: string, one: string) => {
              // Another letter than what is there, whatever that is.
              return `${before}${one === 'A' ? 'B' : 'A'}`
            }),
          ),
      }),
      LOG,
    ],
    ['a checkpoint that is too old', () => ({ late: 700_000 }), ['client.log.age']],
    [
      'a checkpoint of the future',
      () => ({ late: -400_000, answer: async (a) => a }),
      ['client.keyset.key', 'client.log.age'],
    ],
    [
      'a checkpoint without a time, where one is wanted',
      () => ({ pin: logWith({ keys: [stage.gateway.logKeys.vkeys[0]] }) }),
      ['client.log.age'],
    ],
  ])('%s', async (_, attack, expected) => {
    const { model, ...rest } = attack()
    // An honest gateway would say that there is no such model; this one offers another enclave.
    if (model !== undefined) {
      stage.replace('/v1/keyset', async (url, init) =>
        fetch(url.replace(`model=${model}`, `model=${stage.model}`), init),
      )
    }
    const failed = await refusal({ ...rest, ...(model !== undefined && { model }) })
    stage.replace('/v1/keyset', undefined)
    // What stands behind a bad signature fails with it; the first one says what was wrong.
    expect('first' in expected ? failed[0] : failed).toEqual(
      'first' in expected ? expected.first : expected,
    )
  })

  it.each<[string, (answer: Answer) => unknown, string]>([
    ['a format without a pinned policy', (a) => relabelled(a, 'tdx'), 'ERR_POLICY_INVALID'],
    ['a format of the future', (a) => relabelled(a, 'quantum'), 'ERR_EVIDENCE_UNSUPPORTED'],
    [
      'no collateral',
      (a) => ({
        ...a,
        endorsements: endorsementsToJson({
          certificates: [],
          crls: [],
          tcbInfos: [],
          qeIdentities: [],
        }),
      }),
      'ERR_ENDORSEMENT_UNAVAILABLE',
    ],
    ['no proof', (a) => without(a, 'log'), 'ERR_KEYSET_MALFORMED'],
    ['no evidence', (a) => ({ ...a, evidence: [] }), 'ERR_KEYSET_MALFORMED'],
    [
      'evidence twice',
      (a) => ({ ...a, evidence: [...(a['evidence'] as object[]), ...(a['evidence'] as object[])] }),
      'ERR_KEYSET_MALFORMED',
    ],
    ['a member nobody knows', (a) => ({ ...a, trusted: true }), 'ERR_KEYSET_MALFORMED'],
    [
      'receipts at another host',
      (a) => ({ ...a, receipts_url: 'https://evil.example/' }),
      'ERR_KEYSET_MALFORMED',
    ],
    ['an array', () => [], 'ERR_KEYSET_MALFORMED'],
  ])('without a verdict: %s', async (_, answer, code) => {
    expect(await refusal({ answer })).toEqual([code])
  })
})
