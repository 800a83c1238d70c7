/** `vouchsafe/log`: checkpoints, proofs and leaves of a transparency log. @packageDocumentation */
export { type Checkpoint, encodeCheckpoint, parseCheckpoint } from '../core/tlog/checkpoint.ts'
export { decodeLeaf, encodeLeaf, type Leaf } from '../core/tlog/leaf.ts'
export { requireConsistency, requireInclusion } from '../core/tlog/merkle-check.ts'
export { encodeVkey, type NoteKey, parseVkey } from '../core/tlog/note-key.ts'
export { type LogIdentity, openCheckpoint, openNote } from '../core/tlog/open.ts'
export { encodeProof, parseProof, requireLogged, type TlogProof } from '../core/tlog/proof.ts'
