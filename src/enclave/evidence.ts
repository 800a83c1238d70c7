/**
 * Evidence that this enclave holds its keyset, over a nonce that somebody else chose.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import type { Attestation, Attester } from '../core/ports/attester.ts'
import type { Hasher } from '../core/ports/crypto.ts'
import { reportData, statementText } from '../core/sealing/statement.ts'

/** Evidence, and the text whose digest it vouches for. */
export interface Testimony {
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
  const asked = new Map<string, Promise<Testimony>>()
  const line: (() => void)[] = []
  let working = 0
  const turn = async (): Promise<void> => {
    if (working < concurrency) working += 1
    // Who leaves hands its place on, so `working` stays as it is.
    else await new Promise<void>((resolve) => line.push(resolve))
  }
  const work = async (keysetDigest: string, nonce: string): Promise<Testimony> => {
    await turn()
    try {
      return await testify(keysetDigest, nonce)
    } finally {
      const next = line.shift()
      if (next === undefined) working -= 1
      else next()
    }
  }
  return async (keysetDigest, nonce) => {
    const question = `${keysetDigest} ${nonce}`
    const same = asked.get(question)
    if (same !== undefined) return same
    if (asked.size >= concurrency + waiting) {
      const blame = { code: 'ERR_OVERLOADED', at: 'enclave.evidence' } as const
      throw new VouchsafeError(blame, 'too many questions to the hardware')
    }
    const answer = work(keysetDigest, nonce).finally(() => asked.delete(question))
    asked.set(question, answer)
    return answer
  }
}
