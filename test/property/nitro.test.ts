import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { appraise } from '../../src/core/appraisal/appraise.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { unwrapEvidence } from '../../src/core/evidence/common/unwrap.ts'
import { parseDocument } from '../../src/core/evidence/nitro/document.ts'
import { nitro } from '../../src/core/evidence/nitro/format.ts'
import { createCrypto as createNode } from '../../src/drivers/crypto/node.ts'
import { createCrypto as createWeb } from '../../src/drivers/crypto/web.ts'
import { mintAwsPki, mintNitroDocument, mintNsmResponse } from '../../src/testing/index.ts'
import { mutationsOf, orTyped, prefixesOf } from '../support/mutate.ts'
import { AT, anchorsOf, appraiseNitro, type NitroCase, NOW, nitroPolicy } from '../support/nitro.ts'
import { sharedDir } from '../support/shared.ts'

const pki = mintAwsPki({ at: AT })
const document = mintNitroDocument({ pki, timestamp: AT })
const good: NitroCase = { document, anchors: anchorsOf(pki) }
const { message } = parseDocument(document)

async function tierOf(change: Partial<NitroCase>, base = good): Promise<string> {
  const result = await orTyped(async () => appraiseNitro({ ...base, ...change }))
  return result instanceof VouchsafeError ? result.code : result.tier
}

/** A real capture, if the shared folder is there. */
function capture(): NitroCase | undefined {
  const dir = sharedDir()
  if (dir === undefined) return undefined
  const file = join(dir, 'evidence/nitro/anjuna-attestdoc-sample_prod_doc.bin')
  const bytes = unwrapEvidence(new Uint8Array(readFileSync(file)))
  const now = new Date(parseDocument(bytes).document.timestamp + 1000)
  return { document: bytes, anchors: VENDOR_ANCHORS, now }
}

describe('Nitro', () => {
  it('flip-never-affirms', async () => {
    expect(await tierOf({})).toBe('affirming')
    for (let at = 0; at < document.length; at++) {
      const flipped = document.with(at, (document[at] ?? 0) ^ (1 << (at % 8)))
      expect(await tierOf({ document: flipped }), `byte ${at}`).not.toBe('affirming')
    }
  }, 60_000)

  it('flip-never-affirms, of a real capture', async () => {
    const real = capture()
    if (real === undefined) return
    expect(await tierOf({}, real)).toBe('affirming')
    // Every byte of the head, of the signature, and a seventh of the rest.
    const { length } = real.document
    for (let at = 0; at < length; at += at < 64 || at >= length - 96 ? 1 : 7) {
      const flipped = real.document.with(at, (real.document[at] ?? 0) ^ (1 << (at % 8)))
      expect(await tierOf({ document: flipped }, real), `byte ${at}`).not.toBe('affirming')
    }
  }, 60_000)

  it('truncation-is-typed', async () => {
    for (const whole of [document, mintNsmResponse(document)]) {
      for (const prefix of prefixesOf(whole)) {
        expect(await orTyped(() => parseDocument(prefix))).toBeInstanceOf(VouchsafeError)
        nitro.detects(prefix)
      }
    }
  })

  it('garbage-is-typed', async () => {
    const start = performance.now()
    for (const whole of [document, mintNsmResponse(document)]) {
      await fc.assert(
        fc.asyncProperty(mutationsOf(whole), async (mutation) => {
          nitro.detects(mutation)
          const parsed = await orTyped(() => parseDocument(mutation))
          if (parsed instanceof VouchsafeError) return
          nitro.describe(parsed)
          const same =
            Buffer.from(parsed.message.payload).equals(message.payload) &&
            Buffer.from(parsed.message.signature).equals(message.signature)
          if (!same) expect(await tierOf({ document: mutation })).not.toBe('affirming')
        }),
        { numRuns: 5000 },
      )
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        expect(await orTyped(() => parseDocument(bytes))).toBeInstanceOf(VouchsafeError)
      }),
      { numRuns: 2000 },
    )
    expect(performance.now() - start).toBeLessThan(60_000)
  }, 90_000)

  it('garbage-is-typed: lengths that lie allocate nothing', async () => {
    // An array, a map and a byte string, each of four billion.
    for (const head of [0x9a, 0xba, 0x5a]) {
      const lie = Uint8Array.of(head, 0xff, 0xff, 0xff, 0xff)
      expect(await orTyped(() => parseDocument(lie))).toBeInstanceOf(VouchsafeError)
    }
    // A hundred lists inside each other.
    expect(await orTyped(() => parseDocument(new Uint8Array(100).fill(0x81)))).toBeInstanceOf(
      VouchsafeError,
    )
  })

  it('absent-never-passes', async () => {
    const needed = ['module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle']
    for (const name of needed) {
      const without = mintNitroDocument({ pki, timestamp: AT, members: { [name]: undefined } })
      expect(await tierOf({ document: without }), name).toBe('ERR_EVIDENCE_MALFORMED')
    }
    for (let i = 0; i < pki.cabundle.length; i++) {
      const cabundle = pki.cabundle.filter((_, at) => at !== i)
      const without = mintNitroDocument({ pki, timestamp: AT, members: { cabundle } })
      expect(await tierOf({ document: without })).toBe('contraindicated')
    }
    const asked = nitroPolicy({ pcr5: { require: ['00'.repeat(48)] } })
    const pcrs = new Map([0, 1, 2].map((i) => [i, new Uint8Array(48).fill(1)] as const))
    const without = mintNitroDocument({ pki, timestamp: AT, members: { pcrs } })
    expect(await tierOf({ document: without })).toBe('affirming')
    expect(await tierOf({ document: without, policy: asked })).toBe('contraindicated')
  })

  it('tightening-never-helps', async () => {
    for (const change of [
      { 'freshness.maxAge': { require: 1 } },
      { moduleId: { require: ['x'] } },
      { pcr0: { require: ['11'.repeat(48)] } },
    ]) {
      expect(await tierOf({ policy: nitroPolicy(change) })).toBe('contraindicated')
    }
  })

  it('wrong-time-fails', async () => {
    const policy = nitroPolicy({ 'freshness.maxAge': { require: 24 * 3600 } })
    const at = async (time: number) => tierOf({ policy, now: new Date(time) })
    const end = AT.getTime() + 3 * 3_600_000
    expect(await at(AT.getTime() - 1000)).toBe('contraindicated')
    expect(await at(AT.getTime())).toBe('affirming')
    expect(await at(end)).toBe('affirming')
    expect(await at(end + 1000)).toBe('contraindicated')
  })

  it('replay-is-identical, on node:crypto and on WebCrypto', async () => {
    const input = {
      format: 'nitro',
      evidence: document,
      endorsements: NO_ENDORSEMENTS,
      referenceValues: [],
      policy: nitroPolicy(),
      binding: { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } },
      anchors: good.anchors,
      now: NOW,
    } as const
    const results = await Promise.all(
      [createNode(), createNode(), createWeb()].map(async (crypto) =>
        JSON.stringify(await appraise(input, { crypto, memo: createMemo(0) })),
      ),
    )
    expect(new Set(results).size).toBe(1)
  })
})
