/** What every command is given: where to write, and how to end. @packageDocumentation */
import type { Command } from 'commander'

export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether stdout may carry colours. */
  readonly color: boolean
  out(text: string): void
  err(text: string): void
  /** All of stdin; more than `most` bytes are `ERR_USAGE_INVALID`. */
  readStdin(most: number): Promise<Uint8Array>
  /** The time, once, at the edge that may know it. */
  now(): Date
  /** Asks a person; `undefined`, or absent, if there is none to ask. */
  confirm?(question: string): Promise<boolean | undefined>
  /** The exit code, if it is not 0. An error that is thrown sets its own. */
  exit(code: number): void
}

/** What a file in `commands/` exports. */
export interface CommandModule {
  register(program: Command, context: CliContext): void
}
