/** What the README says is so: its code compiles, its commands exist, its links lead somewhere. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { run } from '../../src/cli/program.ts'
import { parseConfig } from '../../src/main/config.ts'

const ROOT = join(import.meta.dirname, '../..')
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Readonly<Record<string, unknown>>
  scripts: Readonly<Record<string, string>>
}

/** Fenced blocks of one language. */
function blocks(language: string): readonly string[] {
  return [...README.matchAll(/^```(\w+)\n([^]*?)^```$/gm)]
    .filter(([, name]) => name === language)
    .map(([, , text = '']) => text)
}

/** The source behind each subpath of `exports`, for Node. */
function sourcePaths(): Record<string, string[]> {
  const target = (entry: unknown): string => {
    if (typeof entry === 'string') return entry
    const { node, default: other } = entry as Readonly<Record<string, unknown>>
    return target(node ?? other)
  }
  const subpaths = Object.keys(PACKAGE.exports).filter((name) => !name.endsWith('.json'))
  return Object.fromEntries(
    subpaths.map((name) => {
      const source = target(PACKAGE.exports[name]).replace('./dist/', './src/')
      return [name.replace('.', 'vouchsafe'), [source.replace(/\.js$/, '.ts')]]
    }),
  )
}

/** What the compiler says about a text, as if it lay beside the README. */
function diagnose(text: string): readonly string[] {
  const file = join(ROOT, 'readme-block.ts')
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path))
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT)
  const changed = { ...options, noEmit: true, rootDir: ROOT, paths: sourcePaths() }
  const host = ts.createCompilerHost(changed)
  const [readFile, fileExists] = [host.readFile.bind(host), host.fileExists.bind(host)]
  host.readFile = (path) => (path === file ? text : readFile(path))
  host.fileExists = (path) => path === file || fileExists(path)
  const program = ts.createProgram([file], changed, host)
  const source = program.getSourceFile(file)
  return [
    ...program.getSyntacticDiagnostics(source),
    ...program.getSemanticDiagnostics(source),
  ].map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

describe('code', () => {
  it('every TypeScript block type-checks against the source', { timeout: 120_000 }, () => {
    const found = blocks('ts')
    expect(found.length).toBeGreaterThan(0)
    for (const block of found) expect(diagnose(block)).toEqual([])
    // The same block, asking for what is not there: this check can fail.
    const wrong = found[0]?.replace('{ connect }', '{ conect as connect }') ?? ''
    expect(diagnose(wrong)[0]).toContain('conect')
  })

  it('every configuration loads', () => {
    const found = blocks('json')
    expect(found.length).toBeGreaterThan(0)
    for (const text of found) {
      expect(parseConfig({ file: 'README.md', text }).mode).toBe('production')
    }
  })

  it('every subpath of the package is in the table, and no other', () => {
    const listed = [...README.matchAll(/^\| `(vouchsafe(?:\/\w+)?)` \|/gm)].map(([, name]) => name)
    expect(listed.toSorted()).toEqual(Object.keys(sourcePaths()).toSorted())
    for (const source of Object.values(sourcePaths()).flat()) {
      expect(existsSync(join(ROOT, source)), source).toBe(true)
    }
  })
})

/** A command line as the README writes it: the words of the command, and the flags. */
interface Written {
  readonly words: readonly string[]
  readonly flags: readonly string[]
}

function commandOf(line: string): Written {
  const words = line.split(/\s+/).slice(1)
  return {
    words: words.slice(0, 2).filter((word) => /^[a-z-]+$/.test(word) && !word.startsWith('-')),
    flags: words.filter((word) => word.startsWith('--')),
  }
}

/** In shell blocks, and in the text. */
function commands(): readonly Written[] {
  const joined = blocks('sh').map((block) => block.replaceAll(/\\\n\s*/g, ' '))
  const lines = joined.flatMap((block) => block.split('\n'))
  const shell = lines.filter((line) => line.startsWith('vouchsafe ')).map(commandOf)
  const table = [...README.matchAll(/^\| `(vouchsafe [a-z -]+)` \| (.*) \|$/gm)].map(
    ([, command = '', text = '']) => ({
      ...commandOf(command),
      flags: [...text.matchAll(/`(--[a-z-]+)`/g)].map(([, flag = '']) => flag),
    }),
  )
  return [...shell, ...table]
}

async function help(words: readonly string[]): Promise<string> {
  let [text, code] = ['', 0]
  const out = (more: string): void => {
    text += more
  }
  await run([...words, '--help'], {
    env: {},
    color: false,
    out,
    err: out,
    readStdin: async () => new Uint8Array(),
    now: () => new Date(0),
    exit: (status) => {
      code = status
    },
  })
  expect({ words, code }).toEqual({ words, code: 0 })
  return text
}

describe('commands', () => {
  const written = commands()
  const path = async (words: readonly string[]): Promise<readonly string[]> => {
    const [first = '', second] = words
    if (second === undefined) return [first]
    const parent = await help([first])
    return new RegExp(`^  ${second} `, 'm').test(parent) ? [first, second] : [first]
  }

  it('there are some, from blocks and from the table', () => {
    expect(written.length).toBeGreaterThan(20)
  })

  it('every command and every flag exists', async () => {
    for (const { words, flags } of written) {
      const known = await path(words)
      const text = await help(known)
      expect(text).toContain(`Usage: vouchsafe ${known.join(' ')} `)
      for (const flag of flags) expect(text, words.join(' ')).toMatch(new RegExp(`${flag}[ ,\n]`))
    }
  })

  it('every command of the program is in the table', async () => {
    const listed = new Set(written.map(({ words }) => words[0]))
    const all = [...(await help([])).matchAll(/^ {2}([a-z]+)(?: |$)/gm)].map(
      ([, name = '']) => name,
    )
    expect(all.length).toBeGreaterThan(8)
    expect(all.filter((name) => name !== 'help' && !listed.has(name))).toEqual([])
  })

  it('every npm script exists', () => {
    const named = [...README.matchAll(/npm run (?:-s )?([a-z:]+)/g)].map(([, name = '']) => name)
    expect(named).toContain('demo')
    for (const name of [...named, 'start', 'test']) expect(PACKAGE.scripts).toHaveProperty(name)
  })
})

/** Headings as GitHub names them in links. */
function anchors(file: string): readonly string[] {
  const headings = [...readFileSync(file, 'utf8').matchAll(/^#{1,6} (.+)$/gm)]
  return headings.map(([, text = '']) =>
    text
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  )
}

it.each(['README.md', 'SECURITY.md', 'LIMITATIONS.md', 'docs/configuration.md'])(
  'every relative link of %s leads somewhere',
  (name) => {
    const file = join(ROOT, name)
    for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const found = path === '' ? file : join(dirname(file), path)
      expect(existsSync(found), target).toBe(true)
      if (anchor !== undefined) expect(anchors(found)).toContain(anchor)
    }
  },
)
