import { generateKeyPairSync } from 'node:crypto'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { endorsementsFromJson } from '../../src/core/endorsements/endorsement-set.ts'
import { logRoutes } from '../../src/log/routes.ts'
import { createApp } from '../../src/server/app.ts'
import { shippedPolicy } from '../support/appraisal.ts'
import { recordAppraisal } from '../support/audit.ts'
import { vouchsafe } from '../support/cli.ts'
import { AT, anchors, endorsements, simulated } from '../support/cli-evidence.ts'
import { createPlace, leafOf, type OpenLog, openTestLog } from '../support/log.ts'
import { createTestLog } from '../support/tlog.ts'

const keys = await createTestLog('example.com/log')
const [key, otherKey] = keys.vkeys
const place = createPlace()
const dir = place.filesRoot
const app = createApp()
let opened: OpenLog
let url: string

beforeAll(async () => {
  opened = await openTestLog(place, keys)
  const { log, files, blobs } = opened
  const { leaf } = await recordAppraisal(
    {
      format: 'simulated',
      evidence: simulated,
      endorsements: endorsementsFromJson(endorsements, { code: 'ERR_CONFIG_INVALID', at: 'test' }),
      referenceValues: [],
      policy: parsePolicy(shippedPolicy('development')),
      binding: { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } },
      anchors: { ...VENDOR_ANCHORS, simulated: [anchors.simulated] },
      now: new Date(AT),
    },
    blobs,
  )
  expect(leaf.tier).toBe('affirming')
  await log.append({ ...leafOf(0), type: 'policy', id: leaf.policy_id, digest: leaf.policy })
  for (let i = 1; i < 3; i++) await log.append(leafOf(i))
  await log.append(leaf)
  await log.proof(3)
  await app.register(logRoutes, { files, blobs, prover: log })
  await app.listen({ host: '127.0.0.1', port: 0 })
  url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/log`
})
afterAll(async () => {
  await app.close()
  await opened.close()
  place.remove()
})

const errorOf = (stdout: string): { code: string; at: string } =>
  (JSON.parse(stdout) as { error: { code: string; at: string } }).error

describe('vouchsafe audit verify', () => {
  it('checks a directory and a URL, by either key or both', async () => {
    const { code, stdout, stderr } = await vouchsafe(['audit', 'verify', dir, '--key', key])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^consistent {2}example\.com\/log, 4 entries, root \S{44}$/m)
    expect(stdout).toMatch(/^ {2}policy +3$/m)
    expect(stdout).toMatch(/^ {2}appraisal +1$/m)
    const both = ['audit', 'verify', url, '--key', key, '--key', otherKey, '--json']
    const remote = await vouchsafe(both)
    expect(remote.code).toBe(0)
    const report = JSON.parse(remote.stdout) as {
      size: number
      leaves: object
      signatures: object[]
    }
    expect(report).toMatchObject({ size: 4, leaves: { policy: 3, appraisal: 1 } })
    expect(report.signatures).toHaveLength(2)
  })

  it('exits 10 and names the first entry at fault', async () => {
    const copy = join(place.root, 'copy')
    cpSync(dir, copy, { recursive: true })
    const bundle = join(copy, 'tile/entries/000.p/4')
    writeFileSync(bundle, readFileSync(bundle, 'latin1').replace('policy-2', 'policy-9'), 'latin1')
    const { code, stdout } = await vouchsafe(['audit', 'verify', copy, '--key', key, '--json'])
    expect(code).toBe(10)
    expect(errorOf(stdout)).toMatchObject({ code: 'ERR_LOG_INCONSISTENT', at: 'log.entries[2]' })
    rmSync(join(copy, 'checkpoint'))
    const gone = await vouchsafe(['audit', 'verify', copy, '--key', key, '--json'])
    expect([gone.code, errorOf(gone.stdout).code]).toEqual([40, 'ERR_LOG_UNAVAILABLE'])
  })

  it('remembers what it saw, and holds the log to it', async () => {
    const state = join(place.root, 'state.json')
    const args = ['audit', 'verify', dir, '--key', key, '--state', state, '--json']
    expect((await vouchsafe(args)).code).toBe(0)
    expect((await vouchsafe(args)).code).toBe(0)
    const seen = JSON.parse(readFileSync(state, 'utf8')) as { size: number; root: string }
    expect(seen).toMatchObject({ origin: 'example.com/log', size: 4 })
    writeFileSync(state, JSON.stringify({ ...seen, size: 3 }))
    const forked = await vouchsafe(args)
    expect([forked.code, errorOf(forked.stdout).at]).toEqual([10, 'log.seen'])
    writeFileSync(state, '{}')
    expect((await vouchsafe(args)).code).toBe(50)
  })

  it('refuses other keys, other origins, and mistakes', async () => {
    const other = (await createTestLog('example.com/log')).vkeys[0]
    const cases = [
      [[dir, '--key', other], 10, 'ERR_LOG_UNTRUSTED'],
      [[dir, '--key', key, '--origin', 'example.com/else'], 10, 'ERR_LOG_UNTRUSTED'],
      [[dir, '--key', 'nonsense'], 50, 'ERR_LOG_KEY_INVALID'],
      [[dir], 50, 'ERR_USAGE_INVALID'],
      [[join(dir, 'missing'), '--key', key], 50, 'ERR_USAGE_INVALID'],
      [['http://127.0.0.1:1/log', '--key', key], 40, 'ERR_LOG_UNAVAILABLE'],
    ] as const
    for (const [args, exit, code] of cases) {
      const run = await vouchsafe(['audit', 'verify', ...args, '--json'])
      expect([run.code, errorOf(run.stdout).code], args.join(' ')).toEqual([exit, code])
    }
  })
})

describe('vouchsafe audit replay', () => {
  it('makes every decision again, under anchors of its own', async () => {
    const args = ['audit', 'replay', url, '--key', key]
    const { code, stdout } = await vouchsafe([...args, '--simulated-root', anchors.simulated])
    expect(code).toBe(0)
    expect(stdout).toContain('1 the same, 0 differ, 0 cannot be replayed, 3 record no decision')
    const strange = await vouchsafe([...args, '--json'])
    expect(strange.code).toBe(10)
    const { findings } = JSON.parse(strange.stdout) as { findings: readonly object[] }
    expect(findings).toMatchObject([{ index: 3, type: 'appraisal', outcome: 'differs' }])
    expect((await vouchsafe([...args, '--simulated-root', 'x'])).code).toBe(50)
  })
})

describe('vouchsafe audit replay --ear-keys', () => {
  const args = (): readonly string[] => [
    'audit',
    'replay',
    url,
    '--key',
    key,
    '--simulated-root',
    anchors.simulated,
  ]
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = publicKey.export({ format: 'jwk' })

  it('says every time whether signatures of EARs were looked at', async () => {
    expect((await vouchsafe([...args()])).stdout).toContain('EAR signatures: not checked')
    const file = join(place.root, 'jwks.json')
    writeFileSync(file, JSON.stringify({ keys: [jwk] }))
    const checked = await vouchsafe([...args(), '--ear-keys', file])
    expect(checked.code).toBe(0)
    expect(checked.stdout).toContain('EAR signatures: checked')
    const json = await vouchsafe([...args(), '--json'])
    expect(JSON.parse(json.stdout)).toMatchObject({ ear_signatures: 'not checked' })
  })

  it('refuses keys that would check nothing', async () => {
    const file = join(place.root, 'bad.json')
    for (const text of [
      '',
      '{}',
      '{"keys":[]}',
      '{"keys":{}}',
      '{"keys":[null]}',
      '{"keys":[{"kty":"oct","k":"AA"}]}',
      JSON.stringify({ keys: [jwk, { ...jwk, x: jwk.y, y: jwk.x }] }),
    ]) {
      writeFileSync(file, text)
      const run = await vouchsafe([...args(), '--ear-keys', file, '--json'])
      expect([run.code, errorOf(run.stdout).code], text).toEqual([50, 'ERR_USAGE_INVALID'])
    }
    for (const nowhere of [join(place.root, 'missing'), 'http://127.0.0.1:1/jwks.json', url]) {
      const run = await vouchsafe([...args(), '--ear-keys', nowhere, '--json'])
      expect(run.code, nowhere).toBe(50)
    }
  })
})

describe('vouchsafe audit bundle', () => {
  it('writes a file that verify-bundle checks on its own', async () => {
    const file = join(place.root, 'bundle.json')
    const made = await vouchsafe([
      'audit',
      'bundle',
      '3',
      '--log',
      url,
      '--key',
      key,
      '--output',
      file,
    ])
    expect(made).toMatchObject({ code: 0, stdout: '', stderr: '' })
    const check = ['audit', 'verify-bundle', file, '--key', key]
    const good = await vouchsafe([...check, '--simulated-root', anchors.simulated])
    expect(good.code).toBe(0)
    expect(good.stdout).toMatch(/^leaf 3: appraisal of /)
    expect(good.stdout).toMatch(/^ {2}same$/m)
    expect((await vouchsafe(check)).code).toBe(10)
    const other = (await createTestLog('example.com/log')).vkeys[0]
    const foreign = await vouchsafe(['audit', 'verify-bundle', file, '--key', other, '--json'])
    expect([foreign.code, errorOf(foreign.stdout).code]).toEqual([10, 'ERR_LOG_UNTRUSTED'])
    const stdin = readFileSync(file).subarray(0, 500)
    const cut = await vouchsafe(['audit', 'verify-bundle', '-', '--key', key, '--json'], { stdin })
    expect([cut.code, errorOf(cut.stdout).code]).toEqual([30, 'ERR_LOG_MALFORMED'])
  })

  it('refuses an index that is none, or that the log has not', async () => {
    const args = ['--log', dir, '--key', key, '--json']
    expect((await vouchsafe(['audit', 'bundle', '01', ...args])).code).toBe(50)
    const missing = await vouchsafe(['audit', 'bundle', '4', ...args])
    expect([missing.code, errorOf(missing.stdout).code]).toEqual([10, 'ERR_RESOURCE_NOT_FOUND'])
  })
})
