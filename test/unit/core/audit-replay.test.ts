import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ReplayOutcome, replayLeaf } from '../../../src/core/audit/replay.ts'
import { replayLog } from '../../../src/core/audit/replay-log.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { generateReleaseKey } from '../../../src/core/keys/jwe.ts'
import { recipientFromHex } from '../../../src/core/keys/recipient.ts'
import type { AppraisalLeaf, Leaf } from '../../../src/core/tlog/leaf.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { nitroInput } from '../../support/appraisal.ts'
import {
  type AuditedLog,
  boundInput,
  createAuditedLog,
  decisionOn,
  digestOf,
  earClaims,
  KEYSET,
  keyLeaf,
  loadFiles,
  PLAIN_LEAVES,
  recordAppraisal,
  recordKeyset,
  recordRefusal,
  recordRelease,
  sourceOver,
  tokenOf,
} from '../../support/audit.ts'

const crypto = createCrypto()
const tools = { crypto, memo: createMemo(64), anchors: nitroInput().anchors }
const SIZE = PLAIN_LEAVES
const APPRAISAL = SIZE

let made: AuditedLog
let appraisal: AppraisalLeaf
let all: ReadonlyMap<string, Uint8Array>
let keys: AuditedLog['keys']
beforeAll(async () => {
  made = await createAuditedLog()
  ;({ all, keys, appraisal } = made)
})
afterAll(async () => made.close())

