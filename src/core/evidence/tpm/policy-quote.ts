/**
 * What a policy can ask of a quote, whichever format it came in. The format says how its fields and
 * check ids begin, and where its claims have the quote.
 *
 * @packageDocumentation
 */
import {
  boolean,
  constant,
  field,
  hex,
  integer,
  listOf,
  oneOf,
  record,
  text,
} from '../../appraisal/policy-field.ts'
import {
  type Ask,
  among,
  type Question,
  type Questions,
  question,
} from '../../appraisal/question.ts'
import { toHex } from '../../bytes/hex.ts'
import { BANKS, type Bank, sizeOf } from './algorithms.ts'
import { firmwareText, type QuoteClaims } from './claims.ts'
import { describeSelection, isMeasured } from './pcrs.ts'

export interface QuotePlace<C> {
  /** Before each check id: `tpm`. */
  readonly id: string
  /** Before each field: nothing, or `vtpm.`. */
  readonly name: string
  readonly quoteOf: (claims: C) => QuoteClaims
}

const PCRS = Array.from({ length: 24 }, (_, pcr) => pcr)
const FIRMWARE_PCRS = PCRS.slice(0, 8)
const digest = text(/^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/)
const SELECTED = listOf(
  record<{ bank: Bank; pcrs: readonly number[] }>({
    bank: oneOf(...BANKS),
    pcrs: listOf(integer()),
  }),
)

/** The questions, in the order of their checks. */
export function quoteQuestions<C>(place: QuotePlace<C>): Questions<C> {
  return {
    ...registerQuestions(place),
    ...deviceQuestions(place),
    ...Object.fromEntries(PCRS.map((n) => [`${place.name}pcr${n}`, pcr(place, n)])),
  }
}

function registerQuestions<C>({ id, name, quoteOf }: QuotePlace<C>): Questions<C> {
  const ask: Ask<C> = question
  return {
    [`${name}pcrs.selected`]: ask({
      id: `${id}.pcrs.selected`,
      field: field('PCRs, by bank, that the quote must be over. It may be over more.', SELECTED),
      actual: (claims) => describeSelection(quoteOf(claims).attest.selection),
      judge: (claims, wanted) => ({
        expected: describeSelection(wanted),
        ok: wanted.every(({ bank, pcrs }) => {
          const values = quoteOf(claims).banks.get(bank)
          return pcrs.every((one) => values?.has(one) === true)
        }),
      }),
    }),
    [`${name}pcrs.measured`]: ask({
      id: `${id}.pcrs.measured`,
      field: field(
        'In some bank, at least one of PCRs 0 to 7 is quoted and holds a measurement: firmware that measured nothing vouches for nothing.',
        constant(true),
      ),
      actual: (claims) => measuredText(quoteOf(claims)),
      judge: (claims) => ({
        expected: 'one of PCRs 0 to 7 extended',
        ok: measured(quoteOf(claims)).length > 0,
      }),
    }),
  }
}

function deviceQuestions<C>({ id, name, quoteOf }: QuotePlace<C>): Questions<C> {
  const ask: Ask<C> = question
  const clockOf = (claims: C) => quoteOf(claims).attest.clockInfo
  return {
    [`${name}scheme`]: ask({
      id: `${id}.scheme`,
      field: field(
        'Signature schemes of the quote.',
        listOf(text(/^(?:RSASSA|RSAPSS|ECDSA) with sha(?:256|384|512)$/)),
      ),
      actual: (claims) => quoteOf(claims).scheme,
      judge: among((claims) => quoteOf(claims).scheme),
    }),
    [`${name}firmwareVersion`]: ask({
      id: `${id}.firmware_version`,
      field: field('Firmware versions of the TPM, as its maker packs them.', listOf(hex(8))),
      actual: (claims) => firmwareText(quoteOf(claims).attest),
      judge: among((claims) => firmwareText(quoteOf(claims).attest)),
    }),
    [`${name}clock.safe`]: ask({
      id: `${id}.clock.safe`,
      field: field('Whether the clock has certainly never shown this time before.', boolean),
      actual: (claims) => String(clockOf(claims).safe),
      judge: (claims, wanted) => ({
        expected: String(wanted),
        ok: clockOf(claims).safe === wanted,
      }),
    }),
    [`${name}clock.resetCount`]: ask({
      id: `${id}.clock.reset_count`,
      field: field('Resets of the TPM, one for each boot: names single boots.', listOf(integer())),
      actual: (claims) => String(clockOf(claims).resetCount),
      judge: among((claims) => clockOf(claims).resetCount),
    }),
  }
}

/** The bank is told by the size of the value, so that a list may have values of several. */
function pcr<C>({ id, quoteOf }: QuotePlace<C>, register: number): Question<C> {
  return question({
    id: `${id}.pcr${register}`,
    field: field(
      `PCR ${register}: 32 bytes of the sha256 bank, 48 of sha384, 64 of sha512.`,
      listOf(digest),
    ),
    actual: (claims) => valuesText(quoteOf(claims), register),
    judge: (claims, wanted) => ({
      expected: wanted.join(' or '),
      ok: hasValue(quoteOf(claims), register, wanted),
    }),
  })
}

/** In every bank that the policy has a value of: a value of one does not excuse another. */
function hasValue({ banks }: QuoteClaims, register: number, wanted: readonly string[]): boolean {
  return BANKS.every((bank) => {
    const accepted = wanted.filter((value) => value.length === 2 * sizeOf(bank))
    const value = banks.get(bank)?.get(register)
    if (accepted.length === 0) return true
    return value !== undefined && accepted.includes(toHex(value))
  })
}

function valuesText({ banks }: QuoteClaims, register: number): string {
  const found = [...banks].flatMap(([bank, values]) => {
    const value = values.get(register)
    return value === undefined ? [] : [`${bank} ${toHex(value)}`]
  })
  return found.join(', ') || 'not selected'
}

function measured({ banks }: QuoteClaims): readonly number[] {
  return FIRMWARE_PCRS.filter((register) =>
    [...banks.values()].some((values) => isMeasured(values.get(register))),
  )
}

function measuredText(quote: QuoteClaims): string {
  return measured(quote).join(', ') || 'none'
}
