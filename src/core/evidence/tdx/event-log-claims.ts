/** What an event log proves, as claims. @packageDocumentation */
import type { Json } from '../../encoding/canonical-json.ts'
import { DSTACK_NAMES, RTMRS, type TdxEventLog } from './event-log.ts'

/** Reference values have digests of 16 to 64 bytes; a payload is as long as its writer likes. */
const DIGEST = /^(?:[0-9a-f]{2}){16,64}$/
/** As many items and characters of what a TD writes as fit a result: it may have measured a book. */
const MOST_ITEMS = 16
const MOST_CHARACTERS = 4096

/** What dstack says it runs, by names that entries of reference values can have. */
export function measuredByDstack(log: TdxEventLog | undefined): Readonly<Record<string, string>> {
  const named = [
    ['app_id', log?.dstack['app-id']],
    ['compose_hash', log?.dstack['compose-hash']],
    ['os_image_hash', log?.dstack['os-image-hash']],
  ] as const
  return Object.fromEntries(
    named.flatMap(([name, value]) =>
      value !== undefined && DIGEST.test(value) ? [[name, value]] : [],
    ),
  )
}

/** Everything the log proves; `null` without one. */
export function printableLog(log: TdxEventLog | undefined): Json {
  if (log === undefined) return null
  return {
    registers: Object.fromEntries(RTMRS.map((name) => [name, log.registers[name].detail])),
    secureBoot: log.secureBoot ?? null,
    kernelCommandLines: excerpt(log.kernelCommandLines),
    bootApplications: excerpt(log.bootApplications),
    dstack: Object.fromEntries(
      DSTACK_NAMES.map((name) => [name, log.dstack[name]?.slice(0, MOST_CHARACTERS) ?? null]),
    ),
    duplicateSeparators: excerpt(log.duplicateSeparators),
  }
}

function excerpt(texts: readonly string[]): readonly string[] {
  const shown = texts
    .slice(0, MOST_ITEMS)
    .map((text) =>
      text.length <= MOST_CHARACTERS
        ? text
        : `${text.slice(0, MOST_CHARACTERS).toWellFormed()} and ${text.length - MOST_CHARACTERS} characters more`,
    )
  return texts.length <= MOST_ITEMS ? shown : [...shown, `and ${texts.length - MOST_ITEMS} more`]
}
