/**
 * What the enclave tells its operator: each step in plain words, with what was checked. Nothing that
 * was inside a seal, no key and no token ever comes here; there is no place to put it.
 *
 * @packageDocumentation
 */

/** One finding of a step: a name and something printable. */
type Facts = Readonly<Record<string, string | number | boolean>>

export interface Journal {
  /** Something was done and checked. */
  step(text: string, facts?: Facts): void
  /** Something failed and will be tried again, or needs a person. */
  warn(text: string, facts?: Facts): void
}

/** Remembers nothing. */
export const SILENT: Journal = { step: () => undefined, warn: () => undefined }

/**
 * A journal of lines: `step` or `warn`, the text, then the facts as `name=value`.
 *
 * @param label - Put before every line of an enclave whose hardware is not real (`simulated`).
 */
export function createLineJournal(write: (line: string) => void, label = ''): Journal {
  const prefix = label === '' ? '' : `[${label}] `
  const line = (text: string, facts: Facts = {}): string => {
    const told = Object.entries(facts).map(([name, value]) => `${name}=${printable(value)}`)
    return `${prefix}${[text, ...told].join('  ')}`
  }
  return {
    step: (text, facts) => {
      write(line(text, facts))
    },
    warn: (text, facts) => {
      write(line(`warning: ${text}`, facts))
    },
  }
}

/** A peer's words must not forge lines of ours. */
function printable(value: string | number | boolean): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return String(value).replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ')
}
