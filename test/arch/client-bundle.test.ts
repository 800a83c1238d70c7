/** The client is for browsers: its bundle has no server in it, and works where there is no Node. */
import { join } from 'node:path'
import { createContext, Script } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { type BuildResult, build, type Metafile } from 'esbuild'
import { beforeAll, describe, expect, it } from 'vitest'
import type { ConnectOptions, SecureSession } from '../../src/client/index.ts'
import { startStage } from '../support/client-stage.ts'

const root = join(import.meta.dirname, '../..')
const ENTRY = `export { connect } from './src/client/index.ts'
export { createPlatform } from './src/platform/web.ts'`
const SERVER = /^src\/(server|gateway|log|keybroker|verifier|enclave|proxy|cli|main|testing)[/.]/
const SERVER_DRIVERS = /^src\/drivers\/(store|kek|blob|attester|signer|http|endorsements)/
/** Loaded when needed: a megabyte of WebAssembly for NVIDIA's manifests, 60 kB for Hygon's SM2. */
const LATER = ['libxml2-wasm', 'sm-crypto-v2'] as const
/**
 * Minified; without it nobody would notice when a server's library got in. Formats grow with what they
 * check, so they have a bound of their own: seventeen of them.
 */
const MAX_BYTES = { formats: 265_000, others: 270_000 } as const

interface Bundled {
  connect(options: ConnectOptions): Promise<SecureSession>
  createPlatform(): ConnectOptions['platform']
}

async function bundle(contents: string): Promise<BuildResult<{ metafile: true; write: false }>> {
  return build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    absWorkingDir: root,
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'iife',
    globalName: 'vouchsafe',
    platform: 'browser',
    conditions: ['browser'],
    target: 'es2024',
    logLevel: 'silent',
    external: [...LATER],
  })
}

function serverCode({ inputs }: Metafile): readonly string[] {
  return Object.keys(inputs).filter((path) => SERVER.test(path) || SERVER_DRIVERS.test(path))
}

function formatBytes({ outputs }: Metafile): number {
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs))
  const formats = inputs.filter(([path]) => path.startsWith('src/core/evidence/'))
  return formats.reduce((sum, [, { bytesInOutput }]) => sum + bytesInOutput, 0)
}

let script: string
let metafile: Metafile
beforeAll(async () => {
  const built = await bundle(ENTRY)
  metafile = built.metafile
  script = built.outputFiles[0]?.text ?? ''
})

describe('the browser bundle of the client', () => {
  it('contains nothing of a server, and no Node module', () => {
    expect(serverCode(metafile)).toEqual([])
    const inputs = Object.keys(metafile.inputs)
    expect(inputs.filter((path) => /\/drivers\/.*node/.test(path))).toEqual([])
    expect(inputs.some((path) => path === 'src/drivers/sealing/web.ts')).toBe(true)
    expect(script).not.toContain('fastify')
    expect(/["'`]node:|\brequire\(/.exec(script)?.[0]).toBeUndefined()
    const loaded = script.match(/\bimport\([^)]*\)/g) ?? []
    expect([...new Set(loaded)].toSorted()).toEqual(LATER.map((name) => `import("${name}")`))
    const bytes = Buffer.byteLength(script)
    const formats = formatBytes(metafile)
    const packed = gzipSync(script, { level: 9 }).length
    console.info(
      `client bundle: ${bytes} bytes minified, ${packed} with gzip, ${inputs.length} files; ${formats} bytes are formats`,
    )
    expect(formats).toBeLessThan(MAX_BYTES.formats)
    expect(bytes - formats).toBeLessThan(MAX_BYTES.others)
  })

  it('and that check can fail', async () => {
    const server = await bundle(`export * from './src/gateway/settlement.ts'`)
    expect(serverCode(server.metafile)).toEqual(['src/gateway/settlement.ts'])
    await expect(bundle(`export * from './src/platform/node.ts'`)).rejects.toThrow('node:crypto')
  })

  it('verifies an enclave and seals to it with nothing but the globals of the web', async () => {
    const stage = await startStage()
    const context = createContext(webGlobals())
    new Script(`${script};globalThis.vouchsafe = vouchsafe`).runInContext(context)
    const vouchsafe = context['vouchsafe'] as Bundled
    const platform = { ...vouchsafe.createPlatform(), fetch: stage.fetch, clock: () => stage.now }
    const session = await vouchsafe.connect({ ...stage.options, platform })
    const report = await session.verify(stage.model)
    expect(report).toMatchObject({ verified: true, simulated: true })
    const answer = await session.fetch(`${session.baseURL}/chat/completions`, stage.call('hello'))
    expect(await answer.text()).toContain('hello')
    expect(await session.receipts()).toMatchObject([{ verified: true }])
    expect(stage.outside().join()).not.toContain('hello')
    // The same script in the same place refuses what it should.
    stage.keyset((document) => ({ ...document, statement: `${String(document['statement'])} ` }))
    const other = await vouchsafe.connect({ ...stage.options, platform })
    await expect(other.verify(stage.model)).rejects.toMatchObject({ code: 'ERR_KEYSET_REFUSED' })
    await stage.close()
  })
})

/** What a page has; no `process`, no `Buffer`, no `require`. */
function webGlobals(): Record<string, unknown> {
  const names = [
    ...[
      'AbortController',
      'AbortSignal',
      'CompressionStream',
      'DOMException',
      'Headers',
      'Request',
    ],
    ...['ReadableStream', 'Response', 'TextDecoder', 'TextEncoder', 'URL', 'URLSearchParams'],
    ...['WritableStream', 'TransformStream', 'atob', 'btoa', 'crypto', 'fetch', 'queueMicrotask'],
    ...['setTimeout', 'clearTimeout', 'structuredClone', 'performance', 'console'],
    // The realm's own would not know the bytes that come from outside it.
    ...['Uint8Array', 'ArrayBuffer', 'DataView', 'Error', 'TypeError', 'RangeError', 'Promise'],
  ]
  const globals = Object.fromEntries(
    names.map((name): [string, unknown] => [name, Reflect.get(globalThis, name)]),
  )
  return { ...globals, navigator: { userAgent: 'test' } }
}
