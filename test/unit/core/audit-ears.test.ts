import { CompactSign, type CryptoKey, exportJWK, generateKeyPair, type JWK } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { earSignatureCheck } from '../../../src/core/attestation-result/ear.ts'
import { trustVectorOf } from '../../../src/core/attestation-result/trust-vector.ts'
import { replayLeaf } from '../../../src/core/audit/replay.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import type { AppraisalLeaf, Digest, Leaf } from '../../../src/core/tlog/leaf.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { nitroInput } from '../../support/appraisal.ts'
import {
  boundInput,
  decisionOn,
  loadFiles,
  recordAppraisal,
  recordKeyset,
  recordRelease,
  sourceOver,
} from '../../support/audit.ts'
import { createPlace, type OpenLog, openTestLog } from '../../support/log.ts'
import { createTestLog } from '../../support/tlog.ts'

const tools = { crypto: createCrypto(), memo: createMemo(64), anchors: nitroInput().anchors }
const jwksBlame = { code: 'ERR_USAGE_INVALID', at: 'test' } as const
const place = createPlace()
let opened: OpenLog
beforeAll(async () => {
  opened = await openTestLog(place, await createTestLog('example.com/log'))
})
afterAll(async () => {
  await opened.close()
  place.remove()
})

it('finds an EAR that the verifier did not sign, if told its keys', async () => {
  const { blobs } = opened
  const { leaf, result } = await recordAppraisal(await boundInput(), blobs)
  const input = await decisionOn(result, 0)
  const [ours, theirs] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')])
  const signed = async (key: CryptoKey, typ = 'eat+jwt'): Promise<Digest> =>
    blobs.put(
      utf8(
        await new CompactSign(utf8(JSON.stringify(input.claims)))
          .setProtectedHeader({ alg: 'ES256', typ, kid: 'k' })
          .sign(key),
      ),
    )
  const release = await recordRelease(input, blobs)
  const good = { ...release, ear: await signed(ours.privateKey) }
  const keyset = { ...(await recordKeyset(input.claims, blobs)), ear: good.ear }
  const bad = { ...release, ear: await signed(theirs.privateKey) }
  const untyped = { ...release, ear: await signed(ours.privateKey, 'JWT') }
  const source = sourceOver(loadFiles(place.filesRoot))
  const jwk = { ...(await exportJWK(ours.publicKey)), kid: 'k', alg: 'ES256' }
  const older = { ...(await exportJWK((await generateKeyPair('ES256')).publicKey)), kid: 'k' }
  const outcomeOf = async (one: Leaf, jwks: readonly JWK[]): Promise<string> => {
    const appraisalAt = (): AppraisalLeaf => leaf
    const isEarSigned = await earSignatureCheck(jwks, jwksBlame)
    const checked = { ...tools, source, appraisalAt, isEarSigned }
    return (await replayLeaf(one, checked)).outcome
  }
  for (const one of [good, keyset]) expect(await outcomeOf(one, [older, jwk])).toBe('same')
  for (const one of [bad, untyped, release]) expect(await outcomeOf(one, [jwk])).toBe('differs')
  expect(await outcomeOf(good, [])).toBe('differs')
  expect(await outcomeOf(good, [older])).toBe('differs')
  const swapped = { ...jwk, x: jwk.y, y: jwk.x } as JWK
  const secret = await exportJWK((await generateKeyPair('ES256', { extractable: true })).privateKey)
  for (const wrong of [swapped, secret, {}, { kty: 'oct', k: 'AA' }] as const) {
    await expect(earSignatureCheck([wrong as JWK], jwksBlame)).rejects.toMatchObject(jwksBlame)
  }
})

it('finds an EAR that says more of a verdict than the log does', async () => {
  const { blobs } = opened
  const input = await boundInput()
  const { leaf, result } = await recordAppraisal(input, blobs)
  const { claims } = await decisionOn(result, 0)
  const { submods, ...token } = claims as Readonly<Record<string, Json>>
  const { cpu0 } = submods as { readonly cpu0: Readonly<Record<string, Json>> }
  const statement =
    'statement' in input.binding.reportData ? input.binding.reportData.statement : ''
  const honest = {
    'vouchsafe.evidence': leaf.evidence.map(({ digest }) => digest),
    'vouchsafe.statement': await blobs.put(utf8(statement)),
  }
  const vector = { 'ear.trustworthiness-vector': trustVectorOf(result) as Json }
  const said = async (ofToken: object, ofCpu: object): Promise<readonly string[]> => {
    const told = { ...token, ...ofToken, submods: { cpu0: { ...cpu0, ...ofCpu } } }
    const release = await recordRelease(
      await decisionOn(result, 0, { claims: told as Json }),
      blobs,
    )
    const keyset = await recordKeyset(told, blobs)
    const source = sourceOver(loadFiles(place.filesRoot))
    const replay = async (one: Leaf) =>
      replayLeaf(one, { ...tools, source, appraisalAt: (): AppraisalLeaf => leaf })
    return [(await replay(release)).outcome, (await replay(keyset)).outcome]
  }
  expect(await said(honest, vector)).toEqual(['same', 'same'])
  const other = `sha256:${'00'.repeat(32)}`
  for (const [ofToken, ofCpu] of [
    // A release policy that asks for the strict one would be met by the lax one.
    [honest, { 'ear.appraisal-policy-id': 'nitro-strict' }],
    [honest, { 'ear.status': 'warning' }],
    [honest, { 'ear.trustworthiness-vector': { hardware: 2, 'storage-opaque': 2 } }],
    [{ ...honest, 'vouchsafe.evidence': [other] }, {}],
    [{ ...honest, 'vouchsafe.evidence': [...honest['vouchsafe.evidence'], other] }, {}],
    [{ ...honest, 'vouchsafe.statement': other }, {}],
  ] as const) {
    const outcomes = await said(ofToken, ofCpu)
    expect(outcomes[1], JSON.stringify([ofToken, ofCpu])).toBe('differs')
    expect(outcomes[0]).toBe('differs')
  }
})
