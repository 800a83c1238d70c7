import { describe, expect, it } from 'vitest'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
} from '../../../src/core/endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../../../src/core/endorsements/needs.ts'
import { isProven } from '../../../src/core/endorsements/proven.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  mintAmdCrl,
  mintAmdPki,
  mintChipId,
  mintIntelPki,
  mintVek,
} from '../../../src/testing/index.ts'

const NOW = new Date('2026-09-01T12:00:00Z')
const DAY = 24 * 60 * 60 * 1000
const dates = { notBefore: NOW, notAfter: new Date(NOW.getTime() + 900 * DAY) }
const intel = mintIntelPki({ now: NOW })
const amd = mintAmdPki('Milan', { ...dates, rsaBits: 2048 })
/** Of the same names, and nobody pins it. */
const impostor = mintAmdPki('Milan', { ...dates, rsaBits: 2048 })
const tcb = Uint8Array.of(4, 0, 0, 0, 0, 0, 24, 219)
const vek = (pki: typeof amd) =>
  mintVek(pki, { kind: 'VCEK', ...dates, tcb, chipId: mintChipId('Milan') }).der
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const all = intel.endorsements()
const [rootCrl, pckCrl] = all.crls
if (rootCrl === undefined || pckCrl === undefined) throw new Error('no lists')
const { platformCa, root } = intel.certificates
const fmspc = hex(intel.platform.fmspc)
const LIST = { thisUpdate: NOW, nextUpdate: dates.notAfter }
const set = (parts: Partial<EndorsementSet>): EndorsementSet => ({ ...NO_ENDORSEMENTS, ...parts })
const chain = (pki: typeof amd) => [pki.ask.der, pki.ark.der]
const vcek: EndorsementNeed = {
  kind: 'vcek',
  product: 'Milan',
  hwid: hex(mintChipId('Milan')),
  tcb: hex(tcb),
}
const vekChain: EndorsementNeed = { kind: 'vek-chain', product: 'Milan', key: 'VCEK' }
const amdCrl: EndorsementNeed = { kind: 'amd-crl', product: 'Milan', key: 'VCEK' }
const info: EndorsementNeed = { kind: 'tdx-tcb-info', fmspc, feed: 'standard' }
const identity: EndorsementNeed = { kind: 'td-qe-identity', feed: 'standard' }
const { certificates, tcbInfos, qeIdentities } = all
const touched = tcbInfos.map(({ body, signature }) => ({ body: body.with(9, 0x20), signature }))

const anchors = {
  intel: [intel.anchor],
  amd: { Milan: [amd.anchor], Genoa: [amd.anchor], Turin: [] },
}
const proven = async (need: EndorsementNeed, parts: Partial<EndorsementSet>, pins = anchors) =>
  isProven(need, set(parts), { anchors: pins, crypto: createCrypto() })

describe('what a vendor signed', () => {
  it.each<[string, EndorsementNeed, Partial<EndorsementSet>]>([
    ['TCB Info', info, { certificates, tcbInfos }],
    ['QE Identity', identity, { certificates, qeIdentities }],
    [
      'list of a PCK CA',
      { kind: 'pck-crl', ca: 'platform' },
      { certificates: [platformCa, root], crls: [pckCrl] },
    ],
    ['list of the root', { kind: 'intel-root-crl' }, { certificates, crls: [rootCrl] }],
    ['VCEK with its issuers', vcek, { certificates: [vek(amd), ...chain(amd)] }],
    ['issuer chain', vekChain, { certificates: chain(amd) }],
    ['list of AMD', amdCrl, { certificates: chain(amd), crls: [mintAmdCrl(amd, LIST)] }],
  ])('%s is proven, and under other roots it is not', async (_, need, parts) => {
    expect(await proven(need, parts)).toBe(true)
    const others = { intel: ['00'.repeat(32)], amd: { Milan: [], Genoa: [amd.anchor], Turin: [] } }
    expect(await proven(need, parts, others)).toBe(false)
  })

  it.each<[string, EndorsementNeed, Partial<EndorsementSet>]>([
    ['a VCEK alone, whose issuer is not at hand', vcek, { certificates: [vek(amd)] }],
    ['a VCEK of an impostor', vcek, { certificates: [vek(impostor), ...chain(amd)] }],
    ['an impostor’s hierarchy', vcek, { certificates: [vek(impostor), ...chain(impostor)] }],
    [
      'a chain that ends in the right root',
      vekChain,
      { certificates: [impostor.ask.der, amd.ark.der] },
    ],
    [
      'an impostor’s list',
      amdCrl,
      { certificates: chain(amd), crls: [mintAmdCrl(impostor, LIST)] },
    ],
    ['TCB Info of which a byte was changed', info, { certificates, tcbInfos: touched }],
    ['TCB Info without its signer', info, { certificates: certificates.slice(-1), tcbInfos }],
    [
      'one good document beside a bad one',
      info,
      { certificates, tcbInfos: [...tcbInfos, ...touched] },
    ],
    ['nothing', vcek, {}],
    [
      'what is NVIDIA’s',
      { kind: 'nvidia-rim', id: 'NV_GPU_DRIVER_GH100_550.54.14' },
      { certificates },
    ],
  ])('%s is not', async (_, need, parts) => {
    expect(await proven(need, parts)).toBe(false)
  })

  it('a certificate with a key that is none is not, and is no error', async () => {
    const broken = amd.ask.der.slice()
    // Somewhere within the modulus or the name: whatever it becomes, nothing throws.
    for (let at = 40; at < broken.length; at += 37) {
      const certificatesOf = [vek(amd), broken.with(at, (broken[at] ?? 0) ^ 0xff), amd.ark.der]
      expect(await proven(vcek, { certificates: certificatesOf })).toBe(false)
    }
  })
})
