/**
 * One leaf with everything needed to judge it, in one file: its proof, the blobs it names, and the
 * appraisals a release rests on. Whoever gets it needs the log's key and no network.
 *
 * @packageDocumentation
 */
import { listOf, record, text, type ValueType } from '../appraisal/policy-field.ts'
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { utf8 } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { canonicalJson, type Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import { VouchsafeError } from '../errors.ts'
import { decodeDecisionInput } from '../keys/decision-record.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import { type AppraisalLeaf, type Digest, decodeLeaf, type Leaf } from '../tlog/leaf.ts'
import { inclusionProof } from '../tlog/merkle.ts'
import { encodeNote } from '../tlog/note.ts'
import { type LogIdentity, type OpenedCheckpoint, openCheckpoint } from '../tlog/open.ts'
import { encodeProof, parseProof, requireLogged } from '../tlog/proof.ts'
import { malformed } from '../tlog/text.ts'
import { TILE_WIDTH, widthIn } from '../tlog/tiles.ts'
import { blobsOf, type ReplayOutcome, type ReplayTools, replayLeaf } from './replay.ts'
import { type LogSource, readBlob, readBundle, readCheckpoint, treeOfSource } from './source.ts'
import { appraisalIndexesOf, claimsOfEar, keysetBlobOf } from './vouched.ts'

/** Version 1 is the only one. */
interface Bundle {
  readonly bundle: string
  /** The leaf it is about, then the appraisals that it rests on, if any. As `tlog-proof` texts. */
  readonly proofs: readonly string[]
  /** Standard base64, each once. */
  readonly blobs: readonly string[]
}

const KIND = 'vouchsafe-audit-bundle-v1'
/** Of a bundle. */
export const MAX_BUNDLE_BYTES = 64 * 1024 * 1024

const BUNDLE: ValueType<Bundle & Readonly<Record<string, unknown>>> = record({
  bundle: text(new RegExp(`^${KIND}$`)),
  proofs: listOf(text(/^/)),
  blobs: listOf(text(/^/), 0),
})

/** Where bundles come from. */
export interface BundleOrigin {
  readonly source: LogSource
  readonly log: LogIdentity
  readonly crypto: CryptoProvider
}

/**
 * Writes the bundle of one leaf.
 *
 * @throws {@link VouchsafeError} `ERR_RESOURCE_NOT_FOUND` if the log has no such leaf;
 *   `ERR_LOG_INCONSISTENT` if a blob is absent; whatever else the log does wrong.
 */
export async function createBundle(origin: BundleOrigin, index: number): Promise<string> {
  const { source, log, crypto } = origin
  const opened = await openCheckpoint(await readCheckpoint(source), log, crypto)
  const first = await proveLeaf(origin, index, opened)
  const leaves = [first]
  const { appraisals, keyset } = await restsOn(first.leaf, origin)
  for (const at of appraisals) leaves.push(await proveLeaf(origin, at, opened))
  const digests = new Set(leaves.flatMap(({ leaf }) => blobsOf(leaf)))
  if (keyset !== undefined) digests.add(keyset)
  const blobs: string[] = []
  for (const digest of digests) blobs.push(toBase64(await readBlob(source, digest, crypto)))
  return `${canonicalJson({ bundle: KIND, proofs: leaves.map(({ proof }) => proof), blobs })}\n`
}

/** What a bundle shows. */
export interface BundleVerdict {
  readonly index: number
  readonly leaf: Leaf
  readonly checkpoint: OpenedCheckpoint
  readonly replay: ReplayOutcome
}

/**
 * Verifies a bundle: the leaf is in the log, the blobs are those it names, and the decision follows
 * from them.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED`, `ERR_LOG_UNTRUSTED`, `ERR_LOG_INCONSISTENT`.
 */
export async function verifyBundle(
  bytes: Uint8Array,
  log: LogIdentity,
  tools: Omit<ReplayTools, 'source' | 'appraisalAt'>,
): Promise<BundleVerdict> {
  const { proofs, blobs } = parseBundle(bytes)
  const leaves = new Map<number, Leaf>()
  let first: Omit<BundleVerdict, 'replay'> | undefined
  for (const [i, proof] of proofs.entries()) {
    const logged = await openLeaf({ text: proof, at: `bundle.proofs[${i}]` }, log, tools.crypto)
    leaves.set(logged.index, logged.leaf)
    first ??= logged
  }
  if (first === undefined) throw new VouchsafeError(malformed('bundle.proofs'), 'absent')
  const source = await sourceOf(blobs, tools.crypto)
  const { index } = first
  const appraisalAt = (at: number): AppraisalLeaf | undefined => {
    const leaf = at < index ? leaves.get(at) : undefined
    return leaf?.type === 'appraisal' ? leaf : undefined
  }
  // The appraisals below a release are judged as well: a release is no better than what it rests on.
  for (const leaf of [...leaves.values()].toReversed()) {
    const replay = await replayLeaf(leaf, { ...tools, source, appraisalAt })
    if (leaf === first.leaf || replay.outcome !== 'same') return { ...first, replay }
  }
  throw new TypeError('unreachable: the first leaf is in the map')
}

async function openLeaf(
  { text: proofText, at }: { readonly text: string; readonly at: string },
  log: LogIdentity,
  crypto: CryptoProvider,
): Promise<Omit<BundleVerdict, 'replay'>> {
  const proof = parseProof(utf8(proofText))
  // Not authenticated by itself: the inclusion proof is what makes it so.
  if (proof.extra === undefined) throw new VouchsafeError(malformed(`${at}.extra`), 'absent')
  const checkpoint = await requireLogged({ entry: proof.extra, proof }, log, crypto)
  return { index: proof.index, leaf: decodeLeaf(proof.extra), checkpoint }
}

async function proveLeaf(
  { source, crypto }: BundleOrigin,
  index: number,
  opened: OpenedCheckpoint,
): Promise<{ readonly leaf: Leaf; readonly proof: string }> {
  const { size } = opened.checkpoint
  if (index >= size) {
    const blame = { code: 'ERR_RESOURCE_NOT_FOUND', at: 'log.index' } as const
    throw new VouchsafeError(blame, `the log has ${size} leaves`)
  }
  const bundle = Math.floor(index / TILE_WIDTH)
  const width = widthIn(size, 'entries', bundle)
  const entries = await readBundle(source, { level: 'entries', index: bundle, width })
  const entry = entries[index % TILE_WIDTH] ?? new Uint8Array()
  const hashes = await inclusionProof(treeOfSource(source, crypto, size), index, size)
  const checkpoint = encodeNote(opened.note)
  return {
    leaf: decodeLeaf(entry),
    proof: encodeProof({ extra: entry, index, hashes, checkpoint }),
  }
}

/** The appraisals under a release or a keyset, and the keyset that a release was for. */
async function restsOn(
  leaf: Leaf,
  { source, crypto }: BundleOrigin,
): Promise<{ readonly appraisals: readonly number[]; readonly keyset?: Digest | undefined }> {
  if (leaf.type === 'keyset') {
    const claims = claimsOfEar(await readBlob(source, leaf.ear, crypto))
    return { appraisals: appraisalIndexesOf(claims) }
  }
  if (leaf.type !== 'release') return { appraisals: [] }
  const decision = decodeDecisionInput(await readBlob(source, leaf.decision, crypto))
  return { appraisals: appraisalIndexesOf(decision.claims), keyset: keysetBlobOf(decision) }
}

function parseBundle(bytes: Uint8Array): Bundle {
  const blame = malformed('bundle')
  if (bytes.length > MAX_BUNDLE_BYTES) throw new VouchsafeError(blame, 'too long')
  const value: Json = parseJson(decodeUtf8(bytes, blame), blame)
  return BUNDLE.parse(value, blame)
}

/** The bundle's blobs as a source, named by what they hash to: a label could lie. */
async function sourceOf(blobs: readonly string[], crypto: CryptoProvider): Promise<LogSource> {
  const files = new Map<string, Uint8Array>()
  for (const [i, blob] of blobs.entries()) {
    const bytes = fromBase64(blob, malformed(`bundle.blobs[${i}]`))
    files.set(`blobs/sha256/${toHex(await crypto.digest('SHA-256', bytes))}`, bytes)
  }
  return { read: async (path) => files.get(path) }
}
