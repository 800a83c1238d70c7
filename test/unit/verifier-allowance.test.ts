import { describe, expect, it } from 'vitest'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createAllowance } from '../../src/verifier/allowance.ts'
import type { Appraised } from '../../src/verifier/record.ts'
import { resultOf } from '../support/release.ts'

const HOUR = 3_600_000
const NOW = new Date('2026-11-27T12:00:00Z')
const refused = expect.objectContaining({
  code: 'ERR_OVERLOADED',
  at: 'verifier.failedMebibytesPerHour',
}) as unknown

/** Five kibibytes each with what is charged besides, if all of it is new. */
const COST = 5 * 1024

function appraised(text: string, result: AttestationResult): Appraised {
  const bytes = (what: string) => utf8(`${what}${text}`.padEnd(256, ' '))
  const blobs = {
    evidence: bytes('evidence'),
    endorsements: bytes('endorsements'),
    binding: bytes('binding'),
    policy: new Uint8Array(1_000_000),
    referenceValues: new Uint8Array(1_000_000),
  }
  return { task: { format: 'tdx', now: NOW, blobs }, result, encoded: bytes('result').slice() }
}

const good = resultOf()
const waived: AttestationResult = {
  ...good,
  checks: good.checks.map((check) =>
    check.id.endsWith('freshness.nonce') ? { ...check, outcome: 'waived' } : check,
  ),
}
const failed: AttestationResult = { ...good, tier: 'contraindicated' }
const warned: AttestationResult = { ...good, tier: 'warning' }

function allowance(bytesPerHour: number) {
  const clock = { now: NOW.getTime() }
  const options = { bytesPerHour, clock: () => new Date(clock.now), crypto: createCrypto() }
  return { clock, allow: createAllowance(options) }
}

describe('the allowance for appraisals that open nothing', () => {
  it.each([
    ['failed', failed],
    ['warned', warned],
    ['affirming without freshness', waived],
  ])('is drawn on by what %s', async (_, result) => {
    const { allow } = allowance(COST)
    await allow([appraised('a', result)])
    await expect(allow([appraised('b', result)])).rejects.toThrow(refused)
  })

  it('is not drawn on by what affirms', async () => {
    const { allow } = allowance(1)
    for (const text of ['a', 'b', 'c']) await allow([appraised(text, good)])
  })

  it('counts a part of a machine alone, and draws nothing when not all fit', async () => {
    const { allow } = allowance(2 * COST)
    await allow([appraised('a', good), appraised('b', failed)])
    await expect(allow([appraised('c', failed), appraised('d', failed)])).rejects.toThrow(refused)
    await allow([appraised('e', failed)])
  })

  it('counts the same bytes once in an hour, and again in the next', async () => {
    const { allow, clock } = allowance(COST)
    const one = appraised('a', failed)
    for (let i = 0; i < 3; i++) await allow([one])
    clock.now += HOUR
    await allow([appraised('b', failed)])
    await expect(allow([one])).rejects.toThrow(refused)
  })

  it('begins anew when the clock was set back', async () => {
    const { allow, clock } = allowance(COST)
    await allow([appraised('a', failed)])
    clock.now -= 1
    await allow([appraised('b', failed)])
  })
})
