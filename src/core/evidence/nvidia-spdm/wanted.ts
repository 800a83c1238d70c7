/**
 * What NVIDIA's services must be asked for before a piece of evidence can be authenticated. Read from
 * evidence that nobody has checked; what comes of asking is believed no sooner than that.
 *
 * @packageDocumentation
 */
import type { Hasher } from '../../ports/crypto.ts'
import type { Certificate } from '../../x509/certificate.ts'
import { orderChains } from '../../x509/chain.ts'
import type { CertId } from '../../x509/ocsp.ts'
import { certIdOf } from '../../x509/ocsp-check.ts'
import { hasFirmwareId } from './device-chain.ts'
import type { NvidiaEvidence } from './evidence.ts'
import { deviceQuestions, type Question, questionsOf } from './revocation.ts'
import { readRim } from './rim.ts'
import { isNamed, rimIdsOf } from './rim-ids.ts'

/** What else is at hand. */
export interface Wanted {
  /** XML; what cannot be read, or is of another version, is passed over. */
  readonly rims: readonly Uint8Array[]
  /** For a bare report, which has none of its own. */
  readonly certificates?: readonly Certificate[]
}

/** A stranger's chains and manifests must not make us ask without end; honest ones ask for ten. */
const MAX_ANSWERS = 24
/** As many as an appraisal looks at. */
const MAX_RIMS = 64
const MAX_LEAVES = 16

/** Names of the manifests: `NV_GPU_DRIVER_GH100_590.12` and the like; letters, digits, `.`, `-`, `_`. */
export function wantedRims({ report }: NvidiaEvidence): readonly string[] {
  return rimIdsOf(report.opaque).map(({ id }) => id)
}

/**
 * What an OCSP responder must be asked: about the device's certificates, and about those of the
 * manifests, once they are there.
 *
 * @returns By SHA-384, as NVIDIA's tools ask; each once, the device's first, and never over 24.
 */
export async function wantedAnswers(
  evidence: NvidiaEvidence,
  { rims, certificates = [] }: Wanted,
  crypto: Hasher,
): Promise<readonly CertId[]> {
  const questions = leavesOf(evidence, certificates).flatMap(([leaf, others]) => {
    const [path] = orderChains(leaf, others)
    return deviceQuestions(path ?? [])
  })
  const names = wantedRims(evidence)
  for (const bytes of rims.slice(0, MAX_RIMS)) questions.push(...(await rimQuestions(bytes, names)))
  const ids = new Map<string, CertId>()
  for (const question of questions) {
    const id = await certIdOf(question, 'SHA-384', crypto)
    ids.set(`${id.issuerNameHash.join()}:${id.issuerKeyHash.join()}:${id.serial}`, id)
    if (ids.size === MAX_ANSWERS) break
  }
  return [...ids.values()]
}

/** Each with what may lead from it to a root. Which of several signed a bare report is not asked. */
function leavesOf(
  { certificates }: NvidiaEvidence,
  endorsed: readonly Certificate[],
): readonly (readonly [Certificate, readonly Certificate[]])[] {
  const [leaf, ...others] = certificates
  if (leaf !== undefined) return [[leaf, others]]
  return endorsed
    .filter(hasFirmwareId)
    .slice(0, MAX_LEAVES)
    .map((one) => [one, endorsed.filter((other) => other !== one)])
}

async function rimQuestions(
  bytes: Uint8Array,
  names: readonly string[],
): Promise<readonly Question[]> {
  const rim = await readRim(bytes)
  if (rim === undefined || !names.some((name) => isNamed(rim, name))) return []
  const [signer, ...others] = rim.certificates
  const [path] = signer === undefined ? [] : orderChains(signer, others)
  return questionsOf(path ?? [])
}
