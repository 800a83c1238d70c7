/** The fake services are real HTTP on loopback; NVIDIA's own are not reached by any test. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  mintNvidiaDevice,
  mintNvidiaEvidence,
  mintNvidiaPki,
  mintNvidiaReport,
  mintOcspAnswers,
  mintRim,
} from '../../src/testing/index.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import {
  type FakeNvidia,
  type NvidiaPublications,
  startFakeNvidia,
} from '../support/fake-nvidia.ts'

const NOW = new Date()
const hopper = mintNvidiaPki({ at: NOW })
const gpu = mintNvidiaDevice(hopper)
const ls10 = mintNvidiaPki({ at: NOW, model: 'LS10' })
const nvswitch = mintNvidiaDevice(ls10)
const DRIVER = 'NV_GPU_DRIVER_GH100_590.12'
const all: NvidiaPublications = {
  rims: {
    [DRIVER]: mintRim(hopper, { kind: 'driver' }),
    NV_GPU_VBIOS_G520_0200_885_9600A50001: mintRim(hopper, { kind: 'vbios' }),
    NV_SWITCH_BIOS_5612_0002_890_9610550001: mintRim(ls10, { kind: 'bios' }),
  },
  answers: (nonce) => [
    ...mintOcspAnswers(hopper, gpu, () => ({ nonce })),
    ...mintOcspAnswers(ls10, nvswitch, () => ({ nonce })),
  ],
}
const anchorsOf = ({ anchors }: typeof hopper): readonly string[] =>
  [...anchors.device, ...anchors.rim].flatMap((one) => ['--unsafe-anchor', one])

let dir: string
let nvidia: FakeNvidia
let published = all
const at = (name: string): string => join(dir, name)
const requests = (): number => nvidia.rim.requests.length + nvidia.ocsp.requests.length

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-nvidia-'))
  nvidia = await startFakeNvidia(() => published)
  await writeFile(at('gpu.json'), mintNvidiaEvidence({ device: gpu }))
  await writeFile(at('gpu.bin'), mintNvidiaReport({ device: gpu }))
  await writeFile(at('switch.json'), mintNvidiaEvidence({ device: nvswitch }))
})
afterAll(async () => {
  await nvidia.close()
  await rm(dir, { recursive: true })
})

const run = async (...args: readonly string[]): Promise<CliRun> =>
  vouchsafe(args, { env: { HOME: dir, XDG_CACHE_HOME: at('cache') } })
const services = (): readonly string[] => [
  ...['--nvidia-rim', nvidia.rim.url, '--nvidia-ocsp', nvidia.ocsp.url],
]
const verifyGpu = async (...args: readonly string[]): Promise<CliRun> =>
  run('verify', ...anchorsOf(hopper), ...args, at('gpu.json'))

describe('vouchsafe verify --online', () => {
  const cache = () => ['--cache', at('gpu.sqlite')]

  it('is what it takes to ask anybody', async () => {
    const before = requests()
    expect((await verifyGpu()).code).toBe(40)
    expect(requests()).toBe(before)
  })

  it('affirms a GPU that came with nothing', async () => {
    const before = requests()
    const { code, stderr, stdout } = await verifyGpu('--online', ...services(), ...cache())
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^affirming:/m)
    expect(requests() - before).toBe(2 + 6)
  })

  it('asks nobody a second time, and the cache alone is enough', async () => {
    const asked = requests()
    expect((await verifyGpu(...cache())).code).toBe(0)
    expect((await verifyGpu('--online', ...services(), ...cache())).code).toBe(0)
    expect(requests()).toBe(asked)
  })

  it('affirms a bare report by the chain that is at hand', async () => {
    await mkdir(at('chain'))
    await Promise.all(gpu.chain.map(async (der, i) => writeFile(at(`chain/${i}.der`), der)))
    const args = ['--online', ...services(), '--cache', at('bare.sqlite')]
    const chain = ['--endorsements', at('chain')]
    const { code, stderr } = await run(
      ...['verify', ...args, ...chain, ...anchorsOf(hopper), at('gpu.bin')],
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('affirms a switch', async () => {
    const args = ['--online', ...services(), '--cache', at('switch.sqlite')]
    const { code, stderr } = await run('verify', ...args, ...anchorsOf(ls10), at('switch.json'))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('denies what NVIDIA revoked', async () => {
    published = {
      ...all,
      answers: (nonce) =>
        mintOcspAnswers(hopper, gpu, (name) => ({
          nonce,
          ...(name === gpu.rom.name && { status: 'revoked', reason: 1 }),
        })),
    }
    const { code, stdout } = await verifyGpu('--online', ...services(), '--cache', at('bad.sqlite'))
    published = all
    expect(code).toBe(10)
    expect(stdout).toMatch(/^ {2}fail {4}nvgpu\.chain\.revocation .*revoked, reason 1/m)
  })

  it('has no verdict where NVIDIA has nothing to say', async () => {
    published = { ...all, answers: () => [] }
    const unanswered = await verifyGpu('--online', ...services(), '--cache', at('none.sqlite'))
    published = all
    expect(unanswered.code).toBe(40)
    expect(unanswered.stderr).toContain('at endorsements.nvidia-ocsp.not_found')
  })

  it('denies what NVIDIA put on hold, and says so', async () => {
    published = {
      ...all,
      answers: (nonce) =>
        mintOcspAnswers(hopper, gpu, (name) => ({
          nonce,
          ...(name === gpu.rom.name && { status: 'revoked', reason: 6 }),
        })),
    }
    const { code, stdout } = await verifyGpu(
      '--online',
      ...services(),
      '--cache',
      at('hold.sqlite'),
    )
    published = all
    expect(code).toBe(10)
    expect(stdout).toMatch(/^ {2}fail {4}nvgpu\.chain\.revocation .*revoked, certificateHold/m)
  })

  it('takes an answer without its nonce only where it was told to', async () => {
    published = { ...all, answers: () => mintOcspAnswers(hopper, gpu) }
    const args = ['--online', ...services(), '--cache', at('nonce.sqlite')]
    const strict = await verifyGpu(...args)
    const optional = await verifyGpu(...args, '--nvidia-ocsp-nonce', 'optional')
    published = all
    expect(strict.code).toBe(40)
    expect(strict.stderr).toContain('at endorsements.nvidia-ocsp.nonce')
    expect(strict.stderr).toContain('nvidiaOcspNonce')
    expect({ code: optional.code, stderr: optional.stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('with a URL in the clear exits 50 and asks nobody', async () => {
    for (const [flag, name] of [
      ['--nvidia-rim', 'nvidiaRim'],
      ['--nvidia-ocsp', 'nvidiaOcsp'],
    ] as const) {
      const { code, stderr } = await verifyGpu('--online', flag, 'http://nvidia.example')
      expect(code).toBe(50)
      expect(stderr).toContain(`ERR_CONFIG_INVALID at verifier.endorsementServices.${name}`)
    }
  })
})

describe('vouchsafe endorsements', () => {
  const cache = () => ['--cache', at('fetch.sqlite')]

  it('fetch says what it got and until when; what it wrote verifies', async () => {
    const files = [at('gpu.json'), at('switch.json')]
    const fetched = await run(
      ...['endorsements', 'fetch', ...services(), ...cache(), '--out', at('out'), ...files],
    )
    expect(fetched).toMatchObject({ code: 0, stderr: '' })
    expect(fetched.stdout).toMatch(/^ok {2}manifest NV_GPU_DRIVER_GH100_590\.12 +until \d{4}-/m)
    expect(fetched.stdout).toMatch(/^ok {2}OCSP response about serial \w+ of .* until \d{4}-/m)
    expect(await readdir(at('out'))).toHaveLength(2 + 6 + 1 + 6)
    expect((await verifyGpu('--endorsements', at('out'))).code).toBe(0)
  })

  it('fetch shows what failed, keeps the rest, and exits by the failure', async () => {
    const rims = Object.fromEntries(Object.entries(all.rims).filter(([id]) => id !== DRIVER))
    published = { ...all, rims }
    const partial = await run(
      ...['endorsements', 'fetch', ...services(), '--cache', at('p.sqlite'), at('gpu.json')],
    )
    published = all
    expect(partial.code).toBe(40)
    expect(partial.stdout).toMatch(/^failed {2}manifest NV_GPU_DRIVER_GH100_590\.12 .*has no /m)
    expect(partial.stdout).toMatch(/^ok {6}manifest NV_GPU_VBIOS_/m)
  })

  const to = () => ['--cache', at('gap.sqlite')]

  it('a bundle crosses the gap: exported, and imported by its key', async () => {
    const key = ['--key', at('bundle.pem')]
    const exported = await run('endorsements', 'export', at('b.json'), ...key, ...cache())
    expect(exported).toMatchObject({ code: 0, stderr: '' })
    const signer = ['--signer', at('bundle.pem.pub')]
    const imported = await run('endorsements', 'import', at('b.json'), ...signer, ...to())
    expect(imported).toMatchObject({ code: 0, stderr: '' })
    expect(imported.stdout).toMatch(/^15 endorsements,/m)
  })

  it('what crossed it is enough to verify', async () => {
    const before = requests()
    expect((await verifyGpu(...to())).code).toBe(0)
    expect(requests()).toBe(before)
  })

  it('status lists what is kept, and how a GPU stands by it', async () => {
    const args = [...cache(), ...anchorsOf(hopper), at('gpu.json')]
    const { code, stdout } = await run('endorsements', 'status', ...args)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^manifest NV_GPU_DRIVER_GH100_590\.12 +\d{4}-/m)
    expect(stdout).toMatch(/gpu\.json: affirming/)
  })

  it('status judges a GPU once, whatever it was asked', async () => {
    const nonce = new Uint8Array(32).fill(7)
    await writeFile(at('again.json'), mintNvidiaEvidence({ device: gpu, nonce }))
    const files = [at('gpu.json'), at('again.json'), at('switch.json')]
    const anchors = [...anchorsOf(hopper), ...anchorsOf(ls10)]
    const { code, stdout, stderr } = await run(
      ...['endorsements', 'status', ...cache(), ...anchors, ...files],
    )
    expect(code).toBe(0)
    expect(stderr).toMatch(/^note: \S+again\.json is of the platform of \S+gpu\.json$/m)
    expect(stdout).toContain('0 of 2 would fail')
  })
})
