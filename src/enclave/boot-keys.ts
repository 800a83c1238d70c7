/**
 * Keys that live as long as the process and are never written down.
 *
 * @packageDocumentation
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import { generateReleaseKey, type ReleaseKeyPair } from '../core/keys/jwe.ts'
import type { Hasher, Signer } from '../core/ports/crypto.ts'
import { type Keyset, keysetDigest } from '../core/sealing/keyset.ts'
import { describeRing, type KeyRing } from './key-ring.ts'

/** Clocks differ; a keyset made now must be in force for a client that is a little behind. */
const CLOCK_SKEW_SECONDS = 60

export interface ReceiptKey {
  /** In the keyset, and in every receipt. */
  readonly name: string
  /** 32 bytes in hex. */
  readonly publicKeyHex: string
  readonly signer: Signer
}

export interface BootKeys {
  readonly receipt: ReceiptKey
  readonly release: ReleaseKeyPair
}

/** Fresh keys for receipts and for release. */
export async function makeBootKeys(): Promise<BootKeys> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ format: 'raw-public' })
  const spki = Uint8Array.from(publicKey.export({ type: 'spki', format: 'der' }))
  const signer: Signer = {
    key: { alg: 'Ed25519', spki },
    sign: (data) => Uint8Array.from(sign(null, data, privateKey)),
  }
  return {
    receipt: { name: 'r1', publicKeyHex: raw.toString('hex'), signer },
    release: await generateReleaseKey(),
  }
}

export interface KeysetInput {
  readonly subject: string | null
  readonly ring: KeyRing
  readonly keys: BootKeys
  readonly models: readonly { readonly id: string; readonly manifest: string }[]
  /** Unix seconds. */
  readonly now: number
  readonly notAfter: number
}

/** A keyset with its digest. */
export interface NamedKeyset {
  readonly keyset: Keyset
  /** `sha256:<hex>`. */
  readonly digest: string
}

/** Puts the public halves together (`spec/envelope.md` §10). */
export async function makeKeyset(input: KeysetInput, hasher: Hasher): Promise<NamedKeyset> {
  const { subject, ring, keys, models, now, notAfter } = input
  const { sealing, lives } = describeRing(ring)
  const keyset: Keyset = {
    subject,
    not_after: notAfter,
    receipt_signing_keys: [
      { key_id: keys.receipt.name, algo: 'ed25519', public_key: keys.receipt.publicKeyHex },
    ],
    e2ee_public_keys: sealing,
    // Plain HTTP on loopback or inside the provider's network: no key of TLS is vouched for.
    tls_public_keys: [],
    vouchsafe: {
      version: 1,
      not_before: now - CLOCK_SKEW_SECONDS,
      keys: lives,
      release_key: { algo: 'p256', public_key: keys.release.publicKeyHex },
      models,
    },
  }
  return { keyset, digest: await keysetDigest(keyset, hasher) }
}