describe('replay', () => {
  const replay = async (
    leaf: Leaf,
    {
      files = all,
      anchors = tools.anchors,
    }: { files?: ReadonlyMap<string, Uint8Array>; anchors?: typeof tools.anchors } = {},
    appraisals: Readonly<Record<number, AppraisalLeaf>> = { [APPRAISAL]: appraisal },
  ): Promise<ReplayOutcome['outcome']> => {
    const source = sourceOver(files)
    const appraisalAt = (index: number): AppraisalLeaf | undefined => appraisals[index]
    return (await replayLeaf(leaf, { ...tools, source, anchors, appraisalAt })).outcome
  }
  const fresh = async (): Promise<Map<string, Uint8Array>> => {
    await made.opened.blobs.put(utf8(''))
    return loadFiles(made.place.filesRoot)
  }

  it('finds every decision of an honest log the same', async () => {
    const { counts, findings } = await replayLog(
      { source: sourceOver(all), log: keys, crypto },
      tools,
    )
    expect(counts).toEqual({ same: 4, differs: 0, unreplayable: 0, 'not-replayed': SIZE })
    expect(findings).toEqual([])
  })

  it('finds a verdict that does not follow: other result, tier, time, evidence or anchors', async () => {
    const bad = await recordAppraisal(
      await boundInput(undefined, { now: new Date(0) }),
      made.opened.blobs,
    )
    expect(bad.result.tier).toBe('contraindicated')
    const files = await fresh()
    expect(await replay(bad.leaf, { files })).toBe('same')
    for (const lie of [
      { ...appraisal, result: bad.leaf.result },
      { ...appraisal, tier: 'warning' as const },
      { ...appraisal, time: 0 },
      { ...appraisal, policy_id: 'other' },
      { ...appraisal, endorsements: appraisal.policy },
      { ...appraisal, evidence: [...appraisal.evidence, ...appraisal.evidence] },
      { ...bad.leaf, result: appraisal.result, tier: 'affirming' as const },
    ]) {
      expect(await replay(lie, { files })).toBe('differs')
    }
    expect(await replay(appraisal, { anchors: VENDOR_ANCHORS })).toBe('differs')
  })

  it('says when a blob is gone or is not what its digest says', async () => {
    for (const digest of [
      appraisal.result,
      appraisal.policy,
      appraisal.evidence[0]?.digest ?? '',
    ]) {
      const path = `blobs/${digest.replace(':', '/')}`
      const gone = new Map(all)
      expect(gone.delete(path)).toBe(true)
      expect(await replay(appraisal, { files: gone })).toBe('unreplayable')
      gone.set(path, utf8('other'))
      expect(await replay(appraisal, { files: gone })).toBe('unreplayable')
    }
  })

  it('finds a release that does not follow', async () => {
    const { blobs } = made.opened
    const { result } = await recordAppraisal(await boundInput(), blobs)
    const input = await decisionOn(result, APPRAISAL)
    const honest = await recordRelease(input, blobs)
    const refused = await decisionOn(result, APPRAISAL, {
      key: { ...input.key, state: 'disabled' },
    })
    const unfounded = await decisionOn(result, 7)
    const unnamed = {
      ...input,
      claims: { ...(input.claims as object), 'vouchsafe.log_index': null },
    }
    const lies: readonly Leaf[] = [
      await recordRelease(refused, blobs),
      await recordRelease(unfounded, blobs),
      await recordRelease(unnamed, blobs),
      { ...honest, key: 'kbs:///acme/models/other' },
      { ...honest, version: 2 },
      { ...honest, recipient: 'A'.repeat(43) },
      { ...honest, policy: appraisal.policy },
      { ...honest, decision: appraisal.policy },
      { ...honest, ear: await blobs.put(tokenOf({ iss: 'other' })) },
      { ...honest, ear: appraisal.policy },
    ]
    const files = await fresh()
    expect(await replay(honest, { files })).toBe('same')
    for (const [i, lie] of lies.entries()) {
      expect(await replay(lie, { files }), `lie ${i}`).toBe('differs')
    }
    const other = { ...appraisal, result: appraisal.policy }
    expect(await replay(honest, { files }, { [APPRAISAL]: other })).toBe('differs')
    expect(await replay(honest, { files }, {})).toBe('differs')

    const elsewhere = await recordAppraisal(await boundInput({ ...KEYSET, not_after: 1 }), blobs)
    const stolen = await recordRelease(await decisionOn(elsewhere.result, APPRAISAL), blobs)
    const unbound = await recordAppraisal(nitroInput(), blobs)
    const loose = await recordRelease(await decisionOn(unbound.result, APPRAISAL), blobs)
    const more = { files: await fresh() }
    expect(await replay(stolen, more, { [APPRAISAL]: elsewhere.leaf })).toBe('differs')
    expect(await replay(loose, more, { [APPRAISAL]: unbound.leaf })).toBe('differs')
  })

  it('finds a release whose recipient, EAR or time is another than what was appraised', async () => {
    const { blobs } = made.opened
    const { result } = await recordAppraisal(await boundInput(), blobs)
    const input = await decisionOn(result, APPRAISAL)
    const pair = await generateReleaseKey()
    const stranger = recipientFromHex(pair.publicKeyHex, {
      code: 'ERR_KEYSET_MALFORMED',
      at: 'test',
    })
    const claims = await earClaims(result, APPRAISAL)
    const withClaims = async (change: Readonly<Record<string, Json>>): Promise<Leaf> =>
      recordRelease({ ...input, claims: { ...claims, ...change } }, blobs)
    const honest = await recordRelease(input, blobs)
    const unformed = utf8(JSON.stringify(KEYSET, undefined, 1))
    const lies: Readonly<Record<string, Leaf>> = {
      'wrapped to a key that nobody attested': await recordRelease(
        { ...input, recipient: stranger },
        blobs,
      ),
      'an EAR made to look younger': await withClaims({ iat: 1_790_000_000 }),
      'an EAR about another challenge': await withClaims({ eat_nonce: '00'.repeat(32) }),
      'dated otherwise than decided': { ...honest, time: honest.time - 1000 },
      'for a keyset that is no digest': await recordRelease(
        {
          ...input,
          keysetDigest: 'sha256:../../checkpoint',
          claims: { ...claims, 'vouchsafe.keyset_digest': 'sha256:../../checkpoint' },
        },
        blobs,
      ),
      'for a keyset in another form than its canonical one': await recordRelease(
        {
          ...input,
          keysetDigest: await blobs.put(unformed),
          claims: { ...claims, 'vouchsafe.keyset_digest': await blobs.put(unformed) },
        },
        blobs,
      ),
    }
    const files = await fresh()
    expect(await replay(honest, { files })).toBe('same')
    for (const [name, lie] of Object.entries(lies)) {
      expect(await replay(lie, { files }), name).toBe('differs')
    }
    const gone = new Map(files)
    expect(gone.delete(`blobs/${(await digestOf(KEYSET)).replace(':', '/')}`)).toBe(true)
    expect(await replay(honest, { files: gone })).toBe('unreplayable')
  })

  it('finds a keyset that no appraisal stands behind', async () => {
    const { blobs } = made.opened
    const { leaf, result } = await recordAppraisal(await boundInput(), blobs)
    const claims = await earClaims(result, APPRAISAL)
    const bad = await recordAppraisal(await boundInput(KEYSET, { now: new Date(0) }), blobs)
    const other = { ...KEYSET, not_after: 1 }
    const more = { ...KEYSET, more: 1 }
    const honest = await recordKeyset(claims, blobs)
    const badClaims = { ...(await earClaims(bad.result, APPRAISAL)), iat: bad.leaf.time }
    const lies: Readonly<Record<string, Leaf>> = {
      'another keyset than the EAR is about': await recordKeyset(claims, blobs, more),
      'another keyset, of another life': await recordKeyset(claims, blobs, other),
      'an appraisal for another keyset': await recordKeyset(
        await earClaims(result, APPRAISAL, other),
        blobs,
        other,
      ),
      'an EAR without an appraisal': await recordKeyset(await earClaims(result, 7), blobs),
      'another lifetime': { ...honest, not_after: honest.not_after + 1 },
      'other models': { ...honest, models: [] },
      'no EAR at all': { ...honest, ear: leaf.policy },
    }
    const files = await fresh()
    expect(await replay(honest, { files })).toBe('same')
    for (const [name, lie] of Object.entries(lies)) {
      expect(await replay(lie, { files }), name).toBe('differs')
    }
    const refused = await recordKeyset(badClaims, blobs)
    const later = { files: await fresh() }
    expect(await replay(refused, later, { [APPRAISAL]: bad.leaf })).toBe('differs')
  })

  it('finds a refusal that does not follow', async () => {
    const { blobs } = made.opened
    const { result } = await recordAppraisal(await boundInput(), blobs)
    const input = await decisionOn(result, APPRAISAL)
    const disabled = await decisionOn(result, APPRAISAL, {
      key: { ...input.key, state: 'disabled' },
    })
    const reason = { code: 'ERR_KEY_NOT_RELEASABLE', at: 'key.state' }
    const honest = await recordRefusal(disabled, reason, blobs)
    const lies: readonly Leaf[] = [
      await recordRefusal(input, reason, blobs),
      { ...honest, code: 'ERR_RELEASE_DENIED' },
      { ...honest, at: 'keyset' },
      { ...honest, time: honest.time + 1 },
      { ...honest, key: 'kbs:///acme/models/other' },
    ]
    const files = await fresh()
    expect(await replay(honest, { files })).toBe('same')
    for (const lie of lies) expect(await replay(lie, { files })).toBe('differs')
  })

  // The last one: it writes to the log that all of them read.
  it('finds a release of a version that the log had said was off', async () => {
    const { log, blobs } = made.opened
    const { result } = await recordAppraisal(await boundInput(), blobs)
    const input = await decisionOn(result, APPRAISAL)
    await log.append(await keyLeaf({ action: 'disable', time: input.at + 1 }))
    const index = SIZE + 5
    await log.append(await recordRelease({ ...input, at: input.at + 200 }, blobs))
    await log.proof(index)
    const source = sourceOver(await fresh())
    const { counts, findings } = await replayLog({ source, log: keys, crypto }, tools)
    expect(counts).toMatchObject({ same: 4, differs: 1 })
    expect(findings).toMatchObject([{ index, type: 'release', outcome: 'differs' }])
  })
})
