/** The two checks that every format with a quote makes of it. @packageDocumentation */
import { type Check, checkOf } from '../../appraisal/check.ts'
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { CryptoProvider, VerifyingKey } from '../../ports/crypto.ts'
import type { Problem } from '../../x509/chain.ts'
import type { Quote } from './evidence.ts'
import { describeSelection, pcrDigestOf } from './pcrs.ts'
import { describeScheme, verifySignature } from './signature.ts'

/** Is the quote signed by this key, over itself and nothing more? */
export async function checkQuoteSignature(
  id: string,
  { quote, key }: { readonly quote: Quote; readonly key: VerifyingKey },
  crypto: CryptoProvider,
): Promise<Check> {
  const { attest, signature } = quote
  const good = `${describeScheme(signature)} over the quote by the AK`
  const valid = await verifySignature(signature, { key, signed: attest.signed }, crypto)
  const problem = valid ? undefined : { expected: good, actual: 'signature does not verify' }
  return checkOf(id, problem, good)
}

/** Are the values those that the quote is over? Exactly the selected ones, all of them, no other. */
export async function checkPcrDigest(
  id: string,
  quote: Quote,
  crypto: CryptoProvider,
): Promise<Check> {
  return checkOf(
    id,
    await digestProblem(quote, crypto),
    `pcrDigest over ${describeSelection(quote.attest.selection)}`,
  )
}

async function digestProblem(
  { attest, signature, banks }: Quote,
  crypto: CryptoProvider,
): Promise<Problem | undefined> {
  const { selection, pcrDigest } = attest
  const digest = await pcrDigestOf({ selection, hash: signature.hash }, banks, crypto)
  const expected = `pcrDigest ${toHex(pcrDigest)}`
  if (digest === undefined) {
    return { expected, actual: `values missing of ${describeSelection(selection)}` }
  }
  return equal(digest, pcrDigest) ? undefined : { expected, actual: toHex(digest) }
}
