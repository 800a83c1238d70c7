/** A TPM beside a TDX CPU, as a companion device that the CPU's statement names. */
import { beforeAll, describe, expect, it } from 'vitest'
import { appraise } from '../../../src/core/appraisal/appraise.ts'
import {
  checkTogether,
  machineTier,
  nameSubmodules,
  requireAffirmingMachine,
  type Submodules,
} from '../../../src/core/appraisal/composite.ts'
import { arrangeParts, bindParts, type Part } from '../../../src/core/appraisal/parts.ts'
import {
  type EndorsementSet,
  joinEndorsements,
  NO_ENDORSEMENTS,
} from '../../../src/core/endorsements/endorsement-set.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  mintAkCertificate,
  mintTpmCrls,
  mintTpmEvidence,
  mintTpmKey,
  mintTpmPki,
} from '../../../src/testing/index.ts'
import {
  authentic,
  CHALLENGE,
  derivedNonce,
  failedOf,
  MACHINE_AT,
  mintMachine,
} from '../../support/machine.ts'

const DAY = 24 * 60 * 60 * 1000
const crypto = createCrypto()
const memo = createMemo(100)
const machine = mintMachine(1)
const pki = mintTpmPki({ at: MACHINE_AT })
const [key, otherKey] = [mintTpmKey(), mintTpmKey()]
const dates = {
  thisUpdate: new Date(MACHINE_AT.getTime() - DAY),
  nextUpdate: new Date(MACHINE_AT.getTime() + DAY),
}
const crls: EndorsementSet = { ...NO_ENDORSEMENTS, crls: mintTpmCrls(pki, dates) }
const endorsements = joinEndorsements(machine.endorsements, crls)
const anchors = { ...machine.anchors, tpm: [pki.anchor] }
let nonce: Uint8Array

beforeAll(async () => {
  nonce = await derivedNonce()
})

/** A quote over a nonce, with the certificate of the key that made it. */
function quote(ak = key, extraData = nonce): Part {
  const leaf = mintAkCertificate(pki, { spki: ak.spki })
  const certificates = [leaf, pki.issuing.der, pki.root.der]
  return { format: 'tpm', evidence: mintTpmEvidence({ key: ak, certificates, extraData }) }
}

async function judge(devices: readonly Part[]): Promise<Submodules> {
  const { statement, parts } = await machine.show(devices)
  const arranged = arrangeParts(parts, { code: 'ERR_REQUEST_INVALID', at: 'test' })
  const question = { nonce: { require: CHALLENGE }, statement }
  const results = []
  for (const { part, binding } of await bindParts(arranged, question, crypto)) {
    const policy = authentic(part.format)
    const input = { ...part, endorsements, referenceValues: [], policy, binding }
    results.push(await appraise({ ...input, anchors, now: MACHINE_AT }, { crypto, memo }))
  }
  return nameSubmodules(results)
}
const together = (submodules: Submodules) =>
  checkTogether(submodules)
    .filter(({ outcome }) => outcome !== 'pass')
    .map(({ id }) => id)

describe('a TPM that the statement of a CPU names', () => {
  it('is a device of the machine, alone and beside a GPU', async () => {
    const submodules = await judge([quote(), machine.gpu(0, nonce)])
    expect(failedOf(submodules)).toEqual({ cpu0: [], tpm0: [], gpu0: [] })
    expect(machineTier(submodules)).toBe('affirming')
    expect(requireAffirmingMachine(submodules)).toHaveLength(3)
    expect(requireAffirmingMachine(await judge([quote()]))).toHaveLength(2)
  })

  it('may have another TPM beside it', async () => {
    const submodules = await judge([quote(), quote(otherKey)])
    expect(failedOf(submodules)).toEqual({ cpu0: [], tpm0: [], tpm1: [] })
    expect(machineTier(submodules)).toBe('affirming')
  })

  it('is one TPM, however often it signs', async () => {
    const [first, second] = [quote(), quote()]
    expect(first.evidence).not.toEqual(second.evidence)
    const submodules = await judge([first, second])
    expect(failedOf(submodules)).toEqual({ cpu0: [], tpm0: [], tpm1: [] })
    expect(together(submodules)).toEqual(['composite.distinct'])
    expect(machineTier(submodules)).toBe('contraindicated')
    expect(() => requireAffirmingMachine(submodules)).toThrow('composite.distinct')
  })

  it('answers the nonce of the devices, not that of the CPU', async () => {
    const submodules = await judge([quote(key, CHALLENGE)])
    expect(failedOf(submodules)).toEqual({ cpu0: [], tpm0: ['tpm.freshness.nonce'] })
  })

  it('vouches for nothing where the CPU that named it was left out', async () => {
    const { tpm0, gpu0 } = await judge([quote(), machine.gpu(0, nonce)])
    if (tpm0 === undefined || gpu0 === undefined) throw new Error('no parts')
    // Each result says "named by that statement", and nobody is left who signed the statement.
    for (const submodules of [{ tpm0 }, { tpm0, gpu0 }]) {
      expect(together(submodules)).toEqual(['composite.voucher'])
      expect(machineTier(submodules)).toBe('contraindicated')
      expect(() => requireAffirmingMachine(submodules)).toThrow('composite.voucher')
    }
  })
})
