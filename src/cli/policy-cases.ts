/**
 * Runs the cases that stand beside a policy. Evidence in files is appraised here; cases that ask for
 * minted evidence are counted and left to the tests, since no program that verifies should be able to
 * forge.
 *
 * @packageDocumentation
 */
import { dirname, join } from 'node:path'
import type { AppraisalInput } from '../core/appraisal/appraise.ts'
import type { Policy } from '../core/appraisal/policy.ts'
import { type PolicyCase, parseCases, runCase } from '../core/appraisal/policy-cases.ts'
import { VENDOR_ANCHORS } from '../core/endorsements/anchors.ts'
import { createMemo } from '../core/evidence/common/memo.ts'
import { openEvidence } from '../core/evidence/formats.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { readEndorsements } from '../drivers/endorsements/directory.ts'
import { ifAbsent } from '../drivers/files/read.ts'
import type { CliContext } from './context.ts'
import { readWithin } from './input-file.ts'
import { readInput } from './inputs.ts'

export interface CasesRun {
  readonly file: string
  readonly passed: number
  /** Cases for which there is no evidence on this machine. */
  readonly minted: number
  readonly failed: readonly { readonly name: string; readonly difference: string }[]
}

const MAX_BYTES = 1024 * 1024
const SHARED = '$VOUCHSAFE_SHARED'

/**
 * Runs `<policy>.cases.json`.
 *
 * @returns `null` if there is no such file.
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID` if it holds anything but cases.
 */
export async function runCases(
  policyFile: string,
  policy: Policy,
  context: CliContext,
): Promise<CasesRun | null> {
  const file = policyFile.replace(/\.json$/, '.cases.json')
  const text = await readText(file)
  if (text === undefined) return null
  const failed: { name: string; difference: string }[] = []
  let passed = 0
  let minted = 0
  for (const one of parseCases(text)) {
    const input = await inputOf(one, { file, policy }, context)
    if (input === undefined) {
      minted++
      continue
    }
    const tools = { crypto: createCrypto(), memo: createMemo(0) }
    const difference = await runCase(one, input, tools)
    if (difference === undefined) passed++
    else failed.push({ name: one.name, difference })
  }
  return { file, passed, minted, failed }
}

async function inputOf(
  { evidence, referenceValues }: PolicyCase,
  { file, policy }: { readonly file: string; readonly policy: Policy },
  context: CliContext,
): Promise<AppraisalInput | undefined> {
  if (!('capture' in evidence)) return undefined
  const shared = context.env['VOUCHSAFE_SHARED']
  const { evidence: capture, endorsements, at } = evidence.capture
  const needsShared = [capture, ...endorsements].some((path) => path.startsWith(SHARED))
  if (needsShared && shared === undefined) return undefined
  const locate = (path: string): string =>
    path.startsWith(SHARED)
      ? `${shared ?? ''}${path.slice(SHARED.length)}`
      : join(dirname(file), path)
  const unchecked = { unchecked: 'a case of the policy' }
  return {
    format: policy.format,
    evidence: openEvidence(await readInput(locate(capture), context), policy.format).evidence,
    endorsements: (await readEndorsements(endorsements.map(locate))).endorsements,
    referenceValues,
    policy,
    binding: { nonce: unchecked, reportData: unchecked },
    anchors: VENDOR_ANCHORS,
    now: new Date(at),
  }
}

async function readText(file: string): Promise<string | undefined> {
  // A policy without cases is allowed; one whose cases cannot be read is not.
  const bytes = await readWithin(file, { flag: 'policy', most: MAX_BYTES }).catch(ifAbsent)
  return bytes && new TextDecoder().decode(bytes)
}
