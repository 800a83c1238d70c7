import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBundle, verifyBundle } from '../../../src/core/audit/bundle.ts'
import { fromBase64, toBase64 } from '../../../src/core/bytes/base64.ts'
import { utf8 } from '../../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { nitroInput } from '../../support/appraisal.ts'
import { type AuditedLog, createAuditedLog, PLAIN_LEAVES, sourceOver } from '../../support/audit.ts'
import { createTestLog } from '../../support/tlog.ts'

const crypto = createCrypto()
const blame = { code: 'ERR_LOG_MALFORMED', at: 'test' } as const
const failure = (code: string, at: string): Error => expect.objectContaining({ code, at }) as Error
const tools = { crypto, memo: createMemo(64), anchors: nitroInput().anchors }
const SIZE = PLAIN_LEAVES
const APPRAISAL = SIZE
const RELEASE = SIZE + 1

let made: AuditedLog
let all: ReadonlyMap<string, Uint8Array>
let keys: AuditedLog['keys']
beforeAll(async () => {
  made = await createAuditedLog()
  ;({ all, keys } = made)
})
afterAll(async () => made.close())

const flip = (position: number) => (bytes: Uint8Array<ArrayBuffer>) => {
  bytes[position] = (bytes[position] ?? 0) ^ 1
  return bytes
}

describe('bundles', () => {
  const make = async (index: number): Promise<string> =>
    createBundle({ source: sourceOver(all), log: keys, crypto }, index)

  it('carry a leaf with all it needs, and nothing else is asked', async () => {
    for (const [index, outcome] of [
      [0, 'not-replayed'],
      [APPRAISAL, 'same'],
      [RELEASE, 'same'],
      [RELEASE + 1, 'same'],
      [RELEASE + 2, 'same'],
    ] as const) {
      const verdict = await verifyBundle(utf8(await make(index)), keys, tools)
      expect(verdict.index).toBe(index)
      expect(verdict.replay.outcome).toBe(outcome)
      expect(verdict.checkpoint.checkpoint.size).toBe(SIZE + 4)
    }
  })

  it('cannot be made of what is not there', async () => {
    await expect(make(SIZE + 4)).rejects.toThrow(failure('ERR_RESOURCE_NOT_FOUND', 'log.index'))
    const gone = new Map(all)
    gone.delete(`blobs/${made.appraisal.result.replace(':', '/')}`)
    const incomplete = createBundle({ source: sourceOver(gone), log: keys, crypto }, APPRAISAL)
    await expect(incomplete).rejects.toThrow(failure('ERR_LOG_INCONSISTENT', 'log.blobs'))
  })

  interface Parts {
    bundle: string
    proofs: string[]
    blobs: string[]
  }
  const altered = async (edit: (parts: Parts) => void): Promise<Uint8Array> => {
    const parts = JSON.parse(await make(RELEASE)) as Parts
    edit(parts)
    return utf8(JSON.stringify(parts))
  }

  it('are judged by their blobs, whatever is missing or changed', async () => {
    const count = (JSON.parse(await make(RELEASE)) as Parts).blobs.length
    for (let i = 0; i < count; i++) {
      const without = await altered(({ blobs }) => blobs.splice(i, 1))
      expect((await verifyBundle(without, keys, tools)).replay.outcome).toBe('unreplayable')
      const changed = await altered(({ blobs }) => {
        blobs[i] = toBase64(flip(0)(fromBase64(blobs[i] ?? '', blame)))
      })
      expect((await verifyBundle(changed, keys, tools)).replay.outcome).toBe('unreplayable')
    }
    const alone = await altered(({ proofs }) => proofs.splice(1))
    expect((await verifyBundle(alone, keys, tools)).replay.outcome).toBe('differs')
  })

  it('prove nothing under other keys, with another proof, or as something else', async () => {
    const others = await createTestLog('example.com/log')
    const good = utf8(await make(RELEASE))
    await expect(verifyBundle(good, others, tools)).rejects.toThrow(
      failure('ERR_LOG_UNTRUSTED', 'log.note.signature'),
    )
    const moved = await altered(({ proofs }) => {
      proofs[0] = (proofs[0] ?? '').replace(`index ${RELEASE}`, `index ${APPRAISAL}`)
    })
    await expect(verifyBundle(moved, keys, tools)).rejects.toThrow(
      failure('ERR_LOG_INCONSISTENT', 'log.proof.inclusion'),
    )
    const bare = await altered(({ proofs }) => {
      proofs[0] = (proofs[0] ?? '').replace(/extra .*\n/, '')
    })
    await expect(verifyBundle(bare, keys, tools)).rejects.toThrow(
      failure('ERR_LOG_MALFORMED', 'bundle.proofs[0].extra'),
    )
    for (const edit of [
      (parts: Parts) => (parts.bundle = 'v2'),
      (parts: Parts) => (parts.proofs = []),
      (parts: Parts) => parts.blobs.push('%'),
      (parts: Parts) => Object.assign(parts, { more: 1 }),
    ]) {
      const bad = await altered((parts) => {
        edit(parts)
      })
      await expect(verifyBundle(bad, keys, tools)).rejects.toThrow(
        expect.objectContaining({ code: 'ERR_LOG_MALFORMED' }),
      )
    }
  })

  it('truncation-is-typed', async () => {
    const good = utf8(await make(APPRAISAL))
    for (let i = 0; i < good.length - 1; i += 997) {
      await expect(verifyBundle(good.subarray(0, i), keys, tools)).rejects.toThrow(VouchsafeError)
    }
  })
})
