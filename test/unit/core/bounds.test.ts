import { describe, expect, it } from 'vitest'
import { parseCases } from '../../../src/core/appraisal/policy-cases.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { parseJson } from '../../../src/core/encoding/json-source.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { parseDocument } from '../../../src/core/evidence/nitro/document.ts'
import { parseClaimPath } from '../../../src/core/keys/claim-path.ts'
import { evaluateReleasePolicy } from '../../../src/core/keys/evaluate.ts'
import { parseReleasePolicy } from '../../../src/core/keys/release-policy.ts'
import { parseReferenceValues } from '../../../src/core/reference-values/reference-values.ts'
import { ed25519CosignedBytes, mlDsaCosignedBytes } from '../../../src/core/tlog/cosignature.ts'
import { consistencyProof, inclusionProof, rootAt } from '../../../src/core/tlog/merkle.ts'
import { encodeNote, MAX_NOTE_SIZE, parseNote } from '../../../src/core/tlog/note.ts'
import { encodeProof, parseProof } from '../../../src/core/tlog/proof.ts'
import { encodeBundle, hashPerfect, tiledTree } from '../../../src/core/tlog/tiles.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { mintAwsPki, mintNitroDocument, type NitroMembers } from '../../../src/testing/index.ts'

const crypto = createCrypto()
const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'test' } as const
const coded = (code: string): unknown => expect.objectContaining({ code }) as unknown

describe('what is too long is refused before it is looked at', () => {
  it.each<[string, string, () => unknown]>([
    ['a note', 'ERR_LOG_MALFORMED', () => parseNote(new Uint8Array(MAX_NOTE_SIZE + 1))],
    ['a proof', 'ERR_LOG_MALFORMED', () => parseProof(new Uint8Array(MAX_NOTE_SIZE + 200_000))],
    [
      'a line of a proof',
      'ERR_LOG_MALFORMED',
      () =>
        parseProof(
          utf8(`c2sp.org/tlog-proof@v1\nextra ${'A'.repeat(65_536)}\nindex 0\n\ncheckpoint\n`),
        ),
    ],
    ['a Nitro document', 'ERR_EVIDENCE_MALFORMED', () => parseDocument(new Uint8Array(65_537))],
    [
      'a path to a claim',
      'ERR_POLICY_INVALID',
      () =>
        parseClaimPath(new Array<string>(17).fill('a').join('.'), {
          code: 'ERR_POLICY_INVALID',
          at: 'test',
        }),
    ],
    [
      'a release policy',
      'ERR_POLICY_INVALID',
      () =>
        parseReleasePolicy({
          version: '1.0.0',
          allOf: new Array(40).fill({ claim: 'a', equals: 'x'.repeat(4000) }),
        }),
    ],
  ])('%s', (_, code, work) => {
    expect(work).toThrow(coded(code))
  })
})

describe('a message holds the start of what a stranger wrote, and no more', () => {
  const long = 'x'.repeat(8000)
  const pki = mintAwsPki({ at: new Date('2026-06-01T12:00:00Z') })
  const nitro = (members: NitroMembers) => () =>
    parseDocument(mintNitroDocument({ pki, timestamp: new Date('2026-06-01T12:00:00Z'), members }))

  it.each<[string, () => unknown]>([
    ['a name twice in JSON', () => parseJson(`{"${long}":1,"${long}":2}`, BLAME)],
    ['a member of a Nitro document', nitro({ [long]: 1 })],
    ['a digest of a Nitro document', nitro({ digest: long })],
  ])('%s', (_, work) => {
    let message = ''
    try {
      work()
    } catch (err) {
      expect(err).toBeInstanceOf(VouchsafeError)
      message = err instanceof Error ? err.message : ''
    }
    expect(message).toContain('xxxx')
    expect(message.length).toBeLessThan(200)
  })
})

