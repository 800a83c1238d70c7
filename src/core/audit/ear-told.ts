/**
 * What an EAR says beside the results themselves: release policies may ask about any of it, so all of
 * it must follow from the appraisals that the log has. What an EAR leaves out meets no policy.
 *
 * @packageDocumentation
 */
import { resultFromJson } from '../appraisal/record.ts'
import { trustVectorOf } from '../attestation-result/trust-vector.ts'
import { utf8 } from '../bytes/bytes.ts'
import { canonicalJson, type Json } from '../encoding/canonical-json.ts'
import { lookUp } from '../keys/claim-path.ts'
import type { Hasher } from '../ports/crypto.ts'
import { digestOf } from '../sealing/statement.ts'
import type { AppraisalLeaf } from '../tlog/leaf.ts'

const STATUS = 'ear.status'
const POLICY = 'ear.appraisal-policy-id'
const VECTOR = 'ear.trustworthiness-vector'
const RESULT = 'vouchsafe.result'
const MEMBERS = [STATUS, POLICY, VECTOR, RESULT]

/** What the log has of an EAR's submodules, in their order. */
export interface Founded {
  readonly claims: Json
  readonly appraisals: readonly AppraisalLeaf[]
  /** The exact text of the one statement. */
  readonly statement: string
}

/**
 * @returns What one submodule says of its verdict that the result in it does not; `undefined` for
 *   nothing.
 * @throws {@link VouchsafeError} `ERR_RESULT_MALFORMED` if it has no result.
 */
export function toldOtherwise(claims: Json, name: string): string | undefined {
  const submodule = lookUp(claims, ['submods', name])
  const result = resultFromJson(lookUp(claims, ['submods', name, RESULT]))
  const added = Object.keys(submodule ?? {}).find((member) => !MEMBERS.includes(member))
  if (added !== undefined) return `${name} has a member ${JSON.stringify(added.slice(0, 64))}`
  const follows: Readonly<Record<string, Json>> = {
    [STATUS]: result.tier,
    [POLICY]: result.policyId,
    [VECTOR]: { ...trustVectorOf(result) },
  }
  const lie = Object.entries(follows).find(([member, value]) => {
    const told = lookUp(claims, ['submods', name, member])
    return told !== undefined && canonicalJson(told) !== canonicalJson(value)
  })
  return lie && `${name} says another ${lie[0]} than its result`
}

/** @returns How evidence or statement of the EAR are not those of the log. */
export async function toldOfOthers(
  { claims, appraisals, statement }: Founded,
  hasher: Hasher,
): Promise<string | undefined> {
  const evidence = lookUp(claims, ['vouchsafe.evidence'])
  const logged = appraisals.flatMap((leaf) => leaf.evidence.map(({ digest }) => digest))
  if (evidence !== undefined && canonicalJson(evidence) !== canonicalJson(logged)) {
    return 'the EAR names other evidence'
  }
  const told = lookUp(claims, ['vouchsafe.statement'])
  if (told === undefined || told === (await digestOf(utf8(statement), hasher))) return undefined
  return 'the EAR names another statement'
}
