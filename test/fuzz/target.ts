/** What is fuzzed. @packageDocumentation */

/** One parser. It may give anything back, or throw a `VouchsafeError`; nothing else is allowed. */
export interface Target {
  readonly id: string
  /** Good inputs to begin with; at least one. */
  readonly seeds: () => readonly Uint8Array[]
  /** What inputs are made of: tags, names of members. */
  readonly words?: readonly string[]
  /** Verifies signatures too: gets a hundredth of the executions. */
  readonly slow?: boolean
  run(input: Uint8Array): unknown
}

/** Something that must not be. */
export interface Finding {
  readonly target: string
  readonly kind: 'untyped' | 'hang' | 'crash'
  readonly input: Uint8Array
  readonly detail: string
}