describe('a release policy about many members', () => {
  const policy = parseReleasePolicy({
    version: '1.0.0',
    allOf: [{ forEach: 'list', allOf: [{ claim: 'ok', equals: true }] }],
  })
  const answer = (list: Json) => evaluateReleasePolicy(policy, { list }, 0)

  it('is met by 64 good ones, and by no more, by none, and by nothing of the kind', () => {
    const good = { ok: true }
    expect(answer(new Array<Json>(64).fill(good)).met).toBe(true)
    for (const list of [new Array<Json>(65).fill(good), [], {}, 'list', 7, null]) {
      expect(answer(list).met).toBe(false)
    }
    expect(answer([...new Array<Json>(63).fill(good), { ok: false }]).met).toBe(false)
    expect(answer([...new Array<Json>(63).fill(good), {}]).met).toBe(false)
  })

  it('names at most 16 failures, none of them endless', () => {
    const { unmet } = answer(new Array<Json>(64).fill({ ok: 'x'.repeat(100_000) }))
    expect(unmet).toHaveLength(16)
    for (const { actual } of unmet) expect(actual.length).toBeLessThan(300)
  })
})

describe('what is none is refused', () => {
  it.each<[string, unknown]>([
    [
      'a $schema that is no address',
      { $schema: 7, name: 'a', version: '1', format: 'tdx', entries: [] },
    ],
    [
      'a measurement whose name is none',
      {
        name: 'a',
        version: '1',
        format: 'tdx',
        entries: [{ label: 'x', values: { 'mr td': '00'.repeat(48) } }],
      },
    ],
    [
      'values that are a list',
      { name: 'a', version: '1', format: 'tdx', entries: [{ label: 'x', values: [] }] },
    ],
  ])('reference values with %s', (_, value) => {
    expect(() => parseReferenceValues(value as Json)).toThrow(coded('ERR_REFERENCE_VALUES_INVALID'))
  })

  it.each(['{}', '7', '[{"name":"a","mint":{},"reference_values":{},"expect":{"error":"ERR_X"}}]'])(
    'cases %s',
    (text) => {
      expect(() => parseCases(text)).toThrow(coded('ERR_POLICY_INVALID'))
    },
  )
})

describe('our own mistakes are no verdicts', () => {
  const tree = { hasher: crypto, node: () => new Uint8Array(32) }

  it('indexes and sizes that no tree has', async () => {
    for (const work of [
      inclusionProof(tree, 2, 2),
      inclusionProof(tree, -1, 2),
      consistencyProof(tree, 0, 2),
      consistencyProof(tree, 3, 2),
      rootAt(tree, 0.5),
      hashPerfect(crypto, []),
      Promise.resolve(tiledTree(crypto, 1, async () => []).node(0, 5)),
    ]) {
      await expect(work).rejects.toThrow(RangeError)
    }
  })

  it('texts, names and data that no format can carry', () => {
    const subtree = { timestamp: 1, start: 0, end: 1, hash: new Uint8Array(32) }
    for (const work of [
      () => encodeNote({ text: 'no line feed', lines: [] }),
      () =>
        encodeNote({
          text: 'x\n',
          lines: [{ name: 'two words', keyId: 0, signature: new Uint8Array(64) }],
        }),
      () => encodeProof({ extra: new Uint8Array(60_000), index: 0, hashes: [], checkpoint: 'x\n' }),
      () => encodeBundle([new Uint8Array(65_536)]),
      () => mlDsaCosignedBytes({ ...subtree, cosigner: '', origin: 'x' }),
      () => mlDsaCosignedBytes({ ...subtree, cosigner: 'x', origin: 'y'.repeat(256) }),
      () => mlDsaCosignedBytes({ ...subtree, cosigner: 'x', origin: 'y', start: 1 }),
    ]) {
      expect(work).toThrow(RangeError)
    }
    expect(ed25519CosignedBytes('x\n', 7)).toEqual(utf8('cosignature/v1\ntime 7\nx\n'))
  })
})
