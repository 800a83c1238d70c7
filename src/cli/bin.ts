#!/usr/bin/env node
import { createInterface } from 'node:readline/promises'
import { collectWithin } from './input-file.ts'
import { run } from './program.ts'

// A reader that has seen enough, such as `head`, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

/** The one place where the command line meets the process it runs in. */
await run(process.argv.slice(2), {
  env: process.env,
  // https://no-color.org: present and not empty.
  color: process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '',
  out: (text) => {
    process.stdout.write(text)
  },
  err: (text) => {
    process.stderr.write(text)
  },
  readStdin: async (most) => collectWithin(process.stdin, 'stdin', { flag: 'file', most }),
  now: () => new Date(),
  confirm: ask,
  exit: (code) => {
    process.exitCode = code
  },
})

/** On stderr, so that output can be piped. Anything but yes is no. */
async function ask(question: string): Promise<boolean | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(?:es)?$/i.test((await lines.question(`${question} [y/N] `)).trim())
  } finally {
    lines.close()
  }
}
