/** `vouchsafe demo`: the whole chain on one machine, with attacks. @packageDocumentation */
import { extname, join, relative } from 'node:path'
import type { Command } from 'commander'
import { EXIT_CODES } from '../../core/errors.ts'
import { type DemoSummary, runDemo } from '../../demo/demo.ts'
import type { CliContext } from '../context.ts'
import { makeDirectory } from '../new-directory.ts'
import { jsonText, paint, table } from '../output.ts'
import { untilSignal } from '../signals.ts'

interface DemoFlags {
  readonly json?: boolean
  readonly keep?: string
}

/** As a shell has it: 128 and the number of SIGINT. */
const EXIT_INTERRUPTED = 130

/** Adds the command. */
export function register(program: Command, context: CliContext): void {
  program
    .command('demo')
    .description('run the whole chain on this machine with a simulated TEE, and attack it')
    .option('--keep <directory>', 'leave configuration, keys and log there, to play on')
    .option('--json', 'print a summary as JSON, and nothing else')
    .action(async (flags: DemoFlags) => demo(flags, context))
}

async function demo({ json = false, keep }: DemoFlags, context: CliContext): Promise<void> {
  if (keep !== undefined) await makeDirectory(keep, { flag: 'keep', mode: 0o700 })
  const interrupted = new AbortController()
  void untilSignal().then(() => {
    interrupted.abort()
  })
  const { color } = context
  const write = (text: string): void => {
    if (!json) context.out(text)
  }
  write(intro(color))
  const look = {
    write,
    paint: (text: string, style: Parameters<typeof paint>[1]) => paint(text, style, color),
    live: color && !json,
  }
  // Beside this file's own folder, in `src` and in `dist` alike.
  const bin = join(import.meta.dirname, `../bin${extname(import.meta.filename)}`)
  try {
    const summary = await runDemo({ bin, look, keep, signal: interrupted.signal })
    if (!summary.ok) context.exit(EXIT_CODES.denied)
    context.out(json ? jsonText(summary) : outro(summary, color))
  } catch (error) {
    if (!interrupted.signal.aborted) throw error
    const rest = keep === undefined ? ' and removed' : `; what there was is in ${keep}`
    write(`\ninterrupted: everything was stopped${rest}\n`)
    context.exit(EXIT_INTERRUPTED)
  }
}

function intro(color: boolean): string {
  return [
    paint('vouchsafe demo: confidential inference, end to end', 'bold', color),
    '',
    'SIMULATED TEE: this machine makes its own evidence, in the genuine TDX format, under a root',
    'made a moment ago. It proves nothing about hardware. All the rest is the real thing: two',
    'processes on loopback, real checks, a real model, a real client.',
    '',
  ].join('\n')
}

function outro(summary: DemoSummary, color: boolean): string {
  const { acts, attacks, ok, seconds, kept } = summary
  const rows = acts.map(({ title, expectations, seconds: took }, i) => {
    const held = expectations.filter((one) => one.held).length
    return [`  ${i + 1}`, title, `${held} of ${expectations.length}`, `${took.toFixed(1)} s`]
  })
  const stopped = attacks.map(({ attack, refusedBy, held }) => {
    return [`  ${paint(held ? '✓' : '✗', held ? 'green' : 'red', color)}`, attack, refusedBy]
  })
  const total = acts.reduce((sum, { expectations }) => sum + expectations.length, 0)
  const verdict = ok
    ? paint(`All ${total} expectations held`, 'green', color)
    : paint('Not every expectation held: see ✗ above', 'red', color)
  return [
    `\n${paint('Summary', 'bold', color)}\n${table(rows)}\n${table(stopped)}\n`,
    `${verdict}. ${seconds.toFixed(1)} s.\n`,
    ...(kept === null ? [] : [playOn(kept)]),
  ].join('')
}

function playOn(kept: string): string {
  const short = relative(process.cwd(), kept)
  const place = short === '' || short.startsWith('..') ? kept : short
  return [
    '',
    `Everything is in ${place}. To play on, in a terminal each (from a checkout, npm run -s vouchsafe -- …):`,
    `  vouchsafe serve --config ${place}/vouchsafe.json`,
    `  vouchsafe enclave --config ${place}/enclave.json`,
    'and for any OpenAI client, with the URL that the first one prints:',
    `  vouchsafe proxy --gateway URL --api-key-file ${place}/service/tokens/client --pin ${place}/client-pin.json`,
    '',
  ].join('\n')
}
