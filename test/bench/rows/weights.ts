/** Opening weights. @packageDocumentation */
import { createDecipheriv, createSecretKey, randomBytes } from 'node:crypto'
import { openFloeFile, openFloeRange } from '../../../src/core/weights/floe-open.ts'
import { sealFloe } from '../../../src/core/weights/floe-seal.ts'
import { systemRandom } from '../../../src/drivers/random.ts'
import { createSegmentCipher } from '../../../src/drivers/weights/node.ts'
import { chunksOf, readFrom } from '../../support/weights.ts'
import { compareRates, type Operation } from '../measure.ts'
import type { Bench, Finding } from '../row.ts'

const MIB = 1 << 20
const SIZE = 32 * MIB
/** What our cipher decrypts at once, and so what the bare one does. */
const SLICE = 256 * 1024
const FLOE_HEADER = 74

/** The row about weights. */
export const WEIGHTS: readonly Bench[] = [
  {
    id: 'floe-open',
    what: 'FLOE, 32 MiB in segments of 1 MiB opened from memory, against bare AES-256-GCM in slices of 256 KiB',
    unit: 'MB/s',
    goal: { of: 'ratio', sign: '>=', bound: 0.85 },
    run: async (effort) => {
      const found = await compareRates({ ours: await openFloe(), theirs: openBare() }, effort)
      return perMegabyte(found)
    },
  },
]

function perMegabyte(found: Finding): Finding {
  const of = (rate: number | null) => (rate === null ? null : (rate * SIZE) / 1e6)
  return { ...found, ours: of(found.ours), theirs: of(found.theirs) }
}

async function openFloe(): Promise<Operation> {
  const cipher = createSegmentCipher()
  const secret = { key: systemRandom(32), aad: new Uint8Array(32), segment: MIB }
  const source = chunksOf(new Uint8Array(SIZE), SLICE)
  const parts: Uint8Array[] = []
  for await (const part of sealFloe(source, { secret, cipher, random: systemRandom })) {
    parts.push(part.slice())
  }
  const sealed = Buffer.concat(parts)
  const header = sealed.subarray(0, FLOE_HEADER)
  const read = readFrom(sealed)
  return async () => {
    const file = openFloeFile(header, { secret, cipher, sealedSize: sealed.length })
    let length = 0
    for await (const part of openFloeRange(file, { offset: 0, length: SIZE }, read)) {
      length += part.length
    }
    if (length !== SIZE) throw new Error('not opened')
  }
}

function openBare(): Operation {
  const key = createSecretKey(randomBytes(32))
  const iv = randomBytes(12)
  const sealed = Buffer.alloc(SIZE, 7)
  return () => {
    const opening = createDecipheriv('aes-256-gcm', key, iv)
    for (let at = 0; at < SIZE; at += SLICE) opening.update(sealed.subarray(at, at + SLICE))
  }
}
