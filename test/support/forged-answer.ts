/** Keyset answers by somebody who runs enclaves too, but not the one that was asked for. */
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import { type Keyset, keysetDigest, parseKeyset } from '../../src/core/sealing/keyset.ts'
import { reportData, statementText } from '../../src/core/sealing/statement.ts'
import type { KeysetLeaf } from '../../src/core/tlog/leaf.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createSimulatedAttester, type IntelPki } from '../../src/testing/index.ts'
import type { Stage } from './client-stage.ts'

export type Answer = Record<string, unknown>
const crypto = createCrypto()

export interface Claim {
  readonly keyset?: Keyset
  readonly nonce?: string | null
  readonly pki?: IntelPki
  readonly debug?: boolean
}

/** An answer by an enclave that the attacker runs: everything in it fits together. */
export async function attested(stage: Stage, answer: Answer, claim: Claim): Promise<Answer> {
  const keyset = claim.keyset ?? parseKeyset(answer['keyset'])
  const own = /"nonce":"([0-9a-f]+)"/.exec(String(answer['statement']))?.[1] ?? ''
  const nonce = claim.nonce === undefined ? own : claim.nonce
  const digest = await keysetDigest(keyset, crypto)
  const statement = statementText({ keysetDigest: digest, nonce })
  const { pki = stage.pki, debug = false } = claim
  const attester = createSimulatedAttester(pki, { debug })
  const { evidence, endorsements, format } = await attester.attest(
    await reportData(statement, crypto),
  )
  return {
    ...answer,
    keyset,
    keyset_digest: digest,
    statement,
    evidence: [{ format, evidence: toBase64url(evidence) }],
    endorsements: endorsementsToJson(endorsements),
  }
}

/** The same, and its keyset is in the log. */
export async function logged(stage: Stage, answer: Answer, claim: Claim): Promise<Answer> {
  const forged = await attested(stage, answer, claim)
  const { log } = stage.gateway.log
  const { index } = await log.append(await leafFor(claim.keyset ?? parseKeyset(answer['keyset'])))
  return { ...forged, log: { proof: await log.proof(index) } }
}

async function leafFor(keyset: Keyset): Promise<KeysetLeaf> {
  return {
    v: 1,
    type: 'keyset',
    time: 1_790_000_000,
    keyset: await keysetDigest(keyset, crypto),
    ear: `sha256:${'0'.repeat(64)}`,
    not_after: keyset.not_after,
    models: keyset.vouchsafe.models,
  }
}

export const keysetOf = (answer: Answer): Keyset => parseKeyset(answer['keyset'])
export const otherKeyset = (answer: Answer): Keyset => ({
  ...keysetOf(answer),
  subject: 'somebody else',
})
export const changedLife = (answer: Answer, state: 'next' | 'previous'): Keyset => {
  const keyset = keysetOf(answer)
  const keys = keyset.vouchsafe.keys.map((life) => ({ ...life, state }))
  return { ...keyset, vouchsafe: { ...keyset.vouchsafe, keys } }
}
export const proofOf = (answer: Answer): string => (answer['log'] as { proof: string }).proof
export const reproved = (answer: Answer, proof: string): Answer => ({ ...answer, log: { proof } })
export const flipped = (answer: Answer): Answer => {
  const [item] = answer['evidence'] as { format: string; evidence: string }[]
  const bytes = Buffer.from(item?.evidence ?? '', 'base64url')
  bytes[300] = (bytes[300] ?? 0) ^ 1
  return { ...answer, evidence: [{ ...item, evidence: bytes.toString('base64url') }] }
}
export const relabelled = (answer: Answer, format: string): Answer => {
  const [item] = answer['evidence'] as object[]
  return { ...answer, evidence: [{ ...item, format }] }
}
