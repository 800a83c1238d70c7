/** The NVIDIA samples of the shared folder, read in place. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { AuthenticationContext } from '../../src/core/evidence/common/format.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { examineDevice } from '../../src/core/evidence/nvidia-spdm/authenticate.ts'
import {
  type NvidiaEvidence,
  parseDevice,
  splitDevices,
} from '../../src/core/evidence/nvidia-spdm/evidence.ts'
import { CRYPTO } from './nvidia.ts'
import { sharedDir } from './shared.ts'

export interface DeviceFacts {
  readonly len: number
  readonly requesterNonce: string
  readonly measBlocks: number
  readonly trailingBytes: number
  readonly chainLen: number
  readonly sigValid: boolean
}
export interface RimFacts {
  readonly name: string
  readonly digestMatches: boolean
  readonly signedInfoSigValid: boolean
  readonly chainSigsValid: boolean
  readonly earliestNotAfter: string
}
export interface Sample<F> {
  readonly file: string
  readonly tee: string
  readonly role: string
  readonly expected_verdict?: string
  readonly facts: F & { readonly chainFile?: string; readonly first?: DeviceFacts }
}

export const dir = sharedDir()
export const read = (file: string) =>
  new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
export function load<F>(wanted: (sample: Sample<F>) => boolean): readonly Sample<F>[] {
  if (dir === undefined) return []
  const { files } = JSON.parse(new TextDecoder().decode(read('MANIFEST.json'))) as {
    files: readonly Sample<F>[]
  }
  return files.filter((sample) => sample.tee === 'nvidia' && wanted(sample))
}
export const reports = load<DeviceFacts>(({ role }) => role.startsWith('evidence'))
export const rims = load<RimFacts>(({ file }) => /\.(xml|swidtag)$/.test(file))

export const AT = new Date('2026-11-24T12:00:00Z')
export const context = (change: Partial<AuthenticationContext> = {}): AuthenticationContext => ({
  endorsements: NO_ENDORSEMENTS,
  anchors: VENDOR_ANCHORS,
  now: AT,
  crypto: CRYPTO,
  memo: createMemo(0),
  ...change,
})
export const kindOf = (file: string) => (file.includes('switch') ? 'switch' : 'gpu')
/** The devices of a sample, and the certificates that come in a file of their own. */
export function devices({ file, facts }: Sample<DeviceFacts>) {
  const bytes = file.endsWith('.txt') ? openEvidence(read(file)).evidence : read(file)
  const chain = facts.chainFile
  const endorsements =
    chain === undefined
      ? NO_ENDORSEMENTS
      : collectEndorsements([{ name: chain, bytes: read(chain) }]).endorsements
  const parsed = splitDevices(bytes).map((one) => parseDevice(one, kindOf(file)))
  return { parsed, endorsements }
}
export const failing = (checks: readonly { readonly id: string; readonly outcome: string }[]) =>
  checks.filter(({ outcome }) => outcome !== 'pass').map(({ id }) => id.replace(/^nv\w+\./, ''))
export const show = async (evidence: NvidiaEvidence, change: Partial<AuthenticationContext>) =>
  failing((await examineDevice(evidence, { prefix: 'nvgpu' }, context(change))).checks)
