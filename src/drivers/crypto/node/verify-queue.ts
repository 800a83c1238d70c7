/**
 * Where a verification runs. On the libuv pool it leaves the event loop free, with others beside it;
 * but going there takes the loop as long as a P-256 verification, and waiting for the answer twice
 * that. So cheap ones are done on the spot. Dear ones asked for in one turn of the loop are looked at
 * together: one alone is done on the spot too, several go to the pool and are done side by side.
 *
 * @packageDocumentation
 */
import { type KeyObject, type VerifyKeyObjectInput, verify } from 'node:crypto'
import { setImmediate } from 'node:timers'

/** One question. Its bytes must not change until it is answered. */
export interface Verification {
  readonly hash: string | null
  readonly key: KeyObject | VerifyKeyObjectInput
  readonly signature: Uint8Array
  readonly data: Uint8Array
}

interface Waiting extends Verification {
  readonly resolve: (valid: boolean) => void
  readonly reject: (err: unknown) => void
}

/** Answers whether a signature is valid, now. */
export function verifyNow({ hash, data, key, signature }: Verification): boolean {
  return verify(hash, data, key, signature)
}

/** Answers whether a signature is valid, on the pool if there is company. */
export function createVerifyQueue(): (verification: Verification) => Promise<boolean> {
  let waiting: Waiting[] = []
  let onPool = 0
  const done = (): void => {
    onPool--
  }
  const start = (): void => {
    const [first, ...others] = waiting
    waiting = []
    if (first === undefined) return
    if (others.length === 0 && onPool === 0) {
      verifyHere(first)
      return
    }
    for (const one of [first, ...others]) {
      onPool++
      verifyOnPool(one, done)
    }
  }
  return async (verification) =>
    new Promise((resolve, reject) => {
      // After all that is ready to run has run: by then, everybody has asked.
      if (waiting.length === 0) setImmediate(start)
      waiting.push({ ...verification, resolve, reject })
    })
}

function verifyHere(one: Waiting): void {
  try {
    one.resolve(verifyNow(one))
  } catch (err) {
    one.reject(err)
  }
}

function verifyOnPool(
  { hash, data, key, signature, resolve, reject }: Waiting,
  done: () => void,
): void {
  verify(hash, data, key, signature, (err, valid) => {
    done()
    if (err === null) resolve(valid)
    else reject(err)
  })
}
