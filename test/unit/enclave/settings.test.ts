import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { run } from '../../../src/cli/program.ts'
import { createLineJournal } from '../../../src/enclave/journal.ts'
import { readEnclaveSettings, startEnclave } from '../../../src/main/enclave.ts'

const directory = mkdtempSync(join(tmpdir(), 'settings-'))
afterAll(() => {
  rmSync(directory, { recursive: true })
})

const GOOD = {
  verifier: 'http://127.0.0.1:8443',
  broker: 'http://127.0.0.1:8443',
  manifest: 'model/manifest.json',
  weights: 'model',
  model: 'demo',
  attester: 'configfs-tsm',
}
const read = (changes: object = {}) =>
  readEnclaveSettings({
    file: '/etc/vouchsafe/enclave.json',
    text: JSON.stringify({ ...GOOD, ...changes }),
  })

it('fills in defaults that are safe, and resolves paths beside the file', () => {
  expect(read()).toMatchObject({
    manifest: '/etc/vouchsafe/model/manifest.json',
    weights: '/etc/vouchsafe/model',
    weightsStore: '/dev/shm',
    allowWeightsOnDisk: false,
    listen: { host: '127.0.0.1', port: 8460 },
    tsmRoot: '/sys/kernel/config/tsm/report',
  })
})

it('resolves every other path beside the file, too', () => {
  const paths = { tpmEventLog: 'log', tsmRoot: 'tsm', tpmCertificates: 'ak.pem' }
  expect(read(paths)).toMatchObject({
    tpmEventLog: '/etc/vouchsafe/log',
    tsmRoot: '/etc/vouchsafe/tsm',
    tpmCertificates: '/etc/vouchsafe/ak.pem',
  })
})

it.each(['/dev/zero', 'pipe', 'huge', 'absent'])(
  'a manifest that is %s is refused at once',
  async (name) => {
    const manifest = join(directory, name)
    if (name === 'pipe') execFileSync('mkfifo', [manifest])
    if (name === 'huge') {
      writeFileSync(manifest, '')
      truncateSync(manifest, 2 ** 40)
    }
    const given = name.startsWith('/') ? name : manifest
    const settings = read({ manifest: given, attester: 'simulated', simulatedRoot: directory })
    const world = { journal: createLineJournal(() => undefined, ''), write: () => undefined }
    await expect(startEnclave(settings, world)).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      at: 'manifest',
      message: expect.stringMatching(
        `${given}.*give the manifest that vouchsafe seal wrote`,
      ) as unknown,
    })
  },
)

it.each([
  ['an unknown setting', { wieghts: 'x' }, 'wieghts'],
  ['a TPM without its key', { attester: 'tpm' }, 'tpmKey'],
  ['a model elsewhere', { model: 'https://api.example.com' }, 'model'],
  ['an unknown attester', { attester: 'sgx' }, 'attester'],
  ['a path in a service URL', { verifier: 'http://127.0.0.1/v1' }, 'verifier'],
  ['a gateway without a token', { gateway: 'http://127.0.0.1:1' }, 'gatewayTokenFile'],
  ['a simulated TEE without a root', { attester: 'simulated' }, 'simulatedRoot'],
  ['a port that is none', { listen: { port: 70_000 } }, 'listen.port'],
  ['a VMPL that is none', { tsmPrivlevel: 4 }, 'tsmPrivlevel'],
])('%s is refused, at its name', (_, changes, at) => {
  expect(() => read(changes)).toThrow(expect.objectContaining({ code: 'ERR_CONFIG_INVALID', at }))
})

it('every shipped default is within its own bounds', () => {
  expect(read({ listen: {} })).toMatchObject({ patienceSeconds: 60, receipts: 10_000 })
})

async function cli(...argv: readonly string[]) {
  const seen = { out: '', err: '', code: 0 }
  await run(['enclave', ...argv], {
    env: {},
    color: false,
    out: (text) => (seen.out += text),
    err: (text) => (seen.err += text),
    readStdin: async () => new Uint8Array(),
    now: () => new Date(),
    exit: (code) => (seen.code = code),
  })
  return seen
}

it('flags come before the file, and mistakes exit 50 naming what is wrong', async () => {
  const file = join(directory, 'enclave.json')
  writeFileSync(file, JSON.stringify({ ...GOOD, weightsStore: '/dev/shm', patienceSeconds: 0 }))
  const absent = await cli('--config', join(directory, 'absent.json'))
  expect([absent.code, absent.err]).toEqual([50, expect.stringContaining('ERR_USAGE_INVALID')])
  const manifest = await cli('--config', file)
  expect([manifest.code, manifest.err]).toEqual([50, expect.stringContaining('at manifest')])
  const flag = await cli('--config', file, '--model', 'http://192.0.2.1')
  expect([flag.code, flag.err]).toEqual([50, expect.stringContaining('manifest')])
  const listen = await cli('--listen', 'nowhere')
  expect([listen.code, listen.err]).toEqual([50, expect.stringContaining('HOST:PORT')])
  writeFileSync(file, '{"verifier": }')
  const broken = await cli('--config', file, '--model', 'demo')
  expect([broken.code, broken.err]).toEqual([50, expect.stringContaining('ERR_CONFIG_INVALID')])
})
