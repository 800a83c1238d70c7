/**
 * What is known of a request by the time it is answered, for its one line in the log: who it was and
 * why it was refused. Names and codes, never tokens or texts.
 *
 * @packageDocumentation
 */
import type { FastifyRequest } from 'fastify'

interface Outcome {
  /** Whose token it came with. */
  readonly by?: string
  /** Of the problem document that answered it. */
  readonly code?: string
}

const outcomes = new WeakMap<FastifyRequest, Outcome>()

/** Adds to what is known. */
export function noteOutcome(request: FastifyRequest, outcome: Outcome): void {
  outcomes.set(request, { ...outcomes.get(request), ...outcome })
}

/** What is known so far. */
export function outcomeOf(request: FastifyRequest): Outcome {
  return outcomes.get(request) ?? {}
}
