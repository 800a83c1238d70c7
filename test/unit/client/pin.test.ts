import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { type ClientPin, parsePin } from '../../../src/client/pin.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { createTestLog } from '../../support/tlog.ts'
import { without } from '../../support/without.ts'

type Json = Record<string, unknown>
const crypto = createCrypto()
const policy = (name: string) =>
  JSON.parse(
    readFileSync(join(import.meta.dirname, `../../../policies/${name}.json`), 'utf8'),
  ) as Json
const DIGEST = `sha256:${'ab'.repeat(32)}`
let good: Json
let log: Json
beforeAll(async () => {
  const { vkeys: keys } = await createTestLog('log.test/1')
  log = { origin: 'log.test/1', keys, max_age: { require: 600 } }
  good = { version: 1, policies: [policy('development')], reference_values: [], log }
})
const parse = async (value: unknown): Promise<ClientPin> => parsePin(value, crypto)
/** Through text, as from a file: there `__proto__` is a member like any other. */
const changed = (changes: Json): unknown => JSON.parse(JSON.stringify({ ...good, ...changes }))

describe('parsePin', () => {
  it('says everything, with defaults where they are safe', async () => {
    const pin = await parse(good)
    expect(pin).toMatchObject({
      checkpointAge: { require: 600 },
      logUrl: undefined,
      verifyEvery: 600,
      anchors: { simulated: [] },
    })
    expect(pin.log.keys).toHaveLength(2)
    expect(pin.manifests.size).toBe(0)
    expect(pin.anchors.intel.length).toBeGreaterThan(0)
  })

  it('takes what is optional', async () => {
    const pin = await parse(
      changed({
        manifests: { 'org/model': DIGEST },
        unsafe_simulated_roots: ['ab'.repeat(32)],
        verify_every: 30,
        log: { ...log, url: 'https://logs.example/ours/', max_age: { waive: 'keys sign no time' } },
        policies: [policy('development'), policy('tdx-strict')],
      }),
    )
    expect(pin.manifests.get('org/model')).toBe(DIGEST)
    expect(pin).toMatchObject({
      logUrl: 'https://logs.example/ours',
      verifyEvery: 30,
      checkpointAge: { waive: 'keys sign no time' },
      anchors: { simulated: ['ab'.repeat(32)] },
    })
  })

  it('a manifest for a model called __proto__ is one, and nothing more', async () => {
    const text = JSON.stringify(good).replace(/\}$/, `,"manifests":{"__proto__":"${DIGEST}"}}`)
    const pin = await parse(JSON.parse(text))
    expect([...pin.manifests]).toEqual([['__proto__', DIGEST]])
  })

  it.each(['version', 'policies', 'reference_values', 'log'])(
    'refuses one without %s',
    async (name) => {
      const missing = parse(without(good, name))
      await expect(missing).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID', at: `pin.${name}` })
    },
  )

  it.each<[string, () => Json, string]>([
    ['another version', () => ({ version: 2 }), 'pin.version'],
    ['a version in text', () => ({ version: '1' }), 'pin.version'],
    ['no policy', () => ({ policies: [] }), 'pin.policies'],
    [
      'two policies for a format',
      () => ({ policies: [policy('development'), policy('development')] }),
      'pin.policies',
    ],
    ['an unknown member', () => ({ insecure: true }), 'pin'],
    ['a log without origin', () => ({ log: without(log, 'origin') }), 'pin.log.origin'],
    ['a log without keys', () => ({ log: { ...log, keys: [] } }), 'pin.log.keys'],
    ['a log without an age', () => ({ log: without(log, 'max_age') }), 'pin.log.max_age'],
    ['an age that says nothing', () => ({ log: { ...log, max_age: {} } }), 'pin.log.max_age'],
    [
      'an age that says two things',
      () => ({ log: { ...log, max_age: { require: 1, waive: 'x' } } }),
      'pin.log.max_age',
    ],
    [
      'an age waived without a reason',
      () => ({ log: { ...log, max_age: { waive: ' ' } } }),
      'pin.log.max_age.waive',
    ],
    [
      'an age below zero',
      () => ({ log: { ...log, max_age: { require: -1 } } }),
      'pin.log.max_age.require',
    ],
    ['a log at no URL', () => ({ log: { ...log, url: 'file:///log' } }), 'pin.log.url'],
    ['a log at half a URL', () => ({ log: { ...log, url: 'http://[' } }), 'pin.log.url'],
    [
      'a root that is no digest',
      () => ({ unsafe_simulated_roots: ['AB'] }),
      'pin.unsafe_simulated_roots.0',
    ],
    ['a manifest that is no digest', () => ({ manifests: { m: 'ab' } }), 'pin.manifests.m'],
    ['manifests in a list', () => ({ manifests: [DIGEST] }), 'pin.manifests'],
    ['a time that is no number', () => ({ verify_every: '600' }), 'pin.verify_every'],
  ])('refuses %s', async (_, change, at) => {
    await expect(parse(changed(change()))).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID', at })
  })

  it.each<[string, () => Json, string]>([
    [
      'a policy with a field left out',
      () => ({ policies: [without(policy('development'), 'debug')] }),
      'ERR_POLICY_INVALID',
    ],
    [
      'a policy that lets debug pass',
      () => ({ policies: [{ ...policy('development'), debug: { waive: 'handy' } }] }),
      'ERR_POLICY_INVALID',
    ],
    [
      'reference values of no shape',
      () => ({ reference_values: [{}] }),
      'ERR_REFERENCE_VALUES_INVALID',
    ],
    ['a log key of no shape', () => ({ log: { ...log, keys: ['x'] } }), 'ERR_LOG_KEY_INVALID'],
  ])('refuses %s', async (_, change, code) => {
    await expect(parse(changed(change()))).rejects.toMatchObject({ code })
  })

  it.each([[null], ['pin'], [[]], [7]])('refuses %j', async (value) => {
    await expect(parse(value)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID', at: 'pin' })
  })
})
