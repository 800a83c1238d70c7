/**
 * Checking Merkle proofs. A proof is read from the root down, by the recursion that defines the tree:
 * each step takes one hash off its end, and a hash too many or too few is a refusal.
 *
 * @packageDocumentation
 */
import { equal } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type { Hasher } from '../ports/crypto.ts'
import { emptyRoot, HASH_SIZE, hashNode, isCount, split } from './merkle.ts'

const CONSISTENCY = 'log.proof.consistency'

/** What a proof says, from top to bottom. */
export interface InclusionClaim {
  readonly index: number
  readonly size: number
  readonly leafHash: Uint8Array
  readonly root: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/**
 * Passes if the leaf is at `index` of the tree that has this size and root.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_INCONSISTENT` if it is not, or if the proof is not exactly
 *   as long as index and size imply.
 * @see RFC 9162 §2.1.3.2
 */
export async function requireInclusion(hasher: Hasher, claim: InclusionClaim): Promise<void> {
  await requireSubtreeInclusion(hasher, { ...claim, start: 0, end: claim.size })
}

/** Inclusion in the subtree over `D[start:end]`, whose hash is `root`. */
export type SubtreeInclusionClaim = Omit<InclusionClaim, 'size'> & {
  readonly start: number
  readonly end: number
}

/**
 * {@link requireInclusion} for a subtree.
 *
 * @see draft-ietf-plants-merkle-tree-certs, "Subtree Inclusion Proofs"
 */
export async function requireSubtreeInclusion(
  hasher: Hasher,
  { index, start, end, leafHash, root, proof }: SubtreeInclusionClaim,
): Promise<void> {
  const at = 'log.proof.inclusion'
  requireSubtree({ start, end, at })
  if (!isCount(index) || index < start || index >= end) refuse(at, 'index outside the tree')
  if (leafHash.length !== HASH_SIZE) refuse(at, 'leaf hash is not 32 bytes')
  const rest = new Proof(proof, at)
  const walk = async (position: number, size: number): Promise<Uint8Array> => {
    if (size === 1) return leafHash
    const left = split(size)
    const sibling = rest.pop()
    return position < left
      ? hashNode(hasher, await walk(position, left), sibling)
      : hashNode(hasher, sibling, await walk(position - left, size - left))
  }
  const computed = await walk(index - start, end - start)
  rest.end()
  if (!equal(computed, root)) refuse(at, 'root differs')
}

export interface ConsistencyClaim {
  readonly oldSize: number
  readonly size: number
  readonly oldRoot: Uint8Array
  readonly root: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/**
 * Passes if the older tree is a prefix of the newer one. An older tree of size 0 is refused, since
 * it proves nothing; a witness, which must accept it, handles it before it comes here.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_INCONSISTENT`.
 * @see RFC 9162 §2.1.4.2
 */
export async function requireConsistency(hasher: Hasher, claim: ConsistencyClaim): Promise<void> {
  const { oldSize, size, oldRoot, root, proof } = claim
  if (oldSize === 0) refuse(CONSISTENCY, 'nothing is proved about an empty tree')
  const subtree = { start: 0, end: oldSize, size, hash: oldRoot, root, proof }
  await requireSubtreeConsistency(hasher, subtree)
}

/** `hash` is over `D[start:end]`, `root` over `D[0:size]`. */
export interface SubtreeConsistencyClaim {
  readonly start: number
  readonly end: number
  readonly size: number
  readonly hash: Uint8Array
  readonly root: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/**
 * {@link requireConsistency} for a subtree. The empty subtree is consistent with every tree.
 *
 * @see draft-ietf-plants-merkle-tree-certs, "Subtree Consistency Proofs"
 */
export async function requireSubtreeConsistency(
  hasher: Hasher,
  { start, end, size, hash, root, proof }: SubtreeConsistencyClaim,
): Promise<void> {
  const at = CONSISTENCY
  if (!isCount(size) || end > size) refuse(at, 'the tree is smaller than its subtree')
  const rest = new Proof(proof, at)
  if (isCount(start) && start === end) {
    rest.end()
    if (!equal(hash, await emptyRoot(hasher))) refuse(at, 'not the empty root')
    return
  }
  requireSubtree({ start, end, at })
  const walk = async (range: SubRange): Promise<Both> => {
    if (range.start === 0 && range.end === range.size) {
      const known = range.whole ? hash : rest.pop()
      return { part: known, all: known }
    }
    const sibling = rest.pop()
    const left = split(range.size)
    if (range.end <= left) {
      const below = await walk({ ...range, size: left })
      return { part: below.part, all: await hashNode(hasher, below.all, sibling) }
    }
    const below = await walk(rightHalf(range, left))
    const all = await hashNode(hasher, sibling, below.all)
    // The subtree reaches over the split only if it starts at 0, and then the left half is in it.
    const reaches = range.start < left
    return { part: reaches ? await hashNode(hasher, sibling, below.part) : below.part, all }
  }
  const computed = await walk({ start, end, size, whole: true })
  rest.end()
  if (!equal(computed.part, hash)) refuse(at, 'older root differs')
  if (!equal(computed.all, root)) refuse(at, 'newer root differs')
}

/** Hashes of the part of the subtree in some range, and of the whole range. */
interface Both {
  readonly part: Uint8Array
  readonly all: Uint8Array
}

interface SubRange {
  readonly start: number
  readonly end: number
  readonly size: number
  /** Whether all of the subtree lies in this range, so that its hash is the one we were given. */
  readonly whole: boolean
}

function rightHalf({ start, end, size, whole }: SubRange, left: number): SubRange {
  const reaches = start < left
  return {
    start: reaches ? 0 : start - left,
    end: end - left,
    size: size - left,
    whole: whole && !reaches,
  }
}

/** Consumed from the root down; a hash too many or too few is an error, not a detail. */
class Proof {
  readonly #hashes: readonly Uint8Array[]
  readonly #at: string
  #left: number

  constructor(hashes: readonly Uint8Array[], at: string) {
    this.#hashes = hashes
    this.#at = at
    this.#left = hashes.length
  }

  pop(): Uint8Array {
    const hash = this.#hashes[--this.#left]
    if (hash === undefined) refuse(this.#at, 'proof too short')
    if (hash.length !== HASH_SIZE) refuse(this.#at, 'proof hash is not 32 bytes')
    return hash
  }

  end(): void {
    if (this.#left !== 0) refuse(this.#at, 'proof too long')
  }
}

/** A subtree starts at a multiple of the smallest power of two that is not below its size. */
function requireSubtree(range: { start: number; end: number; at: string }): void {
  const { start, end, at } = range
  if (!isCount(start) || !isCount(end) || start >= end) refuse(at, 'empty or impossible range')
  if (start === 0) return
  let width = 1
  while (width < end - start) width *= 2
  if (start % width !== 0) refuse(at, 'not a subtree')
}

function refuse(at: string, detail: string): never {
  throw new VouchsafeError({ code: 'ERR_LOG_INCONSISTENT', at }, detail)
}
