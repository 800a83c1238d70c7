/**
 * What NVIDIA's services must be asked for before a piece of evidence can be authenticated. Read from
 * evidence that nobody has checked; what comes of asking is believed no sooner than that.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../../errors.ts'
import type { Hasher } from '../../ports/crypto.ts'
import { orderChains } from '../../x509/chain.ts'
import type { CertId } from '../../x509/ocsp.ts'
import { certIdOf } from '../../x509/ocsp-check.ts'
import type { NvidiaEvidence } from './evidence.ts'
import { deviceQuestions, type Question, questionsOf } from './revocation.ts'
import { parseRim } from './rim.ts'
import { rimIdsOf } from './rim-ids.ts'

/** Names of the manifests: `NV_GPU_DRIVER_GH100_590.12` and the like; letters, digits, `.`, `-`, `_`. */
export function wantedRims({ report }: NvidiaEvidence): readonly string[] {
  return rimIdsOf(report.opaque).map(({ id }) => id)
}

/**
 * What an OCSP responder must be asked: about the device's certificates, and about those of the
 * manifests, once they are there.
 *
 * @param rims - XML; what cannot be read is passed over.
 * @returns By SHA-384, as NVIDIA's tools ask; each once.
 */
export async function wantedAnswers(
  { certificates }: NvidiaEvidence,
  rims: readonly Uint8Array[],
  crypto: Hasher,
): Promise<readonly CertId[]> {
  const [leaf, ...others] = certificates
  const [path] = leaf === undefined ? [] : orderChains(leaf, others)
  const questions: Question[] = [...deviceQuestions(path ?? [])]
  for (const rim of rims) questions.push(...(await rimQuestions(rim)))
  const ids = new Map<string, CertId>()
  for (const question of questions) {
    const id = await certIdOf(question, 'SHA-384', crypto)
    ids.set(`${id.issuerNameHash.join()}:${id.issuerKeyHash.join()}:${id.serial}`, id)
  }
  return [...ids.values()]
}

async function rimQuestions(rim: Uint8Array): Promise<readonly Question[]> {
  try {
    const [signer, ...others] = (await parseRim(rim)).certificates
    const [path] = signer === undefined ? [] : orderChains(signer, others)
    return questionsOf(path ?? [])
  } catch (error) {
    if (error instanceof VouchsafeError && error.kind !== 'misconfigured') return []
    throw error
  }
}
