/** The demo's library: the project's own documentation, cut into passages. @packageDocumentation */
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

/** Enough for the documentation, and a bound on what start-up embeds. */
const MAX_PASSAGES = 120
const MAX_FILE_BYTES = 256 * 1024
const MIN_LENGTH = 60
const MAX_LENGTH = 700

export interface Passage {
  /** File, relative to the directory it was found in. */
  readonly source: string
  /** The nearest heading above. */
  readonly heading: string
  readonly text: string
}

/**
 * Reads `*.md` of a directory and of its `docs`, in name order. What is not there is not an error:
 * an installed package has fewer pages than a checkout.
 *
 * @returns At most 120 passages; none for a directory without pages.
 */
export async function readPassages(directory: string): Promise<readonly Passage[]> {
  const pages = [...(await pagesIn(directory)), ...(await pagesIn(join(directory, 'docs')))]
  const passages: Passage[] = []
  for (const page of pages) {
    const markdown = (await readFile(page)).subarray(0, MAX_FILE_BYTES).toString('utf8')
    passages.push(...splitPassages(relative(directory, page), markdown))
  }
  return passages.slice(0, MAX_PASSAGES)
}

async function pagesIn(directory: string): Promise<readonly string[]> {
  try {
    const names = await readdir(directory)
    return names
      .filter((name) => name.endsWith('.md'))
      .sort()
      .map((name) => join(directory, name))
  } catch {
    // No such directory: then it has no pages.
    return []
  }
}

/** Prose paragraphs of one page, with their headings. Code blocks and tables are left out. */
export function splitPassages(source: string, markdown: string): readonly Passage[] {
  const passages: Passage[] = []
  let heading = source
  for (const block of withoutFences(markdown).split(/\n\s*\n/)) {
    const title = /^#{1,6}\s+(.+)/.exec(block.trim())
    if (title?.[1] !== undefined) heading = plain(title[1])
    const text = plain(block.replace(/^#{1,6}\s+.*$/gm, ''))
    if (text.length < MIN_LENGTH || block.trimStart().startsWith('|')) continue
    passages.push({ source, heading, text: text.slice(0, MAX_LENGTH) })
  }
  return passages
}

function withoutFences(markdown: string): string {
  return markdown
    .split(/^```.*$/m)
    .filter((_, i) => i % 2 === 0)
    .join('\n')
}

/** One line, without Markdown's marks. */
function plain(text: string): string {
  return text
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/[*`>]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g, '')
    .replace(/\s+/g, ' ')
    .trim()
}
