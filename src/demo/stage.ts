/**
 * What the demo shows and what it expects. Nothing is narrated as fact that was not asked here: an
 * expectation that does not hold is shown, counted, and decides the exit code.
 *
 * @packageDocumentation
 */

/** How to reach the person, or nobody. */
export interface Look {
  readonly write: (text: string) => void
  readonly paint: (text: string, style: 'red' | 'green' | 'yellow' | 'dim' | 'bold') => string
  /** A terminal: unfinished work may be redrawn in place. */
  readonly live: boolean
}

/** One thing that had to be so. */
export interface Expectation {
  readonly what: string
  readonly held: boolean
  /** What was seen instead, or as evidence. */
  readonly found: string
}

/** An attack and who stopped it. */
export interface Refusal {
  readonly attack: string
  readonly refusedBy: string
  /** Check id or error code, with its place. */
  readonly reason: string
  readonly held: boolean
}

/** One act of the demo. */
export interface Act {
  readonly title: string
  readonly seconds: number
  readonly expectations: readonly Expectation[]
}

/** Everything that was expected, in order. */
export interface StageRecord {
  readonly acts: readonly Act[]
  readonly attacks: readonly Refusal[]
}

export interface Stage {
  /** Begins the next act. */
  act(title: string): void
  say(text: string): void
  /** Part of the act: something being shown on its own. */
  heading(text: string): void
  /** What a person would type after `vouchsafe`. */
  command(text: string): void
  /** One line of something longer. */
  line(text: string): void
  /** Text as it comes, wrapped. Returns what adds more of it, and nothing ends the last line. */
  stream(): (more: string) => void
  expect(expectation: Expectation): void
  /** An expectation that somebody refuses. */
  refused(refusal: Refusal): void
  /** Shows that something is going on until it is done. */
  during<T>(text: string, work: Promise<T>): Promise<T>
  readonly record: () => StageRecord
}

const INDENT = '   '
/** After the indent. */
const COLUMNS = 93
const TICK_MS = 120
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

/** A stage; `now` is monotonic milliseconds. */
export function createStage(look: Look, now: () => number): Stage {
  const book = createBook(now)
  const line = (text: string): void => {
    look.write(`${INDENT}${text}\n`)
  }
  const expect = (expectation: Expectation): void => {
    const { what, held, found } = expectation
    book.expected(expectation)
    const mark = held ? look.paint('✓', 'green') : look.paint('✗', 'red')
    line(`${mark} ${what}${found === '' ? '' : look.paint(`  ${found}`, 'dim')}`)
  }
  return {
    act: (title) => {
      look.write(`\n${look.paint(`${book.began(title)}  ${title}`, 'bold')}\n`)
    },
    say: line,
    heading: (text) => {
      look.write(`\n${INDENT}${look.paint(text, 'bold')}\n`)
    },
    command: (text) => {
      line(look.paint(`$ vouchsafe ${text}`, 'dim'))
    },
    line: (text) => {
      line(look.paint(`  ${text}`, 'dim'))
    },
    stream: () => wrapping(look),
    expect,
    refused: (refusal) => {
      const { refusedBy, reason, held } = refusal
      book.refused(refusal)
      expect({ what: `refused by ${refusedBy}`, held, found: reason })
    },
    during: async (text, work) => show(text, work, { look, now }),
    record: book.record,
  }
}

/** What has happened so far. */
interface Book {
  /** @returns The number of the act. */
  readonly began: (title: string) => number
  readonly expected: (expectation: Expectation) => void
  readonly refused: (refusal: Refusal) => void
  readonly record: () => StageRecord
}

function createBook(now: () => number): Book {
  const acts: { title: string; started: number; expectations: Expectation[] }[] = []
  const attacks: Refusal[] = []
  return {
    began: (title) => acts.push({ title, started: now(), expectations: [] }),
    expected: (expectation) => acts.at(-1)?.expectations.push(expectation),
    refused: (refusal) => attacks.push(refusal),
    record: () => ({
      acts: acts.map(({ title, started, expectations }, i) => {
        const ended = acts[i + 1]?.started ?? now()
        return { title, seconds: seconds(ended - started), expectations }
      }),
      attacks,
    }),
  }
}

/** Milliseconds as seconds with a tenth. */
export function seconds(ms: number): number {
  return Math.round(ms / 100) / 10
}

async function show<T>(
  text: string,
  work: Promise<T>,
  { look, now }: { readonly look: Look; readonly now: () => number },
): Promise<T> {
  if (!look.live) return work
  const started = now()
  let frame = 0
  const draw = (): void => {
    const mark = FRAMES[frame++ % FRAMES.length] ?? ''
    const passed = seconds(now() - started).toFixed(1)
    look.write(`\r${INDENT}${mark} ${text} ${look.paint(`${passed} s`, 'dim')}\u001B[K`)
  }
  draw()
  const timer = setInterval(draw, TICK_MS)
  try {
    return await work
  } finally {
    clearInterval(timer)
    look.write('\r\u001B[K')
  }
}

/** Lines of bounded length, broken between words, while the words are still coming. */
function wrapping({ write }: Pick<Look, 'write'>): (more: string) => void {
  let [column, gap] = [0, '']
  return (more) => {
    for (const [part] of more.matchAll(/\n|[^\S\n]+|\S+/g)) {
      if (part.trim() === '' && part !== '\n') {
        gap = part
        continue
      }
      const breaks = part === '\n' || column + gap.length + part.length > COLUMNS
      if (breaks) [column, gap] = [0, '']
      const before = column === 0 && part !== '\n' ? INDENT : gap
      write((breaks ? '\n' : '') + before + part.trim())
      column += gap.length + part.trim().length
      gap = ''
    }
  }
}
