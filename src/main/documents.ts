/** Policies, reference values and tokens from files, with mistakes named by line. @packageDocumentation */
import { join } from 'node:path'
import type { Policy } from '../core/appraisal/policy.ts'
import { lintPolicy } from '../core/appraisal/policy-lint.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { type PassportTrust, parsePassportTrust } from '../core/endorsements/passport-trust.ts'
import { VouchsafeError } from '../core/errors.ts'
import {
  parseReferenceValues,
  type ReferenceValueSet,
} from '../core/reference-values/reference-values.ts'
import { readTextWithin } from '../drivers/files/read.ts'
import { readJsonDirectory } from '../drivers/json-directory.ts'
import { readSecretFile } from '../drivers/signer/file.ts'
import { type KnownToken, tokenDigest } from '../server/auth.ts'

/** The policies that come with the program. */
export const SHIPPED_POLICIES: string = join(import.meta.dirname, '../../policies')

const DIGEST = /^sha256:[0-9a-f]{64}$/
/** As much as `vouchsafe verify --passport-trust` reads. */
const MAX_TRUST_BYTES = 4 * 1024 * 1024
/** 128 bits in base64url: less could be guessed. */
const MIN_TOKEN_CHARACTERS = 22

/**
 * Every policy of a directory.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID` with one line per mistake.
 */
export async function loadPolicies(directory: string): Promise<readonly Policy[]> {
  const mistakes: string[] = []
  const policies: Policy[] = []
  for (const { file, text } of await readJsonDirectory(directory)) {
    const { policy, diagnostics } = lintPolicy(text)
    if (policy !== undefined) policies.push(policy)
    for (const { line, column, at, detail } of diagnostics) {
      mistakes.push(`${file}:${line}:${column} ${at}: ${detail}`)
    }
  }
  if (mistakes.length === 0) return policies
  throw new VouchsafeError({ code: 'ERR_POLICY_INVALID', at: 'policy' }, mistakes.join('\n'))
}

/**
 * Every set of reference values of a directory.
 *
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_INVALID`, naming the file.
 */
export async function loadReferenceValues(
  directory: string,
): Promise<readonly ReferenceValueSet[]> {
  const files = await readJsonDirectory(directory)
  return files.map(({ file, text }) => {
    const blame = { code: 'ERR_REFERENCE_VALUES_INVALID', at: 'reference_values' } as const
    try {
      return parseReferenceValues(parseJson(text, blame))
    } catch (cause) {
      if (!(cause instanceof VouchsafeError)) throw cause
      throw new VouchsafeError(cause, `${file}: ${cause.message}`, { cause })
    }
  })
}

/**
 * Every issuer of passports that the settings name, inline and in a file.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` for one that is none, or that is there twice.
 */
export async function loadPassportTrust(settings: {
  readonly passports: readonly Readonly<Record<string, unknown>>[]
  readonly passportTrust?: string
}): Promise<readonly PassportTrust[]> {
  const { passports, passportTrust: file } = settings
  const blame = { code: 'ERR_CONFIG_INVALID', at: 'verifier.passports' } as const
  const inline = passports as readonly Json[]
  if (file === undefined) return parsePassportTrust(inline, blame)
  const inFile = { ...blame, at: 'verifier.passportTrust' } as const
  const text = await readTextWithin(file, { blame: inFile, most: MAX_TRUST_BYTES })
  const value = parseJson(text, inFile)
  const given = Array.isArray(value) ? (value as readonly Json[]) : [value]
  parsePassportTrust(given, inFile)
  return parsePassportTrust([...inline, ...given], blame)
}

/**
 * The tokens of a file: one a line, itself or its digest; `#` begins a comment.
 *
 * @param name - Whose they are, for the log of the process.
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if others may read the file,
 *   `ERR_CONFIG_INVALID` if it holds none, or one too short. Never with any of it in the text.
 */
export function loadTokens(path: string, name: string): readonly KnownToken[] {
  const blame = { code: 'ERR_CONFIG_INVALID', at: `tokens.${name}` } as const
  const lines = readSecretFile(path)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  if (lines.length === 0) throw new VouchsafeError(blame, `${path} holds no token`)
  return lines.map((line, i) => {
    if (DIGEST.test(line)) return { name, digest: line }
    if (line.length >= MIN_TOKEN_CHARACTERS) return { name, digest: tokenDigest(line) }
    const detail = `token ${i + 1} of ${path} is under ${MIN_TOKEN_CHARACTERS} characters`
    throw new VouchsafeError(blame, detail)
  })
}
