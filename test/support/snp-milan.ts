import { expect } from 'vitest'
import {
  type CertificateOptions,
  mintCertificate,
  mintKey,
} from '../../src/drivers/attester/simulated/minting/x509.ts'
import { mintAmdCrl, mintSnpReport } from '../../src/testing/index.ts'
import {
  AFTER,
  anchorsOf,
  appraiseSnp,
  BEFORE,
  bag,
  failures,
  LIFE,
  mintAmd,
  type SnpCase,
  vekOf,
} from './snp.ts'

export const { pki, vcek, vlek } = mintAmd('Milan')
export const genoa = mintAmd('Genoa')
export const turin = mintAmd('Turin')
export const anchors = anchorsOf(pki)
export const good = mintSnpReport({ product: 'Milan', key: vcek.key })
export const goodVlek = mintSnpReport({ product: 'Milan', key: vlek.key, signingKey: 'VLEK' })
const ORDER =
  'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973'

/** A report signed by a key whose certificate differs in something. */
export function withVek(options: Parameters<typeof vekOf>[1]): Partial<SnpCase> {
  const vek = vekOf(pki, options)
  const signingKey = options?.kind ?? 'VCEK'
  return {
    report: mintSnpReport({ product: 'Milan', key: vek.key, signingKey }),
    endorsements: bag(pki, [vek]),
  }
}

export function withExtension(oid: string, value: Uint8Array | undefined): Partial<SnpCase> {
  return withVek({ extensions: { [oid]: value } })
}

/** The good report, with another ASK of the same name and key. */
export function withAsk(change: Partial<CertificateOptions>): Partial<SnpCase> {
  const ask = mintCertificate({
    subject: pki.ask.name,
    key: pki.ask.key,
    issuer: pki.ark,
    ...LIFE,
    serial: 0x10001,
    ca: { pathLength: 0 },
    keyUsage: ['keyCertSign'],
    ...change,
  })
  return { endorsements: bag(pki, [vcek], { certificates: [vcek.der, ask, pki.ark.der] }) }
}

/** The good report, with r or s replaced. */
export function withScalar(name: 'r' | 's', littleEndian: Uint8Array): Partial<SnpCase> {
  const report = good.slice()
  report.fill(0, 0x2a0 + (name === 'r' ? 0 : 72), 0x2a0 + (name === 'r' ? 72 : 144))
  report.set(littleEndian, 0x2a0 + (name === 'r' ? 0 : 72))
  return { report }
}

export function withCrls(...crls: readonly Uint8Array[]): Partial<SnpCase> {
  return { endorsements: bag(pki, [vcek], { crls }) }
}

export function crl(options: Partial<Parameters<typeof mintAmdCrl>[1]>): Uint8Array {
  return mintAmdCrl(pki, { thisUpdate: BEFORE, nextUpdate: AFTER, ...options })
}

export async function failing(change: Partial<SnpCase>): Promise<readonly string[]> {
  const result = await appraiseSnp({
    report: good,
    endorsements: bag(pki, [vcek]),
    anchors,
    ...change,
  })
  expect(result.tier).not.toBe('affirming')
  expect(result.claims).toBeNull()
  return failures(result)
}

export const otherKey = mintKey('ES384')
export const otherArk = { name: pki.ark.name, key: mintKey('PS384', 2048) }
export const otherAsk = { name: pki.ask.name, key: mintKey('PS384', 2048) }
export const order = Uint8Array.from(Buffer.from(ORDER, 'hex')).reverse()
export const tcb = (...bytes: number[]) => ({ tcb: Uint8Array.from(bytes) })

/** What is wrong, the ids of the checks that must fail, and how to make it. */
export type WrongCase = readonly [string, readonly string[], () => Partial<SnpCase>]
