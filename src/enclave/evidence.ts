/**
 * Evidence that this enclave holds its keyset, over a nonce that somebody else chose.
 *
 * @packageDocumentation
 */
import type { Attestation, Attester } from '../core/ports/attester.ts'
import type { Hasher } from '../core/ports/crypto.ts'
import { reportData, statementText } from '../core/sealing/statement.ts'
import { createGate } from '../server/limits.ts'

/** Evidence, and the text whose digest it vouches for. */
interface Testimony {
  readonly statement: string
  readonly attestation: Attestation
}

/** @param nonce - 64 lower-case hex digits. */
export type Testify = (keysetDigest: string, nonce: string) => Promise<Testimony>

/** Asks the hardware each time. */
export function createTestify(attester: Attester, hasher: Hasher): Testify {
  return async (keysetDigest, nonce) => {
    const statement = statementText({ keysetDigest, nonce })
    const attestation = await attester.attest(await reportData(statement, hasher))
    return { statement, attestation }
  }
}

/**
 * Bounds what strangers can make the hardware do: at most `concurrency` questions at once, `waiting`
 * more in line, and the same question asked twice at once is answered once.
 *
 * @returns A {@link Testify} that also throws {@link VouchsafeError} `ERR_OVERLOADED`.
 */
export function boundTestify(
  testify: Testify,
  { concurrency, waiting }: { readonly concurrency: number; readonly waiting: number },
): Testify {
  const gate = createGate(concurrency, waiting)
  const asked = new Map<string, Promise<Testimony>>()
  return async (keysetDigest, nonce) => {
    const question = `${keysetDigest} ${nonce}`
    const same = asked.get(question)
    if (same !== undefined) return same
    const answer = gate(async () => testify(keysetDigest, nonce)).finally(() =>
      asked.delete(question),
    )
    asked.set(question, answer)
    return answer
  }
}
