/**
 * Freshness and key binding: is this evidence the answer to our nonce, and does it vouch for this
 * key? Both come from the caller, not from a policy, because only the caller knows what it asked.
 *
 * @packageDocumentation
 */
import { equalSecret, isZero, utf8, zeroPad } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { VouchsafeError } from '../errors.ts'
import type { Claims } from '../evidence/common/format.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import { parseStatement } from '../sealing/statement.ts'
import type { Check } from './check.ts'
import { BINDING_IDS } from './check-ids.ts'

/**
 * What the evidence must be bound to. `unchecked` is for archives and for looking at other people's
 * evidence; a result that has it says so, and {@link requireAffirming} never lets it through.
 */
export interface Binding {
  readonly nonce: { readonly require: Uint8Array } | { readonly unchecked: string }
  readonly reportData:
    | { readonly require: Uint8Array }
    /** Exact statement text: report data is its SHA-256, and the nonce stands in it. */
    | { readonly statement: string }
    | { readonly unchecked: string }
}

/** Bytes; RFC 9711 §4.1. */
const LEAST_NONCE = 8

/** Both checks; `claims` is `undefined` for evidence that was not authenticated. */
export async function checkBinding(
  { prefix, binding }: { readonly prefix: string; readonly binding: Binding },
  claims: Claims | undefined,
  crypto: CryptoProvider,
): Promise<readonly Check[]> {
  const nonceId = `${prefix}.${BINDING_IDS.nonce}`
  const dataId = `${prefix}.${BINDING_IDS.reportData}`
  const wanted = await wantedReportData(binding, crypto)
  const nonce = checkNonce(nonceId, binding, claims)
  if (wanted === undefined) {
    const reason = 'unchecked' in binding.reportData ? binding.reportData.unchecked : ''
    return [nonce, waived(dataId, reason, hexOf(claims?.reportData))]
  }
  const actual = claims?.reportData
  const ok = actual !== undefined && matchesPadded(wanted, actual)
  return [
    nonce,
    {
      id: dataId,
      outcome: ok ? 'pass' : 'fail',
      expected: toHex(wanted),
      actual: claims === undefined ? 'not authenticated' : hexOf(actual),
    },
  ]
}

function checkNonce(id: string, binding: Binding, claims: Claims | undefined): Check {
  if ('unchecked' in binding.nonce) {
    return waived(id, binding.nonce.unchecked, hexOf(claims?.nonce))
  }
  const wanted = binding.nonce.require
  const expected = toHex(wanted)
  if (claims === undefined) return { id, outcome: 'fail', expected, actual: 'not authenticated' }
  const { ok, actual } = findNonce(wanted, binding, claims)
  return { id, outcome: ok ? 'pass' : 'fail', expected, actual }
}

/** In the statement, else in the evidence's own nonce field, else as the report data itself. */
function findNonce(
  wanted: Uint8Array,
  binding: Binding,
  claims: Claims,
): { readonly ok: boolean; readonly actual: string } {
  // Neither nothing nor zeros is a nonce: a field that nobody filled would match it. Nor is anything
  // that could be met by chance.
  const isNonce = wanted.length >= LEAST_NONCE && !isZero(wanted)
  if ('statement' in binding.reportData) {
    const actual = nonceOfStatement(binding.reportData.statement)
    return { ok: isNonce && actual === toHex(wanted), actual: actual ?? 'absent' }
  }
  const found = claims.nonce ?? claims.reportData
  if (found === undefined) return { ok: false, actual: 'absent' }
  const matches = claims.nonce === undefined ? matchesPadded : equalSecret
  return { ok: isNonce && matches(wanted, found), actual: toHex(found) }
}

function nonceOfStatement(statement: string): string | undefined {
  try {
    // In its one spelling and for its one purpose: what was signed for another protocol, or could be
    // read in two ways, answers no challenge of ours.
    return parseStatement(statement).nonce ?? undefined
  } catch (error) {
    // No such statement: then it has no nonce, which is what the check reports.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

async function wantedReportData(
  { reportData }: Binding,
  crypto: CryptoProvider,
): Promise<Uint8Array | undefined> {
  if ('unchecked' in reportData) return undefined
  if ('require' in reportData) return reportData.require
  return crypto.digest('SHA-256', utf8(reportData.statement))
}

/** Report data is compared over its whole length: what is wanted, then zeros. */
function matchesPadded(wanted: Uint8Array, actual: Uint8Array): boolean {
  if (wanted.length > actual.length || isZero(wanted)) return false
  return equalSecret(zeroPad(wanted, actual.length), actual)
}

function waived(id: string, reason: string, actual: string): Check {
  return { id, outcome: 'waived', expected: `any (${reason})`, actual }
}

function hexOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? 'absent' : toHex(bytes)
}
