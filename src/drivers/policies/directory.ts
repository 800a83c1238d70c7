/**
 * Policies and Reference Values from files: the ones that ship with vouchsafe by name, anyone's own
 * by path.
 *
 * @packageDocumentation
 */
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { assertProductionPolicy, type Policy } from '../../core/appraisal/policy.ts'
import { lintPolicy } from '../../core/appraisal/policy-lint.ts'
import { parseJson } from '../../core/encoding/json-source.ts'
import { VouchsafeError } from '../../core/errors.ts'
import type { FormatId } from '../../core/evidence/common/format-ids.ts'
import {
  parseReferenceValues,
  type ReferenceValueSet,
} from '../../core/reference-values/reference-values.ts'
import { readTextWithin } from '../files/read.ts'

export interface PolicyChoice {
  /** Which member of a family a name means: `authentic` for TDX is `authentic-tdx`. */
  readonly format?: FormatId
  /** In production, a policy that accepts simulated evidence does not load. */
  readonly production: boolean
}

/** `policies/` of the package, from `src` and from `dist` alike. */
const SHIPPED = join(import.meta.dirname, '../../../policies')
const MAX_BYTES = 1024 * 1024
const BLAME = { code: 'ERR_POLICY_INVALID', at: 'policy.file' } as const
const SETS_BLAME = { code: 'ERR_REFERENCE_VALUES_INVALID', at: 'reference_values.file' } as const

/** Names of the policies that ship, in order. */
export async function shippedPolicies(): Promise<readonly string[]> {
  const files = await readdir(SHIPPED)
  return files
    .filter((file) => file.endsWith('.json') && !file.endsWith('.cases.json'))
    .map((file) => basename(file, '.json'))
    .sort()
}

/**
 * The file that a name or path means. A path has a slash in it or ends in `.json`.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID` for a name that does not ship.
 */
export async function policyFile(nameOrPath: string, format?: FormatId): Promise<string> {
  if (nameOrPath.includes('/') || /\.json$/i.test(nameOrPath)) return nameOrPath
  const shipped = await shippedPolicies()
  const name = [nameOrPath, `${nameOrPath}-${format ?? ''}`].find((n) => shipped.includes(n))
  if (name !== undefined) return join(SHIPPED, `${name}.json`)
  const what = `no policy ${nameOrPath}${format === undefined ? '' : ` for ${format}`} ships`
  throw new VouchsafeError(BLAME, `${what}; there are ${shipped.join(', ')}, or give a file`)
}

/**
 * Loads one policy.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID` if there is none, it is not a policy (the text
 *   names file, line and column of the first problem), or production refuses it.
 */
export async function loadPolicy(nameOrPath: string, choice: PolicyChoice): Promise<Policy> {
  const file = await policyFile(nameOrPath, choice.format)
  const { policy, diagnostics } = lintPolicy(
    await readTextWithin(file, { blame: BLAME, most: MAX_BYTES }),
  )
  if (policy === undefined) {
    const { line = 1, column = 1, at = BLAME.at, detail = '' } = diagnostics[0] ?? {}
    throw new VouchsafeError({ code: BLAME.code, at }, `${file}:${line}:${column}: ${detail}`)
  }
  if (choice.production) assertProductionPolicy(policy)
  return policy
}

/**
 * Loads several policies.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID` as {@link loadPolicy}, and if two have one id.
 */
export async function loadPolicies({
  names,
  production,
}: {
  readonly names: readonly string[]
  readonly production: boolean
}): Promise<ReadonlyMap<string, Policy>> {
  const policies = new Map<string, Policy>()
  for (const name of names) {
    const policy = await loadPolicy(name, { production })
    if (policies.has(policy.id)) {
      throw new VouchsafeError({ code: BLAME.code, at: 'policy.id' }, `${policy.id} occurs twice`)
    }
    policies.set(policy.id, policy)
  }
  return policies
}

/**
 * Loads sets of Reference Values, one from each file.
 *
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_INVALID`, naming the file.
 */
export async function loadReferenceValues(
  files: readonly string[],
): Promise<readonly ReferenceValueSet[]> {
  const sets: ReferenceValueSet[] = []
  for (const file of files) {
    const text = await readTextWithin(file, { blame: SETS_BLAME, most: MAX_BYTES })
    try {
      sets.push(parseReferenceValues(parseJson(text, SETS_BLAME)))
    } catch (error) {
      if (!(error instanceof VouchsafeError)) throw error
      const detail = `${file}: ${error.message.slice(error.at.length + 2)}`
      throw new VouchsafeError({ code: error.code, at: error.at }, detail, { cause: error })
    }
  }
  return sets
}
