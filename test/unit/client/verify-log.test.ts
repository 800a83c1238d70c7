/** One session, more than one look at the log. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { connect, EnclaveRefusedError } from '../../../src/client/index.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { encodeLeaf } from '../../../src/core/tlog/leaf.ts'
import { inclusionProof } from '../../../src/core/tlog/merkle.ts'
import { encodeProof, parseProof } from '../../../src/core/tlog/proof.ts'
import { type Stage, startStage } from '../../support/client-stage.ts'
import { leafOf } from '../../support/log.ts'
import { createTestLog } from '../../support/tlog.ts'

type Answer = Record<string, unknown>
let stage: Stage
beforeAll(async () => {
  stage = await startStage()
})
afterAll(async () => stage.close())
beforeEach(() => {
  stage.keyset((answer) => answer)
})

const proofOf = (answer: Answer): string => (answer['log'] as { proof: string }).proof
const reproved = (answer: Answer, proof: string): Answer => ({ ...answer, log: { proof } })

describe('the log over time', () => {
  const session = async () => {
    const pin = { ...stage.pin, verify_every: 0 }
    const opened = await connect({ ...stage.options, pin })
    return async (model: string) => opened.verify(model)
  }
  const failed = async (verified: Promise<unknown>) => {
    const error: unknown = await verified.catch((thrown: unknown) => thrown)
    if (!(error instanceof EnclaveRefusedError)) throw error
    return error.report.checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id)
  }
  const grow = async () => {
    const { log } = stage.gateway.log
    await log.proof((await log.append(leafOf(1))).index)
  }

  it('may grow, and what it was is proved to be in what it is', async () => {
    const again = await session()
    for (let i = 0; i < 3; i++) {
      await grow()
      const { checks } = await again(stage.model)
      expect(checks.find(({ id }) => id === 'client.log.consistency')?.outcome).toBe('pass')
    }
    expect(stage.outside().some((line) => line.includes('/log/tile/0/000.p/'))).toBe(true)
    // Nobody should be shown a log of their own: it is read without a key.
    for (const line of stage.outside()) {
      if (line.includes('/log/tile/')) expect(line).not.toContain('authorization')
    }
  })

  it('may not shrink', async () => {
    const again = await session()
    let old = ''
    stage.keyset((answer) => {
      old = proofOf(answer)
      return answer
    })
    await again(stage.model)
    await grow()
    stage.keyset((answer) => answer)
    await again(stage.model)
    stage.keyset((answer) => reproved(answer, old))
    expect(await failed(again(stage.model))).toEqual(['client.log.forward'])
  })

  it.each([
    ['of the same size', 0],
    ['that is larger', 3],
  ])('may not be another log %s', async (_, more) => {
    const again = await session()
    let seen = ''
    stage.keyset((answer) => {
      seen = proofOf(answer)
      return answer
    })
    await again(stage.model)
    const { checkpoint, extra = new Uint8Array(0) } = parseProof(utf8(seen))
    const size = Number(checkpoint.split('\n')[1]) + more
    const fork = await forkedProof(extra, size)
    stage.keyset((answer) => reproved(answer, fork.proof))
    const tile = `/log/tile/0/000.p/${size}`
    stage.replace(tile, async () => new Response(fork.tile))
    expect(await failed(again(stage.model))).toEqual(['client.log.consistency'])
    // Nor does it count that the tiles of the log that everybody else sees are shown with it.
    stage.replace(tile, async () => new Response(new Uint8Array(32 * size)))
    expect(await failed(again(stage.model))).toEqual(['client.log.consistency'])
    stage.replace(tile, undefined)
  })

  it('is asked one question at a time: two first looks cannot see two logs', async () => {
    const again = await session()
    let turn = 0
    stage.keyset(async (answer) => {
      if (turn++ === 0) return answer
      const { extra = new Uint8Array(0), checkpoint } = parseProof(utf8(proofOf(answer)))
      const fork = await forkedProof(extra, Number(checkpoint.split('\n')[1]))
      return reproved(answer, fork.proof)
    })
    stage.replace('/v1/keyset', async (url, init) =>
      fetch(url.replace('model=twin', `model=${stage.model}`), init),
    )
    const [one, two] = await Promise.allSettled([again(stage.model), again('twin')])
    stage.replace('/v1/keyset', undefined)
    expect(one.status).toBe('fulfilled')
    const reason: unknown = two.status === 'rejected' ? two.reason : undefined
    expect(await failed(Promise.reject(reason as Error))).toContain('client.log.consistency')
  })

  /** A proof for a leaf in a log of other leaves, signed by the pinned keys. */
  async function forkedProof(leaf: Uint8Array, size: number) {
    const entries = Array.from({ length: size }, (_, i) =>
      i === 0 ? leaf : encodeLeaf(leafOf(9_000 + i)),
    )
    const { logKeys } = stage.gateway
    const tree = await logKeys.tree(entries)
    const timestamp = Math.floor(stage.now.getTime() / 1000)
    const hashes = await inclusionProof(tree, 0, size)
    const checkpoint = await logKeys.sign(entries, timestamp)
    const tile = await Promise.all(entries.map(async (__, i) => tree.node(0, i)))
    return {
      proof: encodeProof({ extra: leaf, index: 0, hashes, checkpoint }),
      tile: Buffer.concat(tile),
    }
  }

  it('whose keys are others is none', async () => {
    const { origin } = stage.gateway.logKeys
    const { vkeys: keys } = await createTestLog(origin)
    const pin = { ...stage.pin, log: { origin, keys, max_age: { require: 600 } } }
    const stranger = await connect({ ...stage.options, pin })
    expect(await failed(stranger.verify(stage.model))).toContain('client.log.inclusion')
  })
})
