/**
 * A real TPM 2.0, in software: keys of each kind and both banks, quoted by the attester that ships and
 * appraised as anyone would. Nothing here is minted but the CA that certifies the keys.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Binding } from '../../src/core/appraisal/binding.ts'
import { requireAffirming } from '../../src/core/appraisal/result.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { encodePem } from '../../src/core/encoding/pem.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { parsePublicArea } from '../../src/core/evidence/tpm/public-area.ts'
import { createTpmAttester } from '../../src/drivers/attester/tpm.ts'
import { mintAkCertificate } from '../../src/testing/index.ts'
import { hasSwtpm, type SoftwareTpm, startSwtpm } from '../support/swtpm.ts'
import { ANCHORS, appraiseTpmEvidence, crls, failures, PKI, tpmPolicy } from '../support/tpm.ts'

type Scheme = 'rsassa' | 'rsapss' | 'ecdsa'

interface Key {
  readonly name: string
  readonly type: 'rsa' | 'ecc' | 'ecc384'
  readonly hash: 'sha256' | 'sha384'
  readonly scheme: Scheme
}

const RSA: Key = { name: 'rsa', type: 'rsa', hash: 'sha256', scheme: 'rsassa' }
const P256: Key = { name: 'p256', type: 'ecc', hash: 'sha256', scheme: 'ecdsa' }
const KEYS: readonly Key[] = [
  RSA,
  { name: 'rsa384', type: 'rsa', hash: 'sha384', scheme: 'rsassa' },
  { name: 'pss', type: 'rsa', hash: 'sha256', scheme: 'rsapss' },
  P256,
  { name: 'p384', type: 'ecc384', hash: 'sha384', scheme: 'ecdsa' },
]
const PCRS = 'sha256:0,1,2,3,4,5,6,7+sha384:0,7'
const SELECTED = [
  { bank: 'sha256', pcrs: [0, 1, 2, 3, 4, 5, 6, 7] },
  { bank: 'sha384', pcrs: [0, 7] },
]
const policy = tpmPolicy({
  'ak.attributes': { require: 'restricted-signing' },
  'ak.trust': { require: ['certificate'] },
  'pcrs.selected': { require: SELECTED },
  'pcrs.measured': { require: true },
})
const fresh = () => Uint8Array.from([...randomBytes(32), ...new Uint8Array(32)])
const bound = (data: Uint8Array): Binding => ({
  nonce: { require: data },
  reportData: { require: data },
})

describe.runIf(hasSwtpm())('a TPM 2.0', () => {
  let tpm: SoftwareTpm
  const file = (name: string) => join(tpm.directory, name)
  const publicOf = (name: string) => parsePublicArea(readFileSync(file(`${name}.pub`)), 'test')

  const attest = async ({ name, hash, scheme }: Key, reportData: Uint8Array, pcrs = PCRS) => {
    const attester = createTpmAttester({
      key: file(`${name}.ctx`),
      pcrs,
      hash,
      scheme,
      certificates: file(`${name}.pem`),
      environment: tpm.environment,
    })
    const { evidence } = await attester.attest(reportData)
    tpm.tool('tpm2_flushcontext', '-t')
    return evidence
  }

  beforeAll(async () => {
    tpm = await startSwtpm()
    tpm.tool('tpm2_createek', '-c', 'ek.ctx', '-G', 'rsa')
    for (const { name, type, hash, scheme } of KEYS) {
      const kind = ['-G', type, '-g', hash, '-s', scheme]
      tpm.tool('tpm2_createak', '-C', 'ek.ctx', '-c', `${name}.ctx`, '-u', `${name}.pub`, ...kind)
      const leaf = mintAkCertificate(PKI, { spki: publicOf(name).key.spki })
      const chain = [leaf, PKI.issuing.der, PKI.root.der]
      writeFileSync(file(`${name}.pem`), chain.map((der) => encodePem(der, 'CERTIFICATE')).join(''))
    }
    for (const pcr of [0, 1, 2, 3, 4, 5, 6, 7]) extend(pcr, `firmware ${pcr}`)
  })

  afterAll(async () => {
    await tpm.stop()
  })

  function extend(pcr: number, what: string): void {
    const digest = (hash: string) => createHash(hash).update(what).digest('hex')
    tpm.tool('tpm2_pcrextend', `${pcr}:sha256=${digest('sha256')},sha384=${digest('sha384')}`)
  }

  it.each(KEYS)('$name: a fresh quote is affirmed, and opens the door', async (key) => {
    const data = fresh()
    const evidence = await attest(key, data)
    const result = await appraiseTpmEvidence({ evidence, policy, binding: bound(data) })
    expect(failures(result)).toEqual([])
    expect(result.tier).toBe('affirming')
    expect(requireAffirming(result)).toBe(result)
    const zero = createHash('sha256').update('firmware 0').digest()
    const expected = createHash('sha256').update(new Uint8Array(32)).update(zero).digest('hex')
    expect(result.claims).toMatchObject({
      pcrs: { sha256: { 0: expected } },
      ak: { trust: 'certificate', wrongAttributes: [] },
    })
  })

  it('another nonce, and zeros for one, are refused', async () => {
    const evidence = await attest(RSA, fresh())
    for (const data of [fresh(), new Uint8Array(64)]) {
      const result = await appraiseTpmEvidence({ evidence, policy, binding: bound(data) })
      expect(failures(result)).toEqual(['tpm.freshness.nonce', 'tpm.binding.report_data'])
    }
  })

  it('report data of 64 bytes is bound whole', async () => {
    const data = Uint8Array.from(randomBytes(64))
    const evidence = await attest(P256, data)
    const whole = await appraiseTpmEvidence({ evidence, policy, binding: bound(data) })
    expect(whole.tier).toBe('affirming')
    const half = bound(data.slice(0, 32))
    expect((await appraiseTpmEvidence({ evidence, policy, binding: half })).tier).toBe(
      'contraindicated',
    )
  })

  it('a PCR that changed after the quote is another machine, one changed in the text a lie', async () => {
    const key = P256
    const data = fresh()
    const before = await attest(key, data)
    const known = await appraiseTpmEvidence({ evidence: before, policy, binding: bound(data) })
    const value = (known.claims as { pcrs: { sha256: Record<string, string> } }).pcrs.sha256['4']
    const pinned = { ...policy, fields: { ...policy.fields, pcr4: { require: [value] } } }
    expect((await appraiseTpmEvidence({ evidence: before, policy: pinned })).tier).toBe('affirming')
    extend(4, 'another boot loader')
    const after = await attest(key, data)
    const changed = await appraiseTpmEvidence({ evidence: after, policy: pinned })
    expect(failures(changed)).toEqual(['tpm.pcr4'])
    const text = new TextDecoder().decode(after)
    const now = (changed.claims as { pcrs: { sha256: Record<string, string> } }).pcrs.sha256['4']
    const lie = new TextEncoder().encode(text.replace(now ?? '', value ?? ''))
    expect(failures(await appraiseTpmEvidence({ evidence: lie, policy: pinned }))).toEqual([
      'tpm.pcrs.digest',
    ])
  })

  it('any flipped byte of the quote or of its signature is refused', async () => {
    const data = fresh()
    const json = JSON.parse(new TextDecoder().decode(await attest(P256, data))) as {
      tpm_quote: { message: string; signature: string }
    }
    let refused = 0
    for (const part of ['message', 'signature'] as const) {
      const bytes = Buffer.from(json.tpm_quote[part], 'base64')
      for (let i = 0; i < bytes.length; i += 3) {
        const flipped = Buffer.from(bytes)
        flipped[i] = (flipped[i] ?? 0) ^ 0x01
        const quote = { ...json.tpm_quote, [part]: flipped.toString('base64') }
        const evidence = new TextEncoder().encode(JSON.stringify({ ...json, tpm_quote: quote }))
        const tier = await appraiseTpmEvidence({ evidence, policy, binding: bound(data) }).then(
          (result) => result.tier,
          (error: unknown) => (error as { code: string }).code,
        )
        expect(tier).toMatch(/^(?:contraindicated|ERR_EVIDENCE_(?:MALFORMED|UNSUPPORTED))$/)
        refused++
      }
    }
    expect(refused).toBeGreaterThan(60)
  })

  it('the certificate of another key, no certificate, and a pin', async () => {
    const data = fresh()
    const json = JSON.parse(new TextDecoder().decode(await attest(P256, data))) as object
    const other = readFileSync(file('rsa.pub')).toString('base64')
    const encode = (change: object) =>
      new TextEncoder().encode(JSON.stringify({ ...json, ...change }))
    const stranger = await appraiseTpmEvidence({ evidence: encode({ ak_public: other }), policy })
    expect(failures(stranger)).toContain('tpm.signature.quote')
    const bare = encode({ ak_certificates: [] })
    expect(failures(await appraiseTpmEvidence({ evidence: bare, policy }))).toContain(
      'tpm.ak.anchor',
    )
    const digest = createHash('sha256').update(publicOf('p256').key.spki).digest()
    const pinned = await appraiseTpmEvidence({
      evidence: bare,
      policy: tpmPolicy({ 'ak.trust': { require: ['pin'] } }),
      anchors: { ...VENDOR_ANCHORS, tpmKeys: [toHex(digest)] },
      binding: bound(data),
    })
    expect(pinned.tier).toBe('affirming')
    expect(requireAffirming(pinned)).toBe(pinned)
  })

  it('a local key that a certified key certifies (TPM2_Certify) is believed, by that', async () => {
    const data = fresh()
    const [local, initial] = [RSA, P256]
    const json = JSON.parse(new TextDecoder().decode(await attest(local, data))) as object
    const ctx = ['-c', 'rsa.ctx', '-C', 'p256.ctx', '-g', 'sha256', '-o', 'certify.msg']
    tpm.tool('tpm2_certify', ...ctx, '-s', 'certify.sig')
    const read = (name: string) => readFileSync(file(name)).toString('base64')
    const leaf = mintAkCertificate(PKI, { spki: publicOf(initial.name).key.spki })
    const evidence = (message: string) =>
      new TextEncoder().encode(
        JSON.stringify({
          ...json,
          ak_certificates: [leaf, PKI.issuing.der, PKI.root.der].map((der) =>
            Buffer.from(der).toString('base64'),
          ),
          ak_certify: { message, signature: read('certify.sig') },
        }),
      )
    const certified = tpmPolicy({ 'ak.trust': { require: ['certified'] } })
    const result = await appraiseTpmEvidence({
      evidence: evidence(read('certify.msg')),
      policy: certified,
      binding: bound(data),
    })
    expect(failures(result)).toEqual([])
    expect(result.tier).toBe('affirming')
    // The name of another key, signed by the same.
    const wrong = ['-c', 'p384.ctx', '-C', 'p256.ctx', '-g', 'sha256', '-o', 'certify.msg']
    tpm.tool('tpm2_certify', ...wrong, '-s', 'certify.sig')
    const refused = await appraiseTpmEvidence({
      evidence: evidence(read('certify.msg')),
      policy: certified,
    })
    expect(failures(refused)).toEqual(['tpm.ak.certified'])
  })

  it('a revoked certificate and an unpinned root are refused', async () => {
    const evidence = await attest(P256, fresh())
    const revoked = await appraiseTpmEvidence({ evidence, policy, endorsements: crls([1000]) })
    expect(failures(revoked)).toEqual(['tpm.ak.revocation'])
    const unpinned = await appraiseTpmEvidence({
      evidence,
      policy,
      anchors: { ...ANCHORS, tpm: [] },
    })
    expect(failures(unpinned)).toEqual(['tpm.ak.anchor'])
  })
})
