/**
 * What an exchange cost, in the enclave's own words, and the conditions under which anybody pays for
 * it (spec/envelope.md §12).
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../errors.ts'
import type { JsonNode } from './json.ts'

/** Of text models. A total is never given: whoever needs one adds. */
export type TokenUsage = {
  /** Cached ones included. */
  readonly input_tokens: number
  readonly cached_tokens: number
  /** Reasoning included. */
  readonly output_tokens: number
  readonly reasoning_tokens: number
  /** Choices made. */
  readonly n: number
}

/** Of video models. */
export type VideoUsage = {
  readonly video_tokens: number
  readonly seconds: number
  readonly width: number
  readonly height: number
  readonly fps: number
  readonly video_in: boolean
  readonly tool_calls: number
}

/** One of the two, by their members. */
export type Usage = TokenUsage | VideoUsage

/** The ceilings that were reserved for a request; `undefined` where the tenant's default counts. */
export interface Reservation {
  readonly inMax?: number
  /** Per choice. */
  readonly maxOut?: number
  readonly n?: number
  readonly duration?: number
}

const TOKEN_MEMBERS = [
  'input_tokens',
  'cached_tokens',
  'output_tokens',
  'reasoning_tokens',
  'n',
] as const
const VIDEO_MEMBERS = [
  'video_tokens',
  'seconds',
  'width',
  'height',
  'fps',
  'video_in',
  'tool_calls',
] as const

/** @throws {@link VouchsafeError} with the node's blame, for numbers that contradict each other too. */
export function parseUsage(node: JsonNode): Usage {
  const { value } = node
  if (typeof value === 'object' && value !== null && 'video_tokens' in value) {
    const { video_in, ...numbers } = node.object(VIDEO_MEMBERS)
    return {
      video_tokens: numbers.video_tokens.integer(),
      seconds: numbers.seconds.integer(),
      width: numbers.width.integer(),
      height: numbers.height.integer(),
      fps: numbers.fps.integer(),
      video_in: video_in.boolean(),
      tool_calls: numbers.tool_calls.integer(),
    }
  }
  const members = node.object(TOKEN_MEMBERS)
  const usage = {
    input_tokens: members.input_tokens.integer(),
    cached_tokens: members.cached_tokens.integer(),
    output_tokens: members.output_tokens.integer(),
    reasoning_tokens: members.reasoning_tokens.integer(),
    n: members.n.integer(),
  }
  if (usage.cached_tokens > usage.input_tokens) members.cached_tokens.fail('part of the input')
  if (usage.reasoning_tokens > usage.output_tokens)
    members.reasoning_tokens.fail('part of the output')
  return usage
}

/**
 * Whether usage can be believed far enough to bill it: no more than was reserved, and no more visible
 * tokens than bytes that were sent (§12.3). A failed check freezes the amount for review; it neither
 * bills nor refunds.
 *
 * @param responseBytes - Of ciphertext, as relayed.
 * @throws {@link VouchsafeError} `ERR_RECEIPT_MISMATCH` at the member of `receipt.usage`.
 */
export function checkUsage(usage: Usage, reserved: Reservation, responseBytes: number): void {
  if ('video_tokens' in usage) {
    requireAtMost('seconds', usage.seconds, reserved.duration)
    return
  }
  const n = reserved.n ?? 1
  requireAtMost('n', usage.n, n)
  requireAtMost('input_tokens', usage.input_tokens, reserved.inMax)
  const maxOut = reserved.maxOut === undefined ? undefined : reserved.maxOut * n
  requireAtMost('output_tokens', usage.output_tokens, maxOut)
  const visible = usage.output_tokens - usage.reasoning_tokens
  requireAtMost('output_tokens', visible, responseBytes)
}

/** Rounds counts up to multiples of 64, for tenants to whom exact counts reveal too much (§12.6). */
export function bucketUsage(usage: TokenUsage): TokenUsage {
  const up = (count: number): number => Math.ceil(count / 64) * 64
  return {
    input_tokens: up(usage.input_tokens),
    cached_tokens: up(usage.cached_tokens),
    output_tokens: up(usage.output_tokens),
    reasoning_tokens: up(usage.reasoning_tokens),
    n: usage.n,
  }
}

function requireAtMost(member: string, actual: number, limit: number | undefined): void {
  if (limit === undefined || actual <= limit) return
  const blame = { code: 'ERR_RECEIPT_MISMATCH', at: `receipt.usage.${member}` } as const
  throw new VouchsafeError(blame, 'more than can be')
}
