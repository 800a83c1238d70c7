import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { canonicalBytes, type Json } from '../../../src/core/encoding/canonical-json.ts'
import type { CborValue } from '../../../src/core/encoding/cbor.ts'
import { type CcaTokenOptions, mintArmPlatform, mintCcaToken } from '../../../src/testing/index.ts'
import { appraiseCca, type CcaCase, endorsed, failures, pinned } from '../../support/arm.ts'

const machine = mintArmPlatform()
const good: CcaCase = {
  token: mint(),
  anchors: pinned(machine),
  endorsements: endorsed(machine.endorsement),
}

function mint(options: Partial<CcaTokenOptions> = {}): Uint8Array {
  return mintCcaToken({ platform: machine, generation: '2024', ...options })
}

const hex = (byte: number, size = 32): string => byte.toString(16).padStart(2, '0').repeat(size)
const bytes = (byte: number, size = 32): Uint8Array => new Uint8Array(size).fill(byte)
const instanceId = `01${hex(0xb2)}`

describe('Arm CCA claims', () => {
  it('are printed whole, and the digest of the firmware is over what is printed', async () => {
    const result = await appraiseCca(good)
    const claims = result.claims as Record<string, Record<string, Json>>
    expect(claims).toMatchObject({
      collection_tag: 907,
      platform_key_sha256: machine.anchor,
      platform: { implementation_id: hex(0xa1), instance_id: instanceId, config: 'cfcfcfcf' },
      realm: { initial_measurement: hex(0xd0), challenge: hex(0xc1, 64), mec_policy: 'private' },
    })
    const printed = canonicalBytes(claims['platform']?.['sw_components'] ?? null)
    const digest = createHash('sha256').update(printed).digest('hex')
    const measured = result.checks.find(({ id }) => id === 'cca.reference_values')?.actual ?? ''
    const names = Object.fromEntries(
      measured.split('; ').map((one) => one.split(' ') as [string, string]),
    )
    expect(names).toEqual({
      rim: hex(0xd0),
      rem0: hex(0xd1),
      rem1: hex(0xd2),
      rem2: hex(0xd3),
      rem3: hex(0xd4),
      rpv: hex(0xc2, 64),
      implementation_id: hex(0xa1),
      sw_components: digest,
      sw_BL1: hex(0xe0),
      sw_BL2: hex(0xe1),
      sw_RMM: hex(0xe2),
    })
    expect(result.tcb).toEqual({ status: 'unpublished', date: undefined, advisoryIds: [] })
  })

  it('name no component that has no name of its own', async () => {
    const one = (type: string | undefined, byte: number): CborValue =>
      new Map<number, CborValue>([
        ...(type === undefined ? [] : [[1, type] as const]),
        [2, bytes(byte)],
        [5, bytes(0xf0)],
      ])
    const list = [one('BL', 1), one('BL', 2), one('a b', 3), one(undefined, 4), one('OK', 5)]
    const result = await appraiseCca({ ...good, token: mint({ platformClaims: { 2399: list } }) })
    const measured = result.checks.find(({ id }) => id === 'cca.reference_values')?.actual ?? ''
    expect(measured.match(/sw_\S+/g)).toEqual(['sw_components', 'sw_OK'])
  })

  it('answer nonces and report data by the challenge, padded and whole', async () => {
    const nonce = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
    const challenge = Uint8Array.of(...nonce, ...new Uint8Array(32))
    const token = mint({ realmClaims: { 10: challenge } })
    const ask = async (wanted: Uint8Array) =>
      failures(
        await appraiseCca({
          ...good,
          token,
          binding: { nonce: { require: wanted }, reportData: { require: wanted } },
        }),
      )
    expect(await ask(nonce)).toEqual([])
    expect(await ask(challenge)).toEqual([])
    const both = ['cca.freshness.nonce', 'cca.binding.report_data']
    for (const wrong of [
      nonce.slice(1),
      nonce.with(0, 9),
      challenge.with(63, 1),
      new Uint8Array(64),
    ]) {
      expect(await ask(wrong)).toEqual(both)
    }
  })
})
