import { CompactSign, type CryptoKey, exportJWK, generateKeyPair, type JWK } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { earSignatureCheck } from '../../../src/core/attestation-result/ear.ts'
import { replayLeaf } from '../../../src/core/audit/replay.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
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
