/** A log in memory with real keys: what the tests of formats, roles and audits start from. */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import type { Signer } from '../../src/core/ports/crypto.ts'
import type { NoteSigner } from '../../src/core/tlog/cosignature.ts'
import { hashLeaf, rootAt, type Tree } from '../../src/core/tlog/merkle.ts'
import { encodeVkey, noteKey } from '../../src/core/tlog/note-key.ts'
import { type LogIdentity, signCheckpoint } from '../../src/core/tlog/open.ts'
import { hashPerfect } from '../../src/core/tlog/tiles.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'

const crypto = createCrypto()

export interface TestLog extends LogIdentity {
  readonly signers: readonly [ed25519: NoteSigner, mlDsa: NoteSigner]
  readonly vkeys: readonly [ed25519: string, mlDsa: string]
  /** A tree over entries. */
  tree(entries: readonly Uint8Array[]): Promise<Tree>
  /** A checkpoint over entries, signed by both keys. */
  sign(entries: readonly Uint8Array[], timestamp: number): Promise<string>
}

/** New keys for a log of this name. */
export async function createTestLog(origin: string): Promise<TestLog> {
  const ed25519 = signerOf('Ed25519', generateKeyPairSync('ed25519').privateKey)
  const mlDsa = signerOf('ML-DSA-44', generateKeyPairSync('ml-dsa-44').privateKey)
  const signers = [
    { key: await noteKey({ name: origin, type: 0x01, key: ed25519.key }, crypto), signer: ed25519 },
    { key: await noteKey({ name: origin, type: 0x06, key: mlDsa.key }, crypto), signer: mlDsa },
  ] as const
  return {
    origin,
    keys: signers.map(({ key }) => key),
    signers,
    vkeys: [encodeVkey(signers[0].key), encodeVkey(signers[1].key)],
    tree: treeOf,
    sign: async (entries, timestamp) => {
      const root = await rootAt(await treeOf(entries), entries.length)
      const checkpoint = { origin, size: entries.length, root, extensions: [] }
      return signCheckpoint(checkpoint, signers, timestamp)
    },
  }
}

async function treeOf(entries: readonly Uint8Array[]): Promise<Tree> {
  const leaves = await Promise.all(entries.map(async (entry) => hashLeaf(crypto, entry)))
  const node = async (level: number, index: number): Promise<Uint8Array> =>
    hashPerfect(crypto, leaves.slice(index * 2 ** level, (index + 1) * 2 ** level))
  return { hasher: crypto, node }
}

function signerOf(alg: 'Ed25519' | 'ML-DSA-44', privateKey: KeyObject): Signer {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  return {
    key: { alg, spki: new Uint8Array(spki) },
    sign: (data) => new Uint8Array(sign(null, data, privateKey)),
  }
}
