/** Which policy applies where a request names none, and what is said where there is none. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FORMAT_HEADS, FORMAT_IDS } from '../../../src/core/evidence/common/format-ids.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { developmentConfig, type ServiceSettings } from '../../../src/main/config.ts'
import { loadVerifierDocuments } from '../../../src/main/verifier.ts'

const SHIPPED = join(import.meta.dirname, '../../../policies')
const directory = mkdtempSync(join(tmpdir(), 'policies-'))
const crypto = createCrypto()
type Verifier = ServiceSettings['verifier']

beforeAll(() => {
  for (const name of ['tdx-strict', 'authentic-nvidia-gpu']) {
    copyFileSync(join(SHIPPED, `${name}.json`), join(directory, `${name}.json`))
  }
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

async function production(verifier: Partial<Verifier>) {
  const base = developmentConfig({ dataDirectory: directory, port: 0 })
  const settings = { ...base, mode: 'production' as const }
  const given = { ...settings, verifier: { ...settings.verifier, ...verifier } }
  return (await loadVerifierDocuments(given, crypto)).policies
}

it('as shipped, every format but simulated evidence has its strict policy', async () => {
  const policies = await production({})
  const formats = FORMAT_IDS.filter((format) => {
    return format !== 'simulated' && FORMAT_HEADS[format].device !== 'verifier'
  })
  expect(formats).toContain('nvidia-switch')
  for (const format of formats) {
    expect(policies.choose(format, undefined).policy.id).toBe(`${format}-strict`)
  }
  expect(() => policies.choose('simulated', undefined)).toThrow('loaded for it: none')
})

describe('a directory of one’s own', () => {
  it('has no defaults but those that are named', async () => {
    const policies = await production({
      policies: directory,
      defaultPolicies: { tdx: 'tdx-strict', 'nvidia-gpu': 'authentic' },
    })
    expect(policies.choose('tdx', undefined).policy.id).toBe('tdx-strict')
    expect(policies.choose('nvidia-gpu', undefined).policy.id).toBe('authentic-nvidia-gpu')
    expect(() => policies.choose('nvidia-switch', undefined)).toThrow(
      'no policy by default for nvidia-switch: verifier.defaultPolicies names none; loaded for it: none',
    )
  })

  it('says which policy a request did not find, and which there are', async () => {
    const policies = await production({ policies: directory })
    expect(() => policies.choose('nvidia-gpu', undefined)).toThrow(
      'no policy by default for nvidia-gpu: verifier.defaultPolicies names none; loaded for it: authentic-nvidia-gpu',
    )
    expect(() => policies.choose('nvidia-gpu', 'nvidia-gpu-strict')).toThrow(
      'no policy nvidia-gpu-strict for nvidia-gpu; loaded for it: authentic-nvidia-gpu',
    )
  })

  it('is not served with a default that is not in it', async () => {
    const defaultPolicies = { tdx: 'tdx-strict', 'nvidia-switch': 'nvidia-switch-strict' }
    await expect(production({ policies: directory, defaultPolicies })).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      at: 'verifier.defaultPolicies.nvidia-switch',
      message: expect.stringContaining(
        'no policy nvidia-switch-strict for nvidia-switch is loaded; loaded for it: none',
      ) as string,
    })
  })
})
