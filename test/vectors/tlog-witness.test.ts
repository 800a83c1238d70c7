import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fromBase64 } from '../../src/core/bytes/base64.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { rootAt } from '../../src/core/tlog/merkle.ts'
import { requireConsistency } from '../../src/core/tlog/merkle-check.ts'
import { parseNote } from '../../src/core/tlog/note.ts'
import { parseVkey } from '../../src/core/tlog/note-key.ts'
import { openCheckpoint, openNote } from '../../src/core/tlog/open.ts'
import { decodeTile, tiledTree, tilePath } from '../../src/core/tlog/tiles.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { sharedDir } from '../support/shared.ts'

const crypto = createCrypto()
const blame = { code: 'ERR_LOG_MALFORMED', at: 'test' } as const
const shared = sharedDir()

describe.runIf(shared !== undefined)('published witness vectors', () => {
  const dir = join(shared ?? '', 'vectors/witness')
  const bytes = (path: string): Uint8Array => new Uint8Array(readFileSync(join(dir, path)))

  it('monitoring: three cosignatures verify; a line of an unknown CT log is ignored', async () => {
    const cases = [
      ['witness/witness.v0.json', 'witness'],
      ['witness/mirror/mirror.v0.json', 'witness/mirror'],
      ['witness2/witness.v0.json', 'witness2'],
    ] as const
    for (const [description, folder] of cases) {
      const { verifier_keys } = JSON.parse(
        readFileSync(join(dir, 'monitoring', description), 'utf8'),
      ) as { verifier_keys: readonly [string] }
      const key = await parseVkey(verifier_keys[0], crypto)
      expect(key.type).toBe(0x04)
      const [id = ''] = readdirSync(join(dir, 'monitoring', folder)).filter((n) => n.length === 64)
      const note = bytes(join('monitoring', folder, id, 'checkpoint'))
      const { note: parsed, verified } = await openNote(note, [key], crypto)
      expect(verified).toEqual([{ key, timestamp: 1767139200 }])
      const origin = parsed.text.split('\n')[0] ?? ''
      expect(toHex(await crypto.digest('SHA-256', utf8(origin)))).toBe(id)
    }
  })

  it('mirror: tiles of a log of 300 entries give its root', async () => {
    const mirror = 'monitoring/witness/mirror'
    const [id = ''] = readdirSync(join(dir, mirror)).filter((name) => name.length === 64)
    const { verifier_keys } = JSON.parse(
      readFileSync(join(dir, mirror, 'mirror.v0.json'), 'utf8'),
    ) as { verifier_keys: readonly [string] }
    const key = await parseVkey(verifier_keys[0], crypto)
    const note = bytes(join(mirror, id, 'checkpoint'))
    const origin = parseNote(note).text.split('\n')[0] ?? ''
    const { checkpoint } = await openCheckpoint(note, { origin, keys: [key] }, crypto)
    expect(checkpoint.size).toBe(300)
    const tree = tiledTree(crypto, 300, async (tile) =>
      decodeTile(bytes(join(mirror, id, tilePath(tile))), tile.width, blame),
    )
    expect(await rootAt(tree, 300)).toEqual(checkpoint.root)
  })

  it('litewitness: signatures and consistency proofs of ten requests', async () => {
    const requests = JSON.parse(
      readFileSync(join(dir, 'litewitness/add-checkpoint-requests.json'), 'utf8'),
    ) as readonly { request_body: string; status: number }[]
    expect(requests).toHaveLength(10)
    const sigsum =
      'sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562+5202289b+Af/cLU2Y5BJNP+r3iMDC+av9eWCD0fBJVDfzAux5zxAP'
    const sumdb = 'sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8'
    const keys = [await parseVkey(sigsum, crypto), await parseVkey(sumdb, crypto)]
    const answers: string[] = []
    const roots = new Map<number, Uint8Array>()
    for (const { request_body } of requests) {
      const [head = '', ...rest] = request_body.split('\n\n')
      const [old = '', ...hashes] = head.split('\n')
      const oldSize = Number(old.replace('old ', ''))
      const origin = rest.join('\n\n').startsWith('go.sum')
        ? 'go.sum database tree'
        : (keys[0]?.name ?? '')
      try {
        const { checkpoint } = await openCheckpoint(
          utf8(rest.join('\n\n')),
          { origin, keys },
          crypto,
        )
        const { size, root } = checkpoint
        const oldRoot = roots.get(oldSize) ?? new Uint8Array(32)
        // Size 0 is the witness' own case: nothing to prove.
        if (oldSize > 0 && origin !== 'go.sum database tree') {
          const proof = hashes.map((text) => fromBase64(text, blame))
          await requireConsistency(crypto, { oldSize, size, oldRoot, root, proof })
        }
        roots.set(size, root)
        answers.push('ok')
      } catch (err) {
        answers.push((err as { code: string }).code)
      }
    }
    expect(answers).toEqual([
      'ok',
      // The bad signature of this one ends in stray base64 bits, which come first.
      'ERR_LOG_MALFORMED',
      'ERR_LOG_UNTRUSTED',
      'ERR_LOG_INCONSISTENT',
      'ERR_LOG_INCONSISTENT',
      'ok',
      // Answered 409 by a witness, which knows a newer size; the proof itself starts from size 1.
      'ok',
      'ok',
      'ok',
      'ok',
    ])
  })
})
