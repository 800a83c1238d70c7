/**
 * Chooses the chain of the certificate that signed a report, up to NVIDIA's root of device identities:
 * leaf, boot ROM, provisioner, family, root.
 *
 * @packageDocumentation
 */
import { toHex } from '../../bytes/hex.ts'
import { VouchsafeError } from '../../errors.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { createPathCheck, orderChains, type Problem } from '../../x509/chain.ts'
import type { AuthenticationContext } from '../common/format.ts'
import type { NvidiaEvidence } from './evidence.ts'
import { readFirmwareId } from './fwid.ts'
import type { SpdmReport } from './spdm.ts'

export interface DeviceChain {
  readonly leaf: Certificate
  /** Leaf first. Holds only if there is no `problem`. */
  readonly path: readonly Certificate[]
  /** SHA-256 over the last certificate of the path. */
  readonly rootDigest: string
  readonly pinned: boolean
  readonly problem: Problem | undefined
  /** Does the leaf's key verify the report's signature? */
  readonly signed: boolean
}

const LENGTH = 5
/** Signatures tried, for a bare report. */
const MAX_LEAVES = 16
const MALFORMED = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'nvidia.certificate' } as const

/**
 * The chain of the evidence; for a bare report, of whichever endorsed certificate verifies it.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` for a bare report without any
 *   certificate of a device.
 */
export async function chooseChain(
  { report, certificates }: NvidiaEvidence,
  context: AuthenticationContext,
): Promise<DeviceChain> {
  const [leaf] = certificates
  if (leaf !== undefined) return chainOf(leaf, { others: certificates, report, context })
  const endorsed = readAll(context)
  const leaves = endorsed.filter(hasFirmwareId).slice(0, MAX_LEAVES)
  const [first] = leaves
  if (first === undefined) {
    throw new VouchsafeError(
      { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'nvidia.certificate' },
      'no certificate of the device; give the JSON of NVIDIA’s tools, or the chain as an endorsement',
    )
  }
  const signed = await Promise.all(leaves.map(async (one) => isSigner(one, report, context)))
  const signer = leaves[signed.indexOf(true)] ?? first
  return chainOf(signer, { others: endorsed, report, context })
}

async function chainOf(
  leaf: Certificate,
  {
    others,
    report,
    context,
  }: {
    readonly others: readonly Certificate[]
    readonly report: SpdmReport
    readonly context: AuthenticationContext
  },
): Promise<DeviceChain> {
  const { crypto, anchors } = context
  const signed = await isSigner(leaf, report, context)
  const rest = others.filter((one) => one !== leaf)
  const check = createPathCheck(crypto)
  let best: DeviceChain | undefined
  for (const path of orderChains(leaf, rest)) {
    const rootDigest = toHex(await crypto.digest('SHA-256', (path.at(-1) ?? leaf).der))
    const pinned = anchors.nvidia.device.includes(rootDigest)
    const problem =
      lengthProblem(path) ?? leafProblem(leaf) ?? (await pathProblem(path, check, context))
    const found = { leaf, path, rootDigest, pinned, problem, signed }
    if (problem === undefined && pinned) return found
    best ??= found
  }
  return best ?? broken(leaf, signed)
}

/** Nothing leads from the leaf to a root. */
function broken(leaf: Certificate, signed: boolean): DeviceChain {
  const problem = { expected: `${LENGTH} certificates to a root`, actual: 'the chain breaks off' }
  return { leaf, path: [leaf], rootDigest: 'absent', pinned: false, problem, signed }
}

function lengthProblem({ length }: readonly Certificate[]): Problem | undefined {
  return length === LENGTH
    ? undefined
    : { expected: `${LENGTH} certificates to a root`, actual: `${length}` }
}

/** What signs reports issues nothing, and a key that is for issuing signs no report. */
function leafProblem({ subjectName, isCa, keyUsage }: Certificate): Problem | undefined {
  if (isCa) return { expected: `${subjectName} is no CA`, actual: 'a CA' }
  if (keyUsage === undefined || keyUsage.has('digitalSignature')) return undefined
  return { expected: `${subjectName} may sign`, actual: 'keyUsage lacks digitalSignature' }
}

async function pathProblem(
  path: readonly Certificate[],
  check: ReturnType<typeof createPathCheck>,
  { crypto, memo }: AuthenticationContext,
): Promise<Problem | undefined> {
  const digests = await Promise.all(path.map(async ({ der }) => crypto.digest('SHA-256', der)))
  return memo.once(`nvidia.path:${digests.map(toHex).join()}`, async () => {
    try {
      return await check(path)
    } catch (error) {
      if (!(error instanceof VouchsafeError)) throw error
      return { expected: 'certificates with usable keys', actual: error.at }
    }
  })
}

async function isSigner(
  { key }: Certificate,
  { signature, transcript }: SpdmReport,
  { crypto }: AuthenticationContext,
): Promise<boolean> {
  // SPDM names no algorithm here; NVIDIA's devices have but one.
  if (key.alg !== 'ES384') return false
  try {
    return await crypto.verify(key, signature, transcript)
  } catch (error) {
    // A key that is no point verifies nothing.
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

/** Is it a leaf? Those alone name the firmware that made them. */
export function hasFirmwareId(certificate: Certificate): boolean {
  try {
    return readFirmwareId(certificate) !== undefined
  } catch (error) {
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

function readAll({ endorsements }: AuthenticationContext): readonly Certificate[] {
  return endorsements.certificates.flatMap((der) => {
    try {
      return [parseCertificate(der, MALFORMED)]
    } catch (error) {
      // Of another hierarchy, or broken: the same as not there.
      if (error instanceof VouchsafeError) return []
      throw error
    }
  })
}
