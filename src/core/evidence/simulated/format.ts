/**
 * The simulated TEE: evidence in the very format of a real one, under a root made for development.
 * Nothing but a policy for development accepts it, and everything that shows it says what it is.
 *
 * @packageDocumentation
 */
import type { Check } from '../../appraisal/check.ts'
import { equal, utf8, zeroPad } from '../../bytes/bytes.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type {
  Authenticated,
  AuthenticationContext,
  Claims,
  EvidenceFormat,
} from '../common/format.ts'
import { parseQuoteHeader, type QuoteHeader } from '../intel-dcap/header.ts'

/** In USER_DATA of the quote header, so that a simulated quote names itself wherever it turns up. */
export const SIMULATED_USER_DATA: Uint8Array = zeroPad(utf8('vouchsafe simulated'), 20)

const ROOT_CHECK = 'simulated.root'

/** Evidence of the simulated format: the real format's, and the header to find the mark in. */
export interface SimulatedEvidence<E> {
  readonly header: QuoteHeader
  readonly inner: E
}

/**
 * The simulated form of a format whose evidence is a DCAP quote. Its checks are those of the real
 * format, asked against the development roots, and one more in front: `simulated.root`.
 *
 * @param inner - The real format; handed in, since formats do not know each other.
 * @param quoteIn - The quote in its evidence, which may be more than that.
 */
export function simulated<E, C extends Claims>(
  inner: EvidenceFormat<E, C>,
  quoteIn: (evidence: Uint8Array) => Uint8Array,
): EvidenceFormat<SimulatedEvidence<E>, C> {
  const headerOf = (bytes: Uint8Array): QuoteHeader => parseQuoteHeader(quoteIn(bytes))
  return {
    id: 'simulated',
    detects: (bytes, sample) => inner.detects(bytes, sample) && isMarked(headerOf(bytes)),
    parse: (bytes) => ({ header: headerOf(bytes), inner: inner.parse(bytes) }),
    describe: (evidence) => [
      { name: 'SIMULATED', value: 'true: no hardware vouches for this' },
      ...inner.describe(evidence.inner),
    ],
    authenticate: async ({ header, inner: evidence }, context) => {
      const root = checkRoot(header, context)
      const found = await inner.authenticate(evidence, {
        ...context,
        anchors: { ...context.anchors, intel: context.anchors.simulated },
      })
      return labelled(root, found)
    },
    policyFields: inner.policyFields,
    ...(inner.policyConflict && { policyConflict: inner.policyConflict }),
    appraise: (claims, policy) => inner.appraise(claims, policy),
    appraisalCheckIds: inner.appraisalCheckIds,
    requiredCheckIds: [ROOT_CHECK, ...inner.requiredCheckIds],
  }
}

function isMarked({ userData }: QuoteHeader): boolean {
  return equal(userData, SIMULATED_USER_DATA)
}

/** A root of both kinds would let real hardware pass for simulated, and the other way round. */
function checkRoot(header: QuoteHeader, { anchors }: AuthenticationContext): Check {
  const expected = 'a quote marked as simulated, and development roots of its own'
  const shared = anchors.simulated.some((digest) => anchors.intel.includes(digest))
  const actual = !isMarked(header)
    ? 'not marked in USER_DATA'
    : anchors.simulated.length === 0
      ? 'no development root is trusted'
      : shared
        ? 'a development root is also a vendor anchor'
        : expected
  return { id: ROOT_CHECK, outcome: actual === expected ? 'pass' : 'fail', expected, actual }
}

function labelled<C extends Claims>(root: Check, found: Authenticated<C>): Authenticated<C> {
  const checks = [root, ...found.checks]
  if (!found.authentic || root.outcome !== 'pass') return { authentic: false, checks }
  const { claims } = found
  return { authentic: true, claims: { ...claims, printable: label(claims.printable) }, checks }
}

function label(printable: Json): Json {
  const members = isObject(printable) ? printable : { claims: printable }
  return { ...members, simulated: true }
}

function isObject(value: Json): value is Readonly<Record<string, Json | undefined>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
