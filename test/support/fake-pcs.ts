/** A fake Intel PCS v4 over a minted Intel. */
import { toHex } from '../../src/core/bytes/hex.ts'
import { encodePem } from '../../src/core/encoding/pem.ts'
import type { IntelPki } from '../../src/testing/index.ts'
import { type FakeAnswer, type FakeVendor, startFakeVendor } from './fake-vendor.ts'

export interface FakePcsOptions {
  /** Where the root's CRL is, as a whole path. */
  readonly rootCrlPath?: string
  /** CRLs in hexadecimal, as a PCCS has them. */
  readonly hexCrls?: boolean
  /** What `update=early` answers with, if not the same. */
  readonly early?: IntelPki
}

export const ROOT_CRL_PATH = '/IntelSGXRootCA.der'

/** Serves whatever `pki` gives at the moment of asking. */
export async function startFakePcs(
  pki: () => IntelPki,
  options: FakePcsOptions = {},
): Promise<FakeVendor> {
  return startFakeVendor((url) => {
    const early = url.searchParams.get('update') === 'early' ? options.early : undefined
    return answer(url, early ?? pki(), options)
  })
}

function answer(url: URL, pki: IntelPki, options: FakePcsOptions): FakeAnswer | undefined {
  const { certificates } = pki
  const signers = chain([certificates.tcbSigning, certificates.root])
  const [rootCrl, pckCrl] = pki.endorsements().crls
  const list = (der: Uint8Array | undefined) =>
    options.hexCrls ? toHex(der ?? empty) : (der ?? empty)
  switch (url.pathname) {
    case '/tdx/certification/v4/tcb':
    case '/sgx/certification/v4/tcb': {
      if (url.searchParams.get('fmspc') !== toHex(pki.platform.fmspc)) return undefined
      const body = document(pki, 'tcbInfo', url.pathname.startsWith('/tdx/') ? 'TDX' : 'SGX')
      return body === undefined
        ? undefined
        : { headers: { 'TCB-Info-Issuer-Chain': signers }, body }
    }
    case '/tdx/certification/v4/qe/identity':
    case '/sgx/certification/v4/qe/identity': {
      const body = document(
        pki,
        'enclaveIdentity',
        url.pathname.startsWith('/tdx/') ? 'TD_QE' : 'QE',
      )
      return body === undefined
        ? undefined
        : { headers: { 'SGX-Enclave-Identity-Issuer-Chain': signers }, body }
    }
    case '/sgx/certification/v4/pckcrl': {
      const der = url.searchParams.get('encoding') === 'der'
      if (url.searchParams.get('ca') !== 'platform' || !der) return { status: 400, body: '' }
      const issuers = chain([certificates.platformCa, certificates.root])
      return { headers: { 'SGX-PCK-CRL-Issuer-Chain': issuers }, body: list(pckCrl) }
    }
    case '/sgx/certification/v4/pckcert': {
      const issuers = chain([certificates.platformCa, certificates.root])
      const headers = { 'SGX-PCK-Certificate-Issuer-Chain': issuers }
      return { headers, body: encodePem(certificates.pck, 'CERTIFICATE') }
    }
    case options.rootCrlPath ?? ROOT_CRL_PATH:
      return { body: list(rootCrl) }
    default:
      return undefined
  }
}

const empty = new Uint8Array(0)

/** The document, if it is the one with this id. */
function document(
  pki: IntelPki,
  member: 'tcbInfo' | 'enclaveIdentity',
  id: string,
): string | undefined {
  const { tcbInfos, qeIdentities } = pki.endorsements()
  const [signed] = member === 'tcbInfo' ? tcbInfos : qeIdentities
  if (signed === undefined) throw new Error(`no ${member}`)
  const text = new TextDecoder().decode(signed.body)
  const members = JSON.parse(text) as { readonly id?: unknown }
  if (members.id !== id) return undefined
  return `{"${member}":${text},"signature":"${toHex(signed.signature)}"}`
}

/** As Intel's service encodes it: everything that is no letter or digit. */
function chain(ders: readonly Uint8Array[]): string {
  return encodeURIComponent(ders.map((der) => encodePem(der, 'CERTIFICATE')).join(''))
}
