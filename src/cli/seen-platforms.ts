/** The platforms that a verifier has seen lately, from its log and what is stored beside it. @packageDocumentation */

import { type Policy, parsePolicy } from '../core/appraisal/policy.ts'
import { decodeResult } from '../core/appraisal/record.ts'
import type { AttestationResult } from '../core/appraisal/result.ts'
import { type LogSource, readBlob } from '../core/audit/source.ts'
import { auditLog, readLeaf } from '../core/audit/verify-log.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import {
  type EndorsementSet,
  endorsementsFromJson,
  NO_ENDORSEMENTS,
} from '../core/endorsements/endorsement-set.ts'
import type { Blame } from '../core/errors.ts'
import type { FormatId } from '../core/evidence/common/format-ids.ts'
import {
  parseReferenceValues,
  type ReferenceValueSet,
} from '../core/reference-values/reference-values.ts'
import type { AppraisalLeaf } from '../core/tlog/leaf.ts'
import type { LogIdentity } from '../core/tlog/open.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { openSource } from './log-source.ts'

/** Evidence of one platform, the newest of it, and what it was appraised by. */
export interface SeenPlatform {
  readonly name: string
  readonly format: FormatId
  readonly evidence: Uint8Array
  readonly seenAt: Date
  /** What does not grow old: certificates and keys that came with it. */
  readonly given: EndorsementSet
  readonly policy: Policy
  readonly referenceValues: readonly ReferenceValueSet[]
}

export interface Seen {
  readonly platforms: readonly SeenPlatform[]
  /** Appraisals of that time, of evidence that was not authentic: of no platform that is known. */
  readonly strangers: number
}

const BLAME: Blame = { code: 'ERR_LOG_MALFORMED', at: 'log.blob' }
const crypto = createCrypto()
/** Passports have a `ueid` too, which says what another verifier saw. */
const DEVICES: readonly FormatId[] = ['nvidia-gpu', 'nvidia-switch']
const VTPMS: readonly FormatId[] = ['azure-snp-vtpm', 'azure-tdx-vtpm']

/**
 * The platforms of all appraisals since a time, each once. The whole log is checked on the way.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_…` as `audit verify`, and for a blob that is not there.
 */
export async function seenPlatforms(where: string, log: LogIdentity, since: Date): Promise<Seen> {
  const opened = await openSource(where)
  try {
    const leaves = await leavesSince({ source: opened.source, log }, since)
    const platforms = new Map<string, SeenPlatform>()
    let strangers = 0
    for (const leaf of leaves) {
      const result = decodeResult(await readBlob(opened.source, leaf.result, crypto))
      const id = platformOf(result)
      if (id === undefined) strangers++
      else if (!platforms.has(id)) platforms.set(id, await readPlatform(leaf, id, opened.source))
    }
    return { platforms: [...platforms.values()], strangers }
  } finally {
    await opened.close()
  }
}

/**
 * Claims of the hardware: of an Azure confidential VM those below its vTPM, and all of them otherwise.
 */
export function hardwareOf({ format, claims }: AttestationResult): Json {
  if (!VTPMS.includes(format) || typeof claims !== 'object' || claims === null) return claims
  return (claims as Readonly<Record<string, Json>>)['hardware'] ?? null
}

/**
 * Which machine a result is about: PPID or chip id; for a GPU or switch, the device.
 *
 * @returns `undefined` if the evidence was not authenticated, so that it could be anybody's.
 */
export function platformOf(result: AttestationResult): string | undefined {
  const { format } = result
  const claims = hardwareOf(result)
  const member = (value: Json | undefined, name: string): Json | undefined =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, Json>>)[name]
      : undefined
  const ids: Readonly<Record<string, Json | undefined>> = {
    ppid: member(member(claims, 'platform'), 'ppid'),
    chip: member(claims, 'CHIP_ID'),
    instance: member(member(claims, 'platform'), 'instance_id'),
    module: member(claims, 'module_id'),
    device: DEVICES.includes(format) ? member(claims, 'ueid') : undefined,
  }
  for (const [kind, id] of Object.entries(ids)) {
    // A masked chip id is all zeros, for every chip.
    if (typeof id === 'string' && !/^0*$/.test(id)) return `${format} ${kind} ${id}`
  }
  return undefined
}

/** Newest first; evidence that was appraised again is there once. */
async function leavesSince(
  { source, log }: { readonly source: LogSource; readonly log: LogIdentity },
  since: Date,
): Promise<readonly AppraisalLeaf[]> {
  const found = new Map<string, AppraisalLeaf>()
  const onEntry = (index: number, entry: Uint8Array): void => {
    const leaf = readLeaf(index, entry)
    if (leaf.type !== 'appraisal' || leaf.time * 1000 < since.getTime()) return
    const [evidence, ...more] = leaf.evidence
    if (evidence !== undefined && more.length === 0) found.set(evidence.digest, leaf)
  }
  await auditLog({ source, log, crypto, onEntry })
  return [...found.values()].sort((a, b) => b.time - a.time)
}

async function readPlatform(
  leaf: AppraisalLeaf,
  name: string,
  source: LogSource,
): Promise<SeenPlatform> {
  const blob = async (digest: string): Promise<Uint8Array> => readBlob(source, digest, crypto)
  const json = async (digest: string): Promise<Json> =>
    parseJson(new TextDecoder().decode(await blob(digest)), BLAME)
  const [evidence] = leaf.evidence
  const recorded = endorsementsFromJson(await json(leaf.endorsements), BLAME)
  const { certificates, platformKeys } = recorded
  return {
    name,
    format: evidence?.format ?? 'simulated',
    evidence: await blob(evidence?.digest ?? ''),
    seenAt: new Date(leaf.time * 1000),
    given: { ...NO_ENDORSEMENTS, certificates, ...(platformKeys && { platformKeys }) },
    policy: parsePolicy(await json(leaf.policy)),
    referenceValues: ((await json(leaf.reference_values)) as readonly Json[]).map(
      parseReferenceValues,
    ),
  }
}
