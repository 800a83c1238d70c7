/**
 * What an answer cost, from the model's own words, for the signed receipt.
 *
 * @see `spec/envelope.md` §12, `spec/apis.md` §1.3
 * @packageDocumentation
 */
import type { TokenUsage } from '../../core/sealing/usage.ts'

export const NO_USAGE: TokenUsage = {
  input_tokens: 0,
  cached_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
  n: 0,
}

type Members = Readonly<Record<string, unknown>>

/**
 * Reads `usage` of a response document or of a stream's event, in the words of either API
 * (`prompt_tokens` or `input_tokens`). Totals are ignored: they are recomputed.
 *
 * @returns `undefined` if there is none, or a count is not a natural number.
 */
export function readUsage(document: unknown): TokenUsage | undefined {
  const usage = member(document, 'usage') ?? member(member(document, 'response'), 'usage')
  if (!isMembers(usage)) return undefined
  const input = count(usage['prompt_tokens'] ?? usage['input_tokens'])
  const output = count(usage['completion_tokens'] ?? usage['output_tokens'] ?? 0)
  if (input === undefined || output === undefined) return undefined
  const inputDetails = usage['prompt_tokens_details'] ?? usage['input_tokens_details']
  const outputDetails = usage['completion_tokens_details'] ?? usage['output_tokens_details']
  return {
    input_tokens: input,
    // Parts of the counts above, whatever a server says.
    cached_tokens: Math.min(input, count(member(inputDetails, 'cached_tokens')) ?? 0),
    output_tokens: output,
    reasoning_tokens: Math.min(output, count(member(outputDetails, 'reasoning_tokens')) ?? 0),
    n: choicesOf(document) || 1,
  }
}

/** How many choices the document has; 0 if it has no such list. */
export function choicesOf(document: unknown): number {
  const choices = member(document, 'choices')
  return Array.isArray(choices) ? choices.length : 0
}

/** Does this event of a stream carry something that was generated? */
export function carriesOutput(document: unknown): boolean {
  const type = member(document, 'type')
  if (typeof type === 'string') return type.endsWith('.delta')
  const choices = member(document, 'choices')
  if (!Array.isArray(choices)) return false
  return choices.some((choice: unknown) => {
    const delta = member(choice, 'delta')
    const texts = [member(choice, 'text'), member(delta, 'content')]
    const more = [member(delta, 'reasoning_content'), member(delta, 'tool_calls')]
    return [...texts, ...more].some(
      (value) => (typeof value === 'string' && value !== '') || Array.isArray(value),
    )
  })
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

function member(value: unknown, name: string): unknown {
  return isMembers(value) ? value[name] : undefined
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
