/**
 * What `vouchsafe serve --check` looks at: everything that a start would read, and nothing that it
 * would make. So a mistake is found before the service that runs is stopped for the one that will not.
 *
 * @packageDocumentation
 */
import { existsSync } from 'node:fs'
import { createCrypto } from '../drivers/crypto/node.ts'
import { readEndorsements } from '../drivers/endorsements/directory.ts'
import { openFileKek } from '../drivers/kek/file.ts'
import { systemRandom } from '../drivers/random.ts'
import { readSecretFile } from '../drivers/signer/file.ts'
import type { ServiceSettings } from './config.ts'
import { assertPrivate, type DataPaths, dataPaths } from './data-directory.ts'
import { loadAccess } from './tokens.ts'
import { loadTrustedIssuers } from './trust.ts'
import { loadVerifierDocuments } from './verifier.ts'

/**
 * Checks a configuration and what it names.
 *
 * @returns What works and may still surprise, a sentence each.
 * @throws {@link VouchsafeError} as a start would.
 */
export async function checkService(settings: ServiceSettings): Promise<readonly string[]> {
  const paths = dataPaths(settings.dataDirectory)
  loadAccess(settings)
  await loadTrustedIssuers(settings)
  const notes = [...silences(settings), ...(await checkVerifier(settings))]
  if (existsSync(paths.root)) checkData(paths)
  else notes.push(`${paths.root} will be made at the first start`)
  if (settings.roles.includes('keybroker')) await checkKek(settings, paths)
  return notes
}

/** Nothing is open by default; that what is closed was meant to be is not for us to know. */
function silences({ mode, roles, operators, providerTokens, log }: ServiceSettings): string[] {
  const notes: string[] = []
  if (mode === 'development') return notes
  if (roles.includes('keybroker') && operators === undefined) {
    notes.push('no operators: nobody can make keys or client API keys')
  }
  if (roles.includes('gateway') && providerTokens === undefined) {
    notes.push('no providerTokens: no enclave can be registered')
  }
  if (log.origin.startsWith('vouchsafe.localhost')) {
    notes.push(`log.origin is ${log.origin}: it cannot be changed once the log has begun`)
  }
  return notes
}

async function checkVerifier(settings: ServiceSettings): Promise<string[]> {
  if (!settings.roles.includes('verifier')) return []
  await loadVerifierDocuments(settings, createCrypto())
  const { ignored } = await readEndorsements(settings.verifier.endorsements)
  return ignored.map((path) => `${path} holds no endorsement and is passed over`)
}

/** Modes and owners; whether keys are what they should be is seen when they are used. */
function checkData(paths: DataPaths): void {
  assertPrivate(paths)
  const { earKey, challengeSecret, logKey, logKeyPq } = paths
  for (const path of [earKey, challengeSecret, logKey, logKeyPq]) {
    if (existsSync(path)) readSecretFile(path)
  }
}

async function checkKek({ keybroker }: ServiceSettings, { kek }: DataPaths): Promise<void> {
  const { kekPassphrase } = keybroker
  const passphrase = kekPassphrase === undefined ? undefined : readSecretFile(kekPassphrase)
  // Where there is none yet, what would be written is made and thrown away.
  const file = (make: () => string): string => (existsSync(kek) ? readSecretFile(kek) : make())
  await openFileKek({ file, passphrase: passphrase?.trimEnd(), random: systemRandom })
}
