/** Who must have signed what is imported, and who is asked before it is written. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodePem } from '../../src/core/encoding/pem.ts'
import {
  mintCertificate,
  mintCrl,
  mintKey,
} from '../../src/drivers/attester/simulated/minting/x509.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import { ccaPlatform, SIGNER, signCorim } from '../support/corim.ts'

const NOW = new Date()
let dir: string
const at = (name: string): string => join(dir, name)
const run = async (...args: readonly string[]): Promise<CliRun> => vouchsafe(['refvalue', ...args])
const json = async (file: string): Promise<unknown> => JSON.parse(await readFile(at(file), 'utf8'))

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-signers-'))
  await writeFile(at('signed.cbor'), signCorim(ccaPlatform()))
  await writeFile(at('signer.pub'), encodePem(SIGNER.spki, 'PUBLIC KEY'))
})

afterAll(async () => {
  await rm(dir, { recursive: true })
})

describe('refvalue import --root', () => {
  const key = mintKey('ES256')
  const root = { name: 'Maker Root', key: mintKey('ES384') }
  const DAY = 86_400_000
  const period = {
    notBefore: new Date(NOW.getTime() - DAY),
    notAfter: new Date(NOW.getTime() + DAY),
  }
  const ca = { ca: {}, keyUsage: ['keyCertSign', 'crlSign'] } as const
  const rootDer = mintCertificate({ subject: root.name, key: root.key, ...ca, ...period })
  const leaf = mintCertificate({
    subject: 'Signer\u001B[2J',
    key,
    issuer: root,
    serial: 7,
    ...period,
  })
  const list = { issuer: root, thisUpdate: period.notBefore, nextUpdate: period.notAfter }

  beforeAll(async () => {
    await writeFile(at('chain.cbor'), signCorim(ccaPlatform(), { key, headers: [[33, leaf]] }))
    await writeFile(at('root.pem'), encodePem(rootDer, 'CERTIFICATE'))
    await writeFile(at('root.der'), rootDer)
    await writeFile(at('root.crl'), encodePem(mintCrl(list), 'X509 CRL'))
    await writeFile(at('revoked.crl'), mintCrl({ ...list, revoked: [7] }))
  })

  it('believes a certificate under the root that is not revoked, and says whose it is', async () => {
    for (const file of ['root.pem', 'root.der']) {
      const flags = ['--root', at(file), '--crl', at('root.crl')]
      const good = await run('import', at('chain.cbor'), ...flags, '--json')
      expect(good.code).toBe(0)
      expect(JSON.parse(good.stdout)).toMatchObject({
        files: [{ kind: 'signed-corim', signer: expect.stringContaining('Signer') as string }],
      })
    }
    const words = await run('import', at('chain.cbor'), '--root', at('root.pem'), '--without-crl')
    expect(words.code).toBe(0)
    expect(words.stderr).toContain('signed by Signer')
    expect(words.stderr).not.toContain('\u001B')
  })

  it.each([
    ['of a revoked certificate', ['--root', 'root.pem', '--crl', 'revoked.crl'], 10, 'revoked by'],
    ['without a list', ['--root', 'root.pem'], 50, '--without-crl'],
    [
      'with a list and without',
      ['--root', 'root.pem', '--crl', 'root.crl', '--without-crl'],
      50,
      'not both',
    ],
    ['with a key and a root', ['--root', 'root.pem', '--key', 'signer.pub'], 50, 'give one of'],
    ['with a list and no root', ['--crl', 'root.crl', '--unsigned'], 50, 'under a --root'],
    ['with a root that is none', ['--root', 'signer.pub', '--without-crl'], 50, 'cli.root'],
    ['with a list that is none', ['--root', 'root.pem', '--crl', 'root.der'], 50, 'cli.crl'],
    ['under another’s root', ['--root', 'other.der', '--without-crl'], 10, 'Other Root'],
  ] as const)('refuses files %s', async (...[, flags, code, words]) => {
    const key2 = mintKey('ES384')
    await writeFile(
      at('other.der'),
      mintCertificate({ subject: 'Other Root', key: key2, ...ca, ...period }),
    )
    const args = flags.map((one) => (one.startsWith('--') ? one : at(one)))
    const refused = await run('import', at('chain.cbor'), ...args)
    expect(refused.stderr).toContain(words)
    expect(refused.code).toBe(code)
  })
})

/** On a terminal of its own (util-linux's `script`), with what somebody types when asked. */
async function onTerminal(args: readonly string[], answer: string): Promise<string> {
  const bin = join(import.meta.dirname, '../../src/cli/bin.ts')
  const command = [process.execPath, bin, 'refvalue', ...args].map((one) => `'${one}'`).join(' ')
  const child = spawn('script', ['-qec', command, '/dev/null'])
  let seen = ''
  let asked = false
  child.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.toString()
    if (asked || !seen.includes('[y/N]')) return
    asked = true
    child.stdin.write(answer)
  })
  await new Promise((done, fail) => {
    child.on('error', fail)
    child.on('close', done)
  })
  return seen
}

/** util-linux's own; others of the name take other options. */
const HAS_SCRIPT = spawnSync('script', ['--version']).status === 0
if (!HAS_SCRIPT) {
  console.warn('SKIPPED: no test of questions on a terminal; install script (bsdutils)')
}

describe.skipIf(!HAS_SCRIPT)('a question on a terminal', () => {
  const args = (out: string): readonly string[] => [
    'import',
    at('signed.cbor'),
    '--key',
    at('signer.pub'),
    '--out',
    at(out),
  ]

  it('writes only after yes', async () => {
    expect(await onTerminal(args('no.json'), 'n\n')).toContain('not written')
    expect(await onTerminal(args('enter.json'), '\n')).toContain('not written')
    await expect(readFile(at('no.json'))).rejects.toThrow('ENOENT')
    await expect(readFile(at('enter.json'))).rejects.toThrow('ENOENT')
    const yes = await onTerminal(args('yes.json'), 'yes\n')
    expect(yes).toContain(`Trust this and write ${at('yes.json')} (1 entry)? [y/N]`)
    expect(await json('yes.json')).toMatchObject({ format: 'arm-cca' })
  })

  it('is not asked of who said --yes', async () => {
    const seen = await onTerminal([...args('said.json'), '--yes'], '')
    expect(seen).not.toContain('[y/N]')
    expect(await json('said.json')).toMatchObject({ format: 'arm-cca' })
  })
})
