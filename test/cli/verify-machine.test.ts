/** `vouchsafe verify` of a CPU and its GPUs. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import { vouchsafe } from '../support/cli.ts'
import { CHALLENGE, MACHINE_AT, mintMachine } from '../support/machine.ts'

const directory = mkdtempSync(join(tmpdir(), 'machine-'))
const at = (name: string): string => join(directory, name)
const names = ['cpu0', 'gpu0', 'gpu1']
let anchors: readonly string[] = []

beforeAll(async () => {
  const machine = mintMachine(2)
  const { statement, parts } = await machine.honest()
  const { intel, nvidia } = machine.anchors
  anchors = [...intel, ...nvidia.device, ...nvidia.rim].flatMap((one) => ['--unsafe-anchor', one])
  mkdirSync(at('endorsements'))
  const { rims = [], ocspResponses = [], ...rest } = machine.endorsements
  const place = (name: string): string => join(at('endorsements'), name)
  writeFileSync(place('rest.json'), JSON.stringify(endorsementsToJson(rest)))
  ocspResponses.forEach((der, n) => {
    writeFileSync(place(`ocsp${n}.der`), der)
  })
  rims.forEach((xml, n) => {
    writeFileSync(place(`rim${n}.xml`), xml)
  })
  writeFileSync(at('statement'), statement)
  parts.forEach(({ evidence }, i) => {
    writeFileSync(at(names[i] ?? ''), evidence)
  })
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

const args = (...files: readonly string[]) => [
  ...[
    'verify',
    '--at',
    MACHINE_AT.toISOString(),
    '--nonce',
    Buffer.from(CHALLENGE).toString('hex'),
  ],
  ...['--statement', at('statement'), '--endorsements', at('endorsements'), ...anchors],
  ...['--policy', 'development', '--policy', 'authentic-nvidia-gpu'],
  ...files.map((file) => (file.startsWith('--') ? file : at(file))),
]

it('is a usage error without the statement, and for two CPUs', async () => {
  const plain = await vouchsafe(['verify', at('cpu0'), at('gpu0')])
  expect(plain.code).toBe(50)
  expect(plain.stderr).toContain('--statement')
  expect((await vouchsafe(args('cpu0', 'cpu0'))).code).toBe(50)
})

it('affirms several files as one machine', async () => {
  const done = await vouchsafe(args('cpu0', 'gpu0', 'gpu1'))
  expect(done.stderr + done.stdout).toBe('')
})
