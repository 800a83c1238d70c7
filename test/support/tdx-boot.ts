import type { Check, Requirement } from '../../src/core/appraisal/check.ts'
import type { TdxClaims } from '../../src/core/evidence/tdx/claims.ts'
import { encodeTdxEvidence } from '../../src/core/evidence/tdx/evidence.ts'
import { tdx } from '../../src/core/evidence/tdx/format.ts'
import {
  type MintedEvent,
  mintEventLog,
  mintIntelPki,
  mintRtmrs,
  mintTdxBoot,
  mintTdxQuote,
} from '../../src/testing/index.ts'
import { authenticate, contextOf, NOW } from './tdx.ts'

export const pki = mintIntelPki({ now: NOW })
/** What the boot below is made of. */
export const LINE = '/vmlinuz root=/dev/vda1 ro'
export const APP = new Uint8Array(20).fill(0xa1)
export const COMPOSE = new Uint8Array(32).fill(0xc0)
export const dstack = [
  ['app-id', APP],
  ['compose-hash', COMPOSE],
  ['system-ready', new Uint8Array()],
] as const
/** All events of one boot. */
export const boot = mintTdxBoot({ commandLine: LINE, dstack })

/** Claims of a TD that extended `measured` and sends `said`. */
export async function claimsOf(
  said: readonly MintedEvent[] | undefined,
  measured: readonly MintedEvent[] = said ?? boot,
): Promise<TdxClaims> {
  const quote = mintTdxQuote(pki, { body: { rtmrs: mintRtmrs(measured) } })
  const evidence = said === undefined ? quote : encodeTdxEvidence(quote, mintEventLog(said))
  const found = await authenticate(evidence, contextOf(pki))
  if (!found.authentic) throw new Error('not authentic')
  return found.claims
}

/** The one event of the boot with this in its data, changed. */
export function changed(
  words: string,
  change: (event: MintedEvent) => readonly MintedEvent[],
  events: readonly MintedEvent[] = boot,
): readonly MintedEvent[] {
  let count = 0
  const result = events.flatMap((event) => {
    if (!new TextDecoder('utf-16le').decode(event.data).includes(words)) {
      if (!new TextDecoder().decode(event.data).includes(words)) return [event]
    }
    count++
    return change(event)
  })
  if (count !== 1) throw new Error(`${count} events with ${words}`)
  return result
}

/** The answer to one field, all others waived. */
export function checkOf(claims: TdxClaims, name: string, value: unknown): Check {
  const blame = { code: 'ERR_POLICY_INVALID', at: `policy.${name}` } as const
  const waived: Record<string, Requirement<unknown>> = Object.fromEntries(
    Object.keys(tdx.policyFields).map((field) => [field, { waive: 'not under test' }]),
  )
  const require = tdx.policyFields[name]?.type.parse(value, blame)
  const policy = { ...waived, debug: { require: false }, [name]: { require } }
  const check = tdx.appraise(claims, policy).find(({ id }) => id === `tdx.${name}`)
  if (check === undefined) throw new Error(`no check of ${name}`)
  return check
}
