/** A progress bar on a terminal, and nothing anywhere else. @packageDocumentation */
import type { CliContext } from './context.ts'

/** How far a known amount of work is. */
export interface Progress {
  add(bytes: number): void
  /** Ends the line. */
  done(): void
}

const WIDTH = 30
const STEP_MS = 100

/** A bar for `total` bytes on stderr, redrawn ten times a second. */
export function startProgress(label: string, total: number, context: CliContext): Progress {
  // Colour is on exactly for terminals, unless somebody asked otherwise.
  if (!context.color) return { add: () => undefined, done: () => undefined }
  const start = context.now().getTime()
  let seen = 0
  let drawn = 0
  const draw = (now: number): void => {
    drawn = now
    const share = total === 0 ? 1 : Math.min(1, seen / total)
    const full = Math.round(share * WIDTH)
    const bar = `${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}`
    const speed = (seen / 1e6 / Math.max(0.001, (now - start) / 1000)).toFixed(0)
    const percent = String(Math.floor(share * 100)).padStart(3)
    context.err(`\r${label} ${bar} ${percent} %  ${speed} MB/s\u001B[K`)
  }
  return {
    add: (bytes) => {
      seen += bytes
      const now = context.now().getTime()
      if (now - drawn >= STEP_MS) draw(now)
    },
    done: () => {
      draw(context.now().getTime())
      context.err('\n')
    },
  }
}
