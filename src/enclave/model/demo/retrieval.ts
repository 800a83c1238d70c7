/** Finds the passages closest in meaning to a question. @packageDocumentation */
import type { Embedder } from './embedder.ts'
import type { Passage } from './passages.ts'

/** Embedding costs time per token, and the start of a passage says what it is about. */
const EMBEDDED_LENGTH = 240

export interface Found {
  readonly passage: Passage
  /** Cosine of the angle between question and passage, -1 to 1. */
  readonly similarity: number
}

export interface Library {
  /** The closest passages, best first; fewer if there are fewer. */
  find(question: string, limit: number): Promise<readonly Found[]>
}

/** Embeds passages one by one, giving way to requests in between. */
export function createLibrary(passages: readonly Passage[], embedder: Embedder): Library {
  const indexed = index(passages, embedder)
  // A failure is reported to whoever asks; without a reader it must not end the process.
  indexed.catch(() => undefined)
  return {
    find: async (question, limit) => {
      const [wanted, entries] = [await embedder.embed(question), await indexed]
      return entries
        .map(({ passage, vector }) => ({ passage, similarity: cosine(wanted, vector) }))
        .sort((a, b) => b.similarity - a.similarity)
        .slice(0, limit)
    },
  }
}

interface Entry {
  readonly passage: Passage
  readonly vector: Float32Array
}

async function index(passages: readonly Passage[], embedder: Embedder): Promise<readonly Entry[]> {
  const entries: Entry[] = []
  for (const passage of passages) {
    const text = `${passage.heading}. ${passage.text}`.slice(0, EMBEDDED_LENGTH)
    entries.push({ passage, vector: await embedder.embed(text) })
    await new Promise((resolve) => setImmediate(resolve))
  }
  return entries
}

/** Both vectors have length one, so this is their dot product. */
function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)
}
