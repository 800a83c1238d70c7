/**
 * Keeps a simulated hierarchy in a directory, so that a development root outlives a restart.
 *
 * @packageDocumentation
 */
import { createPrivateKey, createPublicKey, type KeyObject, randomUUID } from 'node:crypto'
import { link, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fromBase64, toBase64 } from '../../../core/bytes/base64.ts'
import { equal } from '../../../core/bytes/bytes.ts'
import { type Blame, VouchsafeError } from '../../../core/errors.ts'
import { parseCertificate } from '../../../core/x509/certificate.ts'
import { checkValidity } from '../../../core/x509/chain.ts'
import { makeDirectory } from '../../files/make-directory.ts'
import { ifAbsent, readTextWithin } from '../../files/read.ts'
import {
  endorseHierarchy,
  type IntelHierarchy,
  type IntelPki,
  mintHierarchy,
  restoreHierarchy,
} from './pki.ts'

const FILE = 'simulated-intel-pki.json'
const BLAME: Blame = { code: 'ERR_STATE_INVALID', at: 'simulated.pki' }
const BOUND = { blame: BLAME, most: 64 * 1024, want: 'a directory of its own' }

/**
 * The hierarchy in a directory, made at the first start. Keys and certificates stay; CRLs, TCB Info
 * and QE Identity are minted for `now` each time, and so are never out of date.
 *
 * Processes that start together end up with the same one. Only its owner can read the file.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if the file is there and is not what was written,
 *   cannot be written, or its certificates are not valid at `now`.
 */
export async function loadSimulatedPki(dir: string, now: Date): Promise<IntelPki> {
  const path = join(dir, FILE)
  let text = await readTextWithin(path, BOUND).catch(ifAbsent)
  if (text === undefined) {
    await make(dir, path, serialize(mintHierarchy({ now })))
    // Read back: where another process was first, its file is the one that counts.
    text = await readTextWithin(path, BOUND)
  }
  const hierarchy = deserialize(text, path)
  const certificates = Object.values(hierarchy.certificates)
  const problem = checkValidity(
    certificates.map((der) => parseCertificate(der, BLAME)),
    now,
  )
  if (problem !== undefined) invalid(path, `${problem.expected}: ${problem.actual}`)
  return endorseHierarchy(hierarchy, { now })
}

function serialize({ keys, certificates }: IntelHierarchy): string {
  const stored = {
    keys: {
      root: exportKey(keys.root),
      platformCa: exportKey(keys.platformCa),
      pck: exportKey(keys.pck),
      tcbSigning: exportKey(keys.tcbSigning),
      attestation: exportKey(keys.attestation),
    },
    certificates: {
      root: toBase64(certificates.root),
      platformCa: toBase64(certificates.platformCa),
      pck: toBase64(certificates.pck),
      tcbSigning: toBase64(certificates.tcbSigning),
    },
  }
  return `${JSON.stringify(stored, undefined, 2)}\n`
}

function deserialize(text: string, path: string): IntelHierarchy {
  const stored = asObject(parseJson(text, path), path)
  const keys = asObject(stored['keys'], path)
  const certificates = asObject(stored['certificates'], path)
  const key = (name: string): KeyObject => importKey(bytesOf(keys, name, path), path)
  const kept = {
    keys: {
      root: key('root'),
      platformCa: key('platformCa'),
      pck: key('pck'),
      tcbSigning: key('tcbSigning'),
      attestation: key('attestation'),
    },
    certificates: {
      root: bytesOf(certificates, 'root', path),
      platformCa: bytesOf(certificates, 'platformCa', path),
      pck: bytesOf(certificates, 'pck', path),
      tcbSigning: bytesOf(certificates, 'tcbSigning', path),
    },
  }
  for (const name of ['root', 'platformCa', 'pck', 'tcbSigning'] as const) {
    const { spki } = parseCertificate(kept.certificates[name], BLAME).key
    const own = createPublicKey(kept.keys[name]).export({ format: 'der', type: 'spki' })
    if (!equal(spki, own)) invalid(path, `key and certificate of ${name} differ`)
  }
  return restoreHierarchy(kept)
}

async function make(dir: string, path: string, text: string): Promise<void> {
  try {
    await makeDirectory(dir, 0o700)
    await createOnce(path, text)
  } catch (cause) {
    throw new VouchsafeError(BLAME, `cannot write ${path}; name another directory`, { cause })
  }
}

/** Writes a whole file that only its owner may read, unless there is one by then. */
async function createOnce(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}`
  const file = await open(temporary, 'wx', 0o600)
  try {
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    // A link, unlike a rename, does not replace what is there.
    await link(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(temporary, { force: true })
  }
}

function exportKey(key: KeyObject): string {
  return toBase64(key.export({ format: 'der', type: 'pkcs8' }))
}

function importKey(der: Uint8Array, path: string): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
  } catch (cause) {
    throw new VouchsafeError(BLAME, `${path} holds a key that cannot be read`, { cause })
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new VouchsafeError(BLAME, `${path} is not JSON`, { cause })
  }
}

function asObject(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) invalid(path, 'a member is absent')
  return value as Readonly<Record<string, unknown>>
}

function bytesOf(
  parent: Readonly<Record<string, unknown>>,
  name: string,
  path: string,
): Uint8Array {
  const value = parent[name]
  if (typeof value !== 'string') invalid(path, `${name} is absent`)
  return fromBase64(value, BLAME)
}

function invalid(path: string, detail: string): never {
  throw new VouchsafeError(BLAME, `${path}: ${detail}; delete it to start with a new root`)
}
