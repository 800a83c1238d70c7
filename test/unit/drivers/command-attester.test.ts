/** Devices behind a program, real ones: Node itself, told to print this or that. */
import { describe, expect, it } from 'vitest'
import { createCommandAttester, NONCE_WORD } from '../../../src/drivers/attester/command.ts'
import { mintIntelPki, mintTdxQuote } from '../../../src/testing/index.ts'
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
const quote = mintTdxQuote(mintIntelPki({ now: new Date() }), {
  header: { userData: new Uint8Array(20) },
})
const printQuote = `process.stdout.write(Buffer.from('${Buffer.from(quote).toString('hex')}', 'hex'))`

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
  // Whoever asked the enclave for evidence is not to blame, and learns nothing of it.
  ['JSON that is none', print('[{'), 'ERR_UPSTREAM_UNAVAILABLE'],
  ['something else', print('{"a":1}'), 'ERR_UPSTREAM_UNAVAILABLE'],
  ['evidence of no device', printQuote, 'ERR_UPSTREAM_UNAVAILABLE'],
])('refuses %s', async (_, script, code) => {
  await expect(attest(script)).rejects.toMatchObject({ code })
})

describe('what it says on stderr', () => {
  const complain = (text: string) => `process.stderr.write(${JSON.stringify(text)});`
  const wordsOf = async (script: string, timeoutMs?: number): Promise<string> =>
    attest(script, timeoutMs).then(
      () => 'no error',
      (error: unknown) => (error as Error).message,
    )

  it.each([
    ['fails', 'process.exitCode = 3'],
    ['prints nothing', ''],
    ['prints no evidence', print('{"a":1}')],
    ['prints an empty list', print('[]')],
    ['prints too much', `process.stdout.write('x'.repeat(5e6))`],
  ])('is told if it %s', async (_, script) => {
    const message = await wordsOf(`${complain('no driver\nload it first\n')} ${script}`)
    expect(message).toMatch(/, saying: no driver \| load it first$/)
  })

  it('is told if it takes too long', async () => {
    const script = `${complain('waiting for GPU 3')} setTimeout(() => {}, 60_000)`
    expect(await wordsOf(script, 2_000)).toContain('took over 2000 ms, saying: waiting for GPU 3')
  })

  it('is passed over if it works', async () => {
    expect(await attest(`${complain('a warning')} ${print(texts[0] ?? '')}`)).toHaveLength(1)
  })

  it('is its end, however much it is', async () => {
    const much = `process.stderr.write('\u00e9'.repeat(3e6) + ' the end'); process.exitCode = 1`
    const message = await wordsOf(much)
    expect(message).toMatch(/\u00e9 the end$/)
    expect(message.length).toBeLessThan(2_500)
    expect(message).not.toContain('\ufffd')
  })

  it('moves no cursor and begins no line', async () => {
    const text = '\u001b[31mred\u001b[0m\u001b]0;title\u0007\r\u2028\u202egnp\u0000\u0085'
    const message = await wordsOf(`${complain(text)} process.exitCode = 1`)
    expect(message).toMatch(/, saying: red( \| )?gnp$/)
    expect(message).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]/u)
  })

  it('is without evidence, nonces and keys', async () => {
    const secret = Buffer.alloc(48, 'secret').toString('base64')
    const text = `nonce ${'e9'.repeat(32)} in /usr/lib/nvidia-attestation/verifier/module.so: ${secret}`
    const message = await wordsOf(`${complain(text)} process.exitCode = 1`)
    expect(message).toMatch(
      /saying: nonce … in \/usr\/lib\/nvidia-attestation\/verifier\/module.so: …$/,
    )
  })

  it('keeps nobody waiting whose child still has it open', async () => {
    const child = `require('node:child_process').spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'inherit'] }).unref()`
    expect(await attest(`${child}; ${print(texts[0] ?? '')}`, 5_000)).toHaveLength(1)
  })
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
