/**
 * Arm CCA samples that are claims without a signature. They are signed here, by a machine made for the
 * test: what they show is which claims are good.
 */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { type CborValue, encodeCbor } from '../../src/core/encoding/cbor.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { type CcaEvidence, parseToken } from '../../src/core/evidence/arm-cca/token.ts'
import { mintArmPlatform, mintCcaToken, mintRealmKey } from '../../src/testing/index.ts'
import { appraiseCca, endorsed, pinned } from '../support/arm.ts'
import { claimSets, dir, jsonClaims, policy, read, readJson } from '../support/cca-samples.ts'
import { orTyped } from '../support/mutate.ts'

const machine = mintArmPlatform()
const bytes = (base64: Json): CborValue =>
  typeof base64 === 'string'
    ? Uint8Array.from(Buffer.from(base64, 'base64'))
    : (base64 as CborValue)
const same = (value: Json): CborValue => value as CborValue
/** Claims of the JSON samples: label in CBOR, and how the value is written. */
const LABELS: Readonly<Record<string, readonly [number, (value: Json) => CborValue]>> = {
  'cca-platform-profile': [265, same],
  'cca-platform-challenge': [10, bytes],
  'cca-platform-implementation-id': [2396, bytes],
  'cca-platform-instance-id': [256, bytes],
  'cca-platform-config': [2401, bytes],
  'cca-platform-lifecycle': [2395, same],
  'cca-platform-sw-components': [2399, components],
  'cca-platform-service-indicator': [2400, same],
  'cca-platform-hash-algo-id': [2402, same],
}

/** The claim that each negative sample is about, by the name of its file. */
const ABOUT: Readonly<Record<string, string>> = {
  'test-config-missing': 'cca-platform-config',
  'test-hash-algid-invalid': 'cca-platform-hash-algo-id',
  'test-hash-algid-missing': 'cca-platform-hash-algo-id',
  'test-implementation-id-invalid-long': 'cca-platform-implementation-id',
  'test-implementation-id-invalid-missing': 'cca-platform-implementation-id',
  'test-instance-id-invalid': 'cca-platform-instance-id',
  'test-instance-id-missing': 'cca-platform-instance-id',
  'test-invalid-profile': 'cca-platform-profile',
  'test-invalid-psa-claims': 'cca-platform-implementation-id',
  'test-lifecycle-invalid': 'cca-platform-lifecycle',
  'test-no-sw-components': 'cca-platform-sw-components',
  'test-nonce-invalid': 'cca-platform-challenge',
  'test-sw-components-invalid-combo': 'cca-platform-sw-components[0].measurement-value',
  'test-vsi-invalid-empty': 'cca-platform-service-indicator',
}

function components(list: Json): CborValue {
  return (list as readonly Record<string, Json>[]).map(
    (one) =>
      new Map([
        [2, strict(one['measurement-value'])],
        [5, strict(one['signer-id'])],
      ]),
  )
}

/** Two samples are wrong only as base64, which CBOR has no way to say: they become a byte too long. */
function strict(text: Json | undefined): CborValue {
  const value = typeof text === 'string' ? text : ''
  const good = Buffer.from(value, 'base64')
  const exact = good.toString('base64') === value
  return Uint8Array.from(exact ? good : [...good, 0])
}

/** The claims of a JSON sample as a signed token; what other specifications call them is kept. */
function tokenOf(file: string): Uint8Array {
  const claims = readJson(file) as Record<string, Json>
  const map = new Map<number | string, CborValue>()
  for (const [name, value] of Object.entries(claims)) {
    const [label, convert] = LABELS[name] ?? [name, () => 'of another specification']
    map.set(label, convert(value))
  }
  // What they answered is not in the sample, so these sign for the realm that is minted here.
  const nonce = map.get(10)
  if (nonce instanceof Uint8Array && nonce.length === 32) map.set(10, hash(machine.rak))
  return mintCcaToken({ platform: machine, platformPayload: encodeCbor(map) })
}

const hash = (rak: typeof machine.rak): Uint8Array =>
  Uint8Array.from(createHash('sha256').update(mintRealmKey(rak, 'legacy')).digest())

async function verdict(token: Uint8Array): Promise<string> {
  const own = endorsed({ spki: machine.cpak.spki })
  const input = { token, anchors: pinned(machine), endorsements: own, policy }
  const result = await orTyped(async () => appraiseCca(input))
  return result instanceof VouchsafeError ? result.code : result.tier
}

describe.runIf(dir !== undefined)('Arm CCA samples of claims', () => {
  it.each(jsonClaims)('$file: $expected_verdict', async ({ file, expected_verdict }) => {
    if (expected_verdict.startsWith('accept')) {
      expect(await verdict(tokenOf(file))).toBe('affirming')
    } else {
      expect(expected_verdict).toMatch(/^reject/)
      const error = await orTyped((): CcaEvidence => parseToken(tokenOf(file)))
      expect(error).toMatchObject({
        code: expect.stringMatching(/^ERR_EVIDENCE_(MALFORMED|UNSUPPORTED)$/) as string,
        at: `cca.platform.${ABOUT[basename(file, '.json')] ?? ''}`,
      })
    }
  })

  it.each(claimSets)('$file: $expected_verdict', async ({ file, expected_verdict }) => {
    const payload = read(file)
    const part = file.includes('platform') ? 'platform' : 'realm'
    // Signed with a key that is not the one in the claims: those must parse, and nothing more.
    const token = mintCcaToken({
      platform: machine,
      ...(part === 'platform' ? { platformPayload: payload } : { realmPayload: payload }),
    })
    const parsed = await orTyped((): CcaEvidence => parseToken(token))
    if (expected_verdict.startsWith('accept')) {
      expect(parsed).not.toBeInstanceOf(VouchsafeError)
      expect(await verdict(token)).toBe('contraindicated')
    } else {
      expect(expected_verdict).toMatch(/^reject/)
      expect(parsed).toMatchObject({ code: 'ERR_EVIDENCE_MALFORMED' })
    }
  })
})
