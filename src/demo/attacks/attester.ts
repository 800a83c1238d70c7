/**
 * What an attacker can do with the public API: have evidence appraised, and ask for a key with the
 * result. The simulated TEE stands for a machine in the attacker's hands.
 *
 * @packageDocumentation
 */
import { toBase64url } from '../../core/bytes/base64url.ts'
import { endorsementsToJson } from '../../core/endorsements/endorsement-set.ts'
import { generateReleaseKey } from '../../core/keys/jwe.ts'
import { type Keyset, keysetDigest } from '../../core/sealing/keyset.ts'
import { reportData, statementText } from '../../core/sealing/statement.ts'
import {
  createSimulatedAttester,
  type SimulatedAttesterOptions,
} from '../../drivers/attester/simulated/attester.ts'
import { createCrypto } from '../../drivers/crypto/node.ts'
import { KEY } from '../state.ts'
import { type Answer, call, type World } from '../world.ts'

/** What the verifier made of it. */
export interface Verdict {
  readonly tier: string
  /** Ids of the checks that failed, each with what was wanted and found. */
  readonly failed: readonly {
    readonly id: string
    readonly expected: string
    readonly actual: string
  }[]
  readonly ear: string
}

export interface Attempt {
  /** Where the service is. */
  readonly url: string
  /** With the attacker's own release key in it. */
  readonly keyset: Keyset
  readonly td?: SimulatedAttesterOptions
  /** What the attacker does to the quote. */
  readonly tamper?: (quote: Uint8Array) => Uint8Array
}

const crypto = createCrypto()

/** The keyset of an enclave, with a release key of which the attacker has the private half. */
export async function attackersKeyset(keyset: Keyset): Promise<Keyset> {
  const { publicKeyHex } = await generateReleaseKey()
  const release_key = { algo: 'p256', public_key: publicKeyHex } as const
  return { ...keyset, vouchsafe: { ...keyset.vouchsafe, release_key } }
}

/** Steps 3 and 4 of the chain, as an honest enclave takes them but for what `attempt` says. */
export async function appraise(world: World, attempt: Attempt): Promise<Verdict> {
  const { url, keyset, td = {}, tamper = (quote: Uint8Array) => quote } = attempt
  const challenge = await call(world, `${url}/v1/challenges`, { body: {} })
  const nonce = String(challenge.body['nonce'])
  const digest = await keysetDigest(keyset, crypto)
  const statement = statementText({ keysetDigest: digest, nonce })
  const attester = createSimulatedAttester(world.pki, td)
  const { format, evidence, endorsements } = await attester.attest(
    await reportData(statement, crypto),
  )
  const { body } = await call(world, `${url}/v1/appraisals`, {
    body: {
      nonce,
      statement,
      evidence: [{ format, evidence: toBase64url(tamper(evidence)) }],
      endorsements: endorsementsToJson(endorsements),
    },
  })
  const checks = (body['checks'] ?? []) as readonly (Verdict['failed'][number] & {
    readonly outcome: string
  })[]
  return {
    tier: String(body['tier']),
    failed: checks.filter(({ outcome }) => outcome === 'fail'),
    ear: String(body['ear']),
  }
}

/** Step 5: asks for the model's key. */
export async function askForKey(
  world: World,
  { url, keyset }: Attempt,
  { ear }: Verdict,
): Promise<Answer> {
  const path = KEY.slice('kbs:///'.length)
  return call(world, `${url}/v1/keys/${path}/release`, { body: { ear, keyset } })
}
