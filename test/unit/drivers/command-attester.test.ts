/** Devices behind a program, real ones: Node itself, told to print this or that. */
import { expect, it } from 'vitest'
import { createCommandAttester, NONCE_WORD } from '../../../src/drivers/attester/command.ts'
import { mintMachine } from '../../support/machine.ts'

const NONCE = new Uint8Array(32).fill(0xe9)
const machine = mintMachine(2)
const texts = [0, 1].map((i) =>
  new TextDecoder().decode(machine.gpu(i, NONCE).evidence).slice(1, -1),
)
const attest = async (script: string, timeoutMs = 20_000) =>
  createCommandAttester({
    command: [process.execPath, '-e', script, NONCE_WORD],
    timeoutMs,
  }).attest(NONCE)
const print = (text: string) => `process.stdout.write(${JSON.stringify(text)})`

it.each([
  ['a list', `[${texts.join(', ')}]`, 2],
  ['a list in evidences', `{"evidences": [${texts.join()}], "result_code": 0}`, 2],
  ['one device', texts[0] ?? '', 1],
])('takes %s', async (_, text, count) => {
  const found = await attest(print(text))
  expect(found.map(({ format }) => format)).toEqual(
    Array.from({ length: count }, () => 'nvidia-gpu'),
  )
  expect(found.map(({ evidence }) => new TextDecoder().decode(evidence))).toEqual(
    texts.slice(0, count),
  )
})

it('hands over the nonce', async () => {
  const script = `if (process.argv[1] === '${'e9'.repeat(32)}') ${print(texts[0] ?? '')}`
  expect(await attest(script)).toHaveLength(1)
})

it.each([
  ['a failure', 'process.exit(3)', 'ERR_UPSTREAM_UNAVAILABLE'],
  ['nothing', '', 'ERR_UPSTREAM_UNAVAILABLE'],
  ['an empty list', print('[]'), 'ERR_UPSTREAM_UNAVAILABLE'],
  ['too much', `process.stdout.write('x'.repeat(5e6))`, 'ERR_UPSTREAM_UNAVAILABLE'],
  ['JSON that is none', print('[{'), 'ERR_EVIDENCE_MALFORMED'],
  ['something else', print('{"a":1}'), 'ERR_EVIDENCE_MALFORMED'],
])('refuses %s', async (_, script, code) => {
  await expect(attest(script)).rejects.toMatchObject({ code })
})

it('waits for nobody, not even for what the program left behind', async () => {
  const child = `require('node:child_process').spawn('sleep', ['60'], { stdio: 'inherit' })`
  await expect(attest(`${child}; setTimeout(() => {}, 60_000)`, 1_000)).rejects.toMatchObject({
    code: 'ERR_UPSTREAM_UNAVAILABLE',
  })
})

it('says that there is no such program', async () => {
  const attester = createCommandAttester({ command: ['/nowhere/nvattest'], timeoutMs: 1_000 })
  await expect(attester.attest(NONCE)).rejects.toMatchObject({ code: 'ERR_DEPENDENCY_MISSING' })
})
