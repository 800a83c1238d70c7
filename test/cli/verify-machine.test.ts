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
  writeFileSync(at('own.json'), JSON.stringify(endorsementsToJson(machine.endorsements)))
  writeFileSync(at('statement'), statement)
  parts.forEach(({ evidence }, i) => {
    writeFileSync(at(names[i] ?? ''), evidence)
  })
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

const args = (...files: readonly string[]) => argsWith(at('endorsements'), ...files)
const argsWith = (endorsements: string, ...files: readonly string[]) => [
  ...[
    'verify',
    '--at',
    MACHINE_AT.toISOString(),
    '--nonce',
    Buffer.from(CHALLENGE).toString('hex'),
  ],
  ...['--statement', at('statement'), '--endorsements', endorsements, ...anchors],
  ...['--policy', 'development', '--policy', 'authentic-nvidia-gpu'],
  ...files.map((file) => (file.startsWith('--') ? file : at(file))),
]

it('is a usage error without the statement, and for two CPUs', async () => {
  const plain = await vouchsafe(['verify', at('cpu0'), at('gpu0')])
  expect(plain.code).toBe(50)
  expect(plain.stderr).toContain('--statement')
  expect((await vouchsafe(args('cpu0', 'cpu0'))).code).toBe(50)
})

it.each(['endorsements', 'own.json'])(
  'affirms several files as one machine, by %s: answers in DER, manifests in XML, our own JSON',
  async (endorsements) => {
    const { code, stdout, stderr } = await vouchsafe(argsWith(at(endorsements), ...names))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    // Each of the three parts, and the machine.
    expect(stdout.match(/^affirming/gm)).toHaveLength(4)
    expect(stdout).toMatch(/^ {2}pass {4}nvgpu\.chain\.revocation +good, since /m)
  },
)

it('has no verdict without the answers about a GPU, and says which is missing', async () => {
  const { code, stderr } = await vouchsafe(
    argsWith(join(at('endorsements'), 'rest.json'), ...names),
  )
  expect(code).toBe(40)
  expect(stderr).toContain('ERR_ENDORSEMENT_UNAVAILABLE at nvidia.')
})

it('denies a machine of which one part was left out', async () => {
  expect((await vouchsafe(args('cpu0', 'gpu0'))).code).not.toBe(0)
})
