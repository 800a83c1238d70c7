/**
 * What a release condition may ask of one claim: the operators of Azure Secure Key Release and ours.
 *
 * @packageDocumentation
 */
import { canonicalJson, type Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'

const MAX_LIST = 256
const MAX_TEXT = 4096
const DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,3})?Z)?$/

/**
 * Three-valued, so that `not` cannot make something of nothing: a claim that is absent, or of a type
 * that cannot be compared, is `unknown`, and so is its negation.
 */
export type Truth = 'true' | 'false' | 'unknown'

/** One operator. */
export interface OperatorRule {
  /** @throws {@link VouchsafeError} with the code of `blame` if the operand makes no sense. */
  readonly parse: (operand: unknown, blame: Blame) => Json
  /** @param now - Unix seconds. */
  readonly test: (actual: Json, operand: Json, now: number) => Truth
}

const same = (a: Json, b: Json): boolean => canonicalJson(a) === canonicalJson(b)
const truth = (value: boolean): Truth => (value ? 'true' : 'false')
const contains = (list: Json, value: Json): boolean =>
  Array.isArray(list) && (list as readonly Json[]).some((item) => same(item, value))

/** All of them. `exists` is special: it is asked about claims that are absent, too. */
export const OPERATORS = {
  equals: { parse: anyValue, test: (actual, operand) => truth(same(actual, operand)) },
  notEquals: { parse: anyValue, test: (actual, operand) => truth(!same(actual, operand)) },
  less: ordered((a, b) => a < b),
  lessOrEquals: ordered((a, b) => a <= b),
  greater: ordered((a, b) => a > b),
  greaterOrEquals: ordered((a, b) => a >= b),
  in: { parse: list, test: (actual, operand) => truth(contains(operand, actual)) },
  notIn: { parse: list, test: (actual, operand) => truth(!contains(operand, actual)) },
  prefix: {
    parse: text,
    test: (actual, operand) =>
      typeof actual === 'string' && typeof operand === 'string'
        ? truth(actual.startsWith(operand))
        : 'unknown',
  },
  within: {
    parse: seconds,
    test: (actual, operand, now) => {
      const time = magnitude(actual)
      if (time === undefined || typeof operand !== 'number') return 'unknown'
      return truth(Math.abs(now - time.value) <= operand)
    },
  },
  exists: {
    parse: (operand, blame) => {
      if (typeof operand === 'boolean') return operand
      throw new VouchsafeError(blame, 'want true or false')
    },
    test: (_actual, operand) => truth(operand === true),
  },
} as const satisfies Record<string, OperatorRule>

/** Name of an operator, in camel case. */
export type Operator = keyof typeof OPERATORS

/** Numbers, or dates in ISO 8601 (UTC) as Unix seconds. Text has no order that a policy could mean. */
function magnitude(
  value: Json,
): { readonly kind: 'number' | 'date'; readonly value: number } | undefined {
  if (typeof value === 'number') return { kind: 'number', value }
  if (typeof value !== 'string' || !DATE.test(value)) return undefined
  const time = Date.parse(value)
  return Number.isNaN(time) ? undefined : { kind: 'date', value: time / 1000 }
}

function ordered(compare: (a: number, b: number) => boolean): OperatorRule {
  return {
    parse: (operand, blame) => {
      if (typeof operand === 'number' && Number.isSafeInteger(operand)) return operand
      if (typeof operand === 'string' && magnitude(operand) !== undefined) return operand
      throw new VouchsafeError(blame, 'want an integer or an ISO 8601 date in UTC')
    },
    test: (actual, operand) => {
      const a = magnitude(actual)
      const b = magnitude(operand)
      if (b === undefined || a?.kind !== b.kind) return 'unknown'
      return truth(compare(a.value, b.value))
    },
  }
}

function anyValue(operand: unknown, blame: Blame): Json {
  // An absent claim is never equal to anything, so a condition on null could never be true.
  if (operand === null) throw new VouchsafeError(blame, 'null is not a value; use exists')
  return canonical(operand, blame)
}

function list(operand: unknown, blame: Blame): Json {
  if (Array.isArray(operand) && operand.length > 0 && operand.length <= MAX_LIST) {
    return (operand as readonly unknown[]).map((item) => anyValue(item, blame))
  }
  throw new VouchsafeError(blame, `want a list of 1 to ${MAX_LIST} values`)
}

function text(operand: unknown, blame: Blame): Json {
  // Everything has the empty prefix: that would be a condition that looks like one.
  if (typeof operand === 'string' && operand !== '') return canonical(operand, blame)
  throw new VouchsafeError(blame, 'want text that is not empty')
}

function seconds(operand: unknown, blame: Blame): Json {
  if (Number.isSafeInteger(operand) && (operand as number) > 0) return operand as number
  throw new VouchsafeError(blame, 'want a positive number of seconds')
}

/** A copy that canonical JSON can express, so that every policy has a digest. */
function canonical(operand: unknown, blame: Blame): Json {
  try {
    const spelled = canonicalJson(operand as Json)
    if (spelled.length <= MAX_TEXT) return JSON.parse(spelled) as Json
  } catch (cause) {
    throw new VouchsafeError(blame, 'only integers and well-formed text', { cause })
  }
  throw new VouchsafeError(blame, `longer than ${MAX_TEXT} characters`)
}
