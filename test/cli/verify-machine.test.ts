/** `vouchsafe verify` of a CPU and its GPUs, in files of their own and in a list. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Part } from '../../src/core/appraisal/parts.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import { splitDevices } from '../../src/core/evidence/nvidia-spdm/evidence.ts'
import { vouchsafe } from '../support/cli.ts'
import {
  CHALLENGE,
  derivedNonce,
  MACHINE_AT,
  mintMachine,
  PROTECTED,
  type Shown,
} from '../support/machine.ts'

interface Verdict {
  readonly tier: string
  readonly submodules: Readonly<Record<string, { readonly format: string; readonly tier: string }>>
  readonly checks?: readonly { readonly id: string; readonly outcome: string }[]
}

const directory = mkdtempSync(join(tmpdir(), 'machine-'))
const at = (name: string): string => join(directory, name)
let anchors: readonly string[] = []

beforeAll(async () => {
  const machine = mintMachine(2)
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
  write('', await machine.honest())
  const nonce = await derivedNonce()
  // As a program prints it that asks all GPUs, and as the enclave takes it apart.
  const printed = utf8(listOf([machine.gpu(0, nonce), machine.gpu(1, nonce)]))
  writeFileSync(at('list'), printed)
  const listed = splitDevices(printed).map((evidence): Part => ({ format: 'nvidia-gpu', evidence }))
  write('listed-', await machine.show(listed))
  write('alone-', await machine.show([machine.gpu(0, nonce, { records: PROTECTED })]))
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

function write(prefix: string, { statement, parts }: Shown): void {
  writeFileSync(at(`${prefix}statement`), statement)
  parts.forEach(({ evidence }, i) => {
    writeFileSync(at(`${prefix}${i === 0 ? 'cpu0' : `gpu${i - 1}`}`), evidence)
  })
}

function listOf(parts: readonly Part[]): string {
  const objects = parts.map(({ evidence }) => new TextDecoder().decode(evidence).slice(1, -1))
  return `{"evidences": [${objects.join(' , ')}], "result_code": 0}\n`
}

const verify = async (files: readonly string[], more: readonly string[]) => {
  const time = ['--at', MACHINE_AT.toISOString(), '--endorsements', at('endorsements'), ...anchors]
  const policies = ['--policy', 'development', '--policy', 'authentic-nvidia-gpu']
  return vouchsafe(['verify', ...files.map(at), ...time, ...policies, ...more])
}
const bound = (statement: string) => [
  ...['--nonce', Buffer.from(CHALLENGE).toString('hex')],
  ...['--statement', at(statement)],
]
const verdictOf = ({ stdout }: { readonly stdout: string }) => JSON.parse(stdout) as Verdict
const failedOf = ({ checks = [] }: Verdict) =>
  checks.filter(({ outcome }) => outcome !== 'pass').map(({ id }) => id)

describe('one machine', () => {
  it.each([
    ['files of their own', ['cpu0', 'gpu0', 'gpu1'], 'statement'],
    ['a list', ['listed-cpu0', 'list'], 'listed-statement'],
    ['a list first', ['list', 'listed-cpu0'], 'listed-statement'],
  ])('is affirmed by evidence in %s', async (_, files, statement) => {
    const run = await verify(files, [...bound(statement), '--json'])
    expect(run.stderr).toBe('')
    const verdict = verdictOf(run)
    expect(verdict.tier).toBe('affirming')
    expect(run.code).toBe(0)
    expect(Object.keys(verdict.submodules)).toEqual(['cpu0', 'gpu0', 'gpu1'])
    expect(failedOf(verdict)).toEqual([])
    expect(verdict.checks?.map(({ id }) => id)).toContain('nvfabric.switches')
  })

  it('is printed for people, its parts first and what holds them together last', async () => {
    const { stdout, code } = await verify(['listed-cpu0', 'list'], bound('listed-statement'))
    expect(code).toBe(0)
    expect(stdout).toContain(`${at('list')}[1] (nvidia-gpu`)
    expect(stdout).toMatch(/together\n[^]*composite\.distinct[^]*nvfabric\.gpus/)
    expect(stdout).toMatch(/affirming: cpu0, gpu0, gpu1\n$/)
  })

  it.each([
    ['GPUs swapped', ['cpu0', 'gpu1', 'gpu0'], 'statement'],
    ['a GPU left out', ['cpu0', 'gpu0'], 'statement'],
    ['the GPUs of another statement', ['cpu0', 'list'], 'statement'],
  ])('is refused with %s', async (_, files, statement) => {
    const run = await verify(files, [...bound(statement), '--json'])
    expect([run.code, verdictOf(run).tier]).toEqual([10, 'contraindicated'])
  })

  it('is refused with a GPU in protected PCIe whose switches are not there', async () => {
    const run = await verify(['alone-cpu0', 'alone-gpu0'], [...bound('alone-statement'), '--json'])
    const verdict = verdictOf(run)
    expect([run.code, verdict.tier]).toEqual([10, 'contraindicated'])
    expect(Object.values(verdict.submodules).map(({ tier }) => tier)).toEqual(
      Array.from({ length: 2 }, () => 'affirming'),
    )
    expect(failedOf(verdict)).toEqual(['nvfabric.size', 'nvfabric.switches', 'nvfabric.gpus'])
  })

  it('has one CPU', async () => {
    expect((await verify(['cpu0', 'cpu0'], bound('statement'))).code).toBe(50)
    expect((await verify(['list'], bound('listed-statement'))).code).toBe(50)
  })
})

describe('without a statement', () => {
  it('each device of a list is verified by itself, and that is said', async () => {
    const { stdout, code } = await verify(['list'], [])
    expect(code).toBe(0)
    expect(stdout).toContain('nothing here shows that they are one machine')
    expect(stdout).toMatch(/affirming: gpu0, gpu1\n$/)
    expect(stdout).not.toContain('composite.')
    const verdict = verdictOf(await verify(['list'], ['--json']))
    expect(verdict).not.toHaveProperty('checks')
    expect(Object.keys(verdict.submodules)).toEqual(['gpu0', 'gpu1'])
  })

  it('one that is not good makes all not good', async () => {
    const nonce = Buffer.from(await derivedNonce()).toString('hex')
    expect((await verify(['list'], ['--nonce', nonce, '--json'])).code).toBe(0)
    const run = await verify(['list', 'cpu0'], ['--nonce', nonce, '--json'])
    const { tier, submodules } = verdictOf(run)
    expect([run.code, tier]).toEqual([10, 'contraindicated'])
    expect(Object.entries(submodules).map(([name, one]) => [name, one.tier])).toEqual([
      ['gpu0', 'affirming'],
      ['gpu1', 'affirming'],
      ['cpu0', 'contraindicated'],
    ])
  })
})
