/** TDX quotes, cold and warm. @packageDocumentation */
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type Collateral, QuoteVerifier } from '@phala/dcap-qvl'
import { initSync, js_verify } from '@phala/dcap-qvl-web'
import type { TrustAnchors } from '../../../src/core/endorsements/anchors.ts'
import { collectEndorsements } from '../../../src/core/endorsements/collect.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { tdx } from '../../../src/core/evidence/tdx/format.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { compareRates, compareTimes, type Operation } from '../measure.ts'
import { type Bench, type Finding, withNote } from '../row.ts'
import { type TdxSample, tdxSample } from '../samples.ts'

const WHAT_COLD =
  'TDX v4 quote, cold, against @phala/dcap-qvl: from the bytes of quote and collateral each time, no key, certificate or verdict remembered; code warm'
const WHAT_LIMIT =
  'what no cold verification on node:crypto can leave out, alone: nine P-256 verifications and five keys to import, against @phala/dcap-qvl; tdx-cold cannot come higher'
const WHAT_WARM =
  'TDX v4 quote, warm, against @phala/dcap-qvl: collateral parsed and its signatures verified before; it has no such memory'
const WHAT_WASM =
  'TDX v4 quote, cold, against @phala/dcap-qvl-web (WebAssembly): the same quote, collateral and time'
const WHAT_FLOOR = 'TDX v4 quote, warm, against two P-256 verifications by node:crypto'

/** Rows about TDX. */
export const TDX: readonly Bench[] = [
  {
    id: 'tdx-cold',
    what: WHAT_COLD,
    unit: '/s',
    goal: { of: 'ratio', sign: '>=', bound: 8 },
    run: async (effort) => {
      const sample = tdxSample()
      const found = await compareRates({ ours: cold(sample), theirs: peer(sample) }, effort)
      return withNote(found, sample.origin)
    },
  },
  {
    id: 'tdx-cold-limit',
    what: WHAT_LIMIT,
    unit: '/s',
    goal: { of: 'ratio', sign: '>=', bound: 8 },
    run: async (effort) => {
      const sample = tdxSample()
      const found = await compareRates({ ours: unavoidable(), theirs: peer(sample) }, effort)
      return withNote(found, sample.origin)
    },
  },
  {
    id: 'tdx-warm',
    what: WHAT_WARM,
    unit: '/s',
    goal: { of: 'ratio', sign: '>=', bound: 40 },
    run: async (effort) => {
      const sample = tdxSample()
      const found = await compareRates({ ours: warm(sample), theirs: peer(sample) }, effort)
      return withNote(found, sample.origin)
    },
  },
  {
    id: 'tdx-cold-wasm',
    what: WHAT_WASM,
    unit: '/s',
    goal: { of: 'ratio', sign: '>=', bound: 8 },
    run: async (effort) => {
      const sample = tdxSample()
      if (sample.root !== undefined) return notMeasured('it knows no root but Intel’s')
      const theirs = await wasmPeer(sample)
      return withNote(await compareRates({ ours: cold(sample), theirs }, effort), sample.origin)
    },
  },
  {
    id: 'tdx-warm-floor',
    what: WHAT_FLOOR,
    unit: 'µs',
    goal: { of: 'ratio', sign: '<=', bound: 1.5 },
    run: async (effort) => {
      const sample = tdxSample()
      const found = await compareTimes({ ours: warm(sample), theirs: twoVerifications() }, effort)
      return withNote(found, sample.origin)
    },
  },
]

/** One warm verification, throwing unless the quote is authentic; also what worker threads run. */
export function warm(sample: TdxSample): Operation {
  const { endorsements } = collect(sample)
  const { anchors, now, quote } = sample
  const context = { endorsements, anchors, now, crypto: createCrypto(), memo: createMemo(1000) }
  return async () => {
    const { authentic } = await tdx.authenticate(tdx.parse(quote), context)
    if (!authentic) throw new Error('not authentic')
  }
}

function cold(sample: TdxSample): Operation {
  return async () => {
    await coldOnce(sample, sample.anchors)
  }
}

async function coldOnce(sample: TdxSample, anchors: TrustAnchors): Promise<void> {
  const { endorsements } = collect(sample)
  const context = { endorsements, anchors, now: sample.now }
  const fresh = { crypto: createCrypto(), memo: createMemo(1000) }
  const { authentic } = await tdx.authenticate(tdx.parse(sample.quote), { ...context, ...fresh })
  if (!authentic) throw new Error('not authentic')
}

function collect({ collateral }: TdxSample) {
  return collectEndorsements([{ name: 'collateral', bytes: collateral }])
}

function peer({ quote, collateral, root, now }: TdxSample): Operation {
  const verifier = root === undefined ? QuoteVerifier.newProd() : QuoteVerifier.newWithRootCa(root)
  const text = Buffer.from(collateral).toString()
  const seconds = now.getTime() / 1000
  return () => verifier.verify(Buffer.from(quote), JSON.parse(text) as Collateral, seconds)
}

/** The WebAssembly build of the same verifier; it takes collateral as an object of texts and bytes. */
async function wasmPeer({ quote, collateral, now }: TdxSample): Promise<Operation> {
  const file = createRequire(import.meta.url).resolve('@phala/dcap-qvl-web')
  initSync({ module: readFileSync(join(dirname(file), 'dcap-qvl-web_bg.wasm')) })
  const text = Buffer.from(collateral).toString()
  const seconds = BigInt(now.getTime() / 1000)
  const run = (): unknown => js_verify(quote, JSON.parse(text) as unknown, seconds)
  const { status } = run() as { readonly status?: unknown }
  if (typeof status !== 'string') throw new Error('no verdict')
  return run
}

function notMeasured(note: string): Finding {
  return { ours: null, theirs: null, ratio: null, note }
}

/**
 * Quote, QE report, PCK, its CA, TCB signer, two lists and two documents are signed; the keys are those of
 * root, CA, PCK, TCB signer and quote. As text, a key is imported the fastest.
 */
function unavoidable(): Operation {
  const VERIFICATIONS = 9
  const keys = Array.from({ length: 5 }, () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const data = Buffer.alloc(632, 7)
    const pem = publicKey.export({ type: 'spki', format: 'pem' })
    return { pem, data, signature: sign('sha256', data, privateKey) }
  })
  return () => {
    const imported = keys.map(({ pem, ...rest }) => ({ key: createPublicKey(pem), ...rest }))
    for (let i = 0; i < VERIFICATIONS; i++) {
      const one = imported[i % imported.length]
      if (!one || !verify('sha256', one.data, one.key, one.signature)) throw new Error('not valid')
    }
  }
}

/** As fast as they get: key imported before, signature in DER, no trip to the pool. */
function twoVerifications(): Operation {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const data = Buffer.alloc(632, 7)
  const signature = sign('sha256', data, privateKey)
  return () => {
    const first = verify('sha256', data, publicKey, signature)
    if (!verify('sha256', data, publicKey, signature) || !first) throw new Error('not valid')
  }
}
