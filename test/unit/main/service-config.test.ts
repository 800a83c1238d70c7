import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { systemRandom } from '../../../src/drivers/random.ts'
import { developmentConfig, loadConfig, parseConfig } from '../../../src/main/config.ts'
import { openDataDirectory } from '../../../src/main/data-directory.ts'
import { openToken, withDevelopmentSecrets } from '../../../src/main/development.ts'
import { loadPolicies, loadReferenceValues, loadTokens } from '../../../src/main/documents.ts'
import { loadAccess } from '../../../src/main/tokens.ts'
import { loadVerifierDocuments } from '../../../src/main/verifier.ts'
import { tokenDigest } from '../../../src/server/auth.ts'
import { mintPassportIssuer } from '../../../src/testing/index.ts'

const invalid = (at: string) => expect.objectContaining({ code: 'ERR_CONFIG_INVALID', at }) as Error
const parse = (config: unknown) =>
  parseConfig({ file: '/etc/x/f.json', text: JSON.stringify(config) })
let directory: string
const file = (name: string, text: string, mode = 0o600): string => {
  const path = join(directory, name)
  writeFileSync(path, text, { mode })
  chmodSync(path, mode)
  return path
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

describe('the configuration file', () => {
  it('makes every path absolute, from where the file is', () => {
    const { dataDirectory, operators, providerTokens, verifier, keybroker, trustedVerifiers } =
      parse({
        dataDirectory: 'd',
        operators: 'o',
        providerTokens: '/p',
        verifier: { policies: 'q', referenceValues: '../r', endorsements: ['e'] },
        keybroker: { kekPassphrase: 'k' },
        trustedVerifiers: [{ issuer: 'i', jwks: 'j' }],
      })
    expect([dataDirectory, operators, providerTokens]).toEqual(['/etc/x/d', '/etc/x/o', '/p'])
    expect(verifier).toMatchObject({
      policies: '/etc/x/q',
      referenceValues: '/etc/r',
      endorsements: ['/etc/x/e'],
    })
    expect(keybroker.kekPassphrase).toBe('/etc/x/k')
    expect(trustedVerifiers).toEqual([{ issuer: 'i', jwks: '/etc/x/j' }])
  })

  it('is production on loopback unless it says otherwise', () => {
    expect(parse({})).toMatchObject({ mode: 'production', listen: { host: '127.0.0.1' } })
    const dev = developmentConfig({ dataDirectory: directory, port: 0 })
    expect(dev).toMatchObject({ mode: 'development', listen: { host: '127.0.0.1', port: 0 } })
  })

  it.each([
    ['no role', { roles: [] }, 'roles'],
    ['a role twice', { roles: ['log', 'log'] }, 'roles'],
    ['no log', { roles: ['verifier'] }, 'roles'],
    ['nobody to believe', { roles: ['keybroker', 'log'] }, 'trustedVerifiers'],
    ['a URL with a query', { publicUrl: 'https://x/?a=1' }, 'publicUrl'],
    [
      'an unknown format',
      { verifier: { defaultPolicies: { sev: 'a' } } },
      'verifier.defaultPolicies.sev',
    ],
    ['a negative port', { listen: { port: -1 } }, 'listen.port'],
    [
      'challenges of a day',
      { verifier: { challengeSeconds: 86_400 } },
      'verifier.challengeSeconds',
    ],
  ])('refuses %s', (_, config, at) => {
    expect(() => parse(config)).toThrow(invalid(at))
  })

  it('says so when it cannot be read', async () => {
    await expect(loadConfig(join(directory, 'absent'))).rejects.toThrow(invalid('config'))
  })
})

describe('the data directory', () => {
  it('is for its owner alone', () => {
    const { root, earKey } = openDataDirectory(join(directory, 'a/b'))
    expect(statSync(root).mode & 0o777).toBe(0o700)
    expect(statSync(join(earKey, '..')).mode & 0o777).toBe(0o700)
  })

  it.each(['', 'keys', 'tokens'])('is refused when others may write to %s/', (name) => {
    const root = join(directory, 'data')
    openDataDirectory(root)
    chmodSync(join(root, name), 0o777)
    expect(() => openDataDirectory(root)).toThrow(
      expect.objectContaining({ code: 'ERR_STATE_INVALID', at: 'dataDirectory' }) as Error,
    )
  })
})

describe('token files', () => {
  const token = 'a-token-of-many-characters'

  it('hold tokens or digests, and comments', () => {
    const other = tokenDigest('another')
    const path = file('t', `# mine\n\n${token}\n  ${other}  \n`)
    expect(loadTokens(path, 'provider')).toEqual([
      { name: 'provider', digest: tokenDigest(token) },
      { name: 'provider', digest: other },
    ])
  })

  it.each([
    ['empty', '# nothing\n'],
    ['short', 'canary-9\n'],
    ['one short', `${token}\ncanary-9\n`],
  ])('are refused when %s, without a word of them', (_, text) => {
    const path = file('t', text)
    try {
      loadTokens(path, 'provider')
      expect.unreachable()
    } catch (err) {
      expect(err).toEqual(invalid('tokens.provider'))
      expect(String(err)).not.toContain('canary-9')
    }
  })

  it('are refused when others may read them', () => {
    const path = file('t', `${token}\n`, 0o640)
    expect(() => loadTokens(path, 'provider')).toThrow(
      expect.objectContaining({ code: 'ERR_STATE_INVALID' }) as Error,
    )
  })
})

describe('access', () => {
  it('is nobody’s where nothing is configured', () => {
    const { operators, fullOperators, providers } = loadAccess(parse({}))
    for (const knows of [operators.authenticator, fullOperators, providers]) {
      expect(knows('a-token-of-many-characters')).toBeUndefined()
    }
  })

  it('keeps operators of namespaces out of what belongs to all', () => {
    const operators = file(
      'o',
      JSON.stringify({
        operators: [
          { name: 'all', token_sha256: tokenDigest('token-of-all'), namespaces: ['*'] },
          { name: 'some', token_sha256: tokenDigest('token-of-some'), namespaces: ['acme'] },
        ],
      }),
    )
    const access = loadAccess(parse({ operators }))
    expect(access.operators.authenticator('token-of-some')).toEqual({ name: 'some' })
    expect(access.fullOperators('token-of-some')).toBeUndefined()
    expect(access.fullOperators('token-of-all')).toEqual({ name: 'all' })
  })

  it('is made once in development, and never in production', () => {
    const settings = developmentConfig({ dataDirectory: directory, port: 0 })
    const paths = openDataDirectory(directory)
    const made = withDevelopmentSecrets(settings, paths, systemRandom)
    const token = openToken(paths.operatorToken, 'vs-', systemRandom)
    expect(loadAccess(made).fullOperators(token)).toEqual({ name: 'development' })
    expect(withDevelopmentSecrets(settings, paths, systemRandom)).toEqual(made)
    expect(withDevelopmentSecrets(parse({}), paths, systemRandom)).toEqual(parse({}))
  })
})

describe('policies and reference values', () => {
  it('names file, line and column of every mistake', async () => {
    file('a.json', '{\n  "id": "A B"\n}')
    file('b.json', '{')
    file('b.cases.json', 'not read')
    await expect(loadPolicies(directory)).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID',
      message: expect.stringMatching(/a\.json:\d+:\d+ [\s\S]*b\.json:1:/) as string,
    })
  })

  it('names the file of bad reference values', async () => {
    file('r.json', '{"name": 1}')
    await expect(loadReferenceValues(directory)).rejects.toMatchObject({
      code: 'ERR_REFERENCE_VALUES_INVALID',
      message: expect.stringContaining('r.json') as string,
    })
  })

  it('refuses a default that is not loaded, and a directory that is not there', async () => {
    mkdirSync(join(directory, 'none'))
    const none = parse({
      verifier: { policies: join(directory, 'none'), defaultPolicies: { tdx: 'mine' } },
    })
    await expect(loadVerifierDocuments(none, createCrypto())).rejects.toThrow(
      invalid('verifier.defaultPolicies.tdx'),
    )
    const absent = parse({ verifier: { policies: join(directory, 'absent') } })
    await expect(loadVerifierDocuments(absent, createCrypto())).rejects.toThrow(
      invalid('directory'),
    )
  })

  it('pins issuers of passports, inline and from a file, each once', async () => {
    const issuer = mintPassportIssuer({ kind: 'ear', at: new Date() }).config
    const load = async (verifier: object) =>
      loadVerifierDocuments(parse({ verifier }), createCrypto())
    expect((await load({})).passports).toEqual([])
    expect((await load({ passports: [issuer] })).passports).toHaveLength(1)
    const passportTrust = file('trust.json', JSON.stringify([{ ...issuer, issuer: 'urn:other' }]))
    const both = await load({ passports: [issuer], passportTrust })
    expect(both.passports.map((one) => one.issuer)).toEqual([null, 'urn:other'])
    const single = file('single.json', JSON.stringify(issuer))
    expect((await load({ passportTrust: single })).passports).toHaveLength(1)
    const refused: readonly (readonly [object, string])[] = [
      [{ passports: [{ ...issuer, jwksUri: 'https://x.example' }] }, 'verifier.passports[0]'],
      [{ passports: [issuer], passportTrust: single }, 'verifier.passports'],
      [{ passportTrust: file('broken.json', '{') }, 'verifier.passportTrust'],
      [{ passportTrust: join(directory, 'absent.json') }, 'verifier.passportTrust'],
    ]
    for (const [settings, at] of refused) {
      await expect(load(settings)).rejects.toThrow(invalid(at))
    }
  })

  it('has strict policies by default, and the simulated one in development alone', async () => {
    const production = await loadVerifierDocuments(parse({}), createCrypto())
    expect(production.policies.choose('tdx', undefined).policy.id).toBe('tdx-strict')
    expect(production.policies.choose('tdx', 'authentic').policy.id).toBe('authentic-tdx')
    expect(() => production.policies.choose('simulated', undefined)).toThrow(
      expect.objectContaining({ code: 'ERR_RESOURCE_NOT_FOUND' }) as Error,
    )
    const dev = developmentConfig({ dataDirectory: directory, port: 0 })
    const development = await loadVerifierDocuments(dev, createCrypto())
    expect(development.policies.choose('simulated', undefined).policy.id).toBe('development')
  })
})
