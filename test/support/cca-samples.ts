/** The Arm CCA samples of the shared folder, read in place. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { sharedDir } from './shared.ts'

export interface Facts {
  readonly tag: number
  readonly platformAlg: number
  readonly platformSigValidWith: string
  readonly platformProfile: string
  readonly platformNonceLen: number
  readonly realmSigValidWithRAK: boolean
  readonly realmChallengeLen: number
  readonly rakHashAlg: string
  readonly binderOk: boolean
  readonly challenge: string
}

export interface Sample {
  readonly file: string
  readonly tee: string
  readonly role: string
  readonly size: number
  readonly expected_verdict: string
  readonly facts?: Facts
}

export const dir = sharedDir()
export const read = (file: string) =>
  new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
export const readJson = (file: string) => JSON.parse(new TextDecoder().decode(read(file))) as Json
const policyFile = join(import.meta.dirname, '../../policies/authentic-arm-cca.json')
export const policy = parsePolicy(JSON.parse(readFileSync(policyFile, 'utf8')) as Json)

function load(): readonly Sample[] {
  if (dir === undefined) return []
  const { files } = readJson('MANIFEST.json') as unknown as { files: readonly Sample[] }
  return files.filter(({ tee, role }) => tee === 'cca' && role.startsWith('evidence'))
}

export const samples = load()
export const tokens = samples.filter(
  (sample): sample is Sample & { facts: Facts } => sample.facts !== undefined,
)
export const claimSets = samples.filter(({ facts, file }) => !facts && file.endsWith('.cbor'))
export const jsonClaims = samples.filter(({ file }) => file.startsWith('cca/json-platform/'))
