/** A fake AMD KDS over a minted AMD. */
import { toHex } from '../../src/core/bytes/hex.ts'
import { encodePem } from '../../src/core/encoding/pem.ts'
import { decodeTcb } from '../../src/core/evidence/sev-snp/tcb.ts'
import { type AmdPki, mintAmdCrl } from '../../src/testing/index.ts'
import { type FakeAnswer, type FakeVendor, startFakeVendor } from './fake-vendor.ts'

/** One chip at one TCB. */
export interface FakeChip {
  readonly hwid: Uint8Array
  readonly tcb: Uint8Array
  /** DER. */
  readonly vcek: Uint8Array
}

export interface FakeKdsOptions {
  readonly pki: AmdPki
  readonly chips: readonly FakeChip[]
  readonly crl: { readonly thisUpdate: Date; readonly nextUpdate: Date }
}

/** Serves the chips, the chains and the list of one product. */
export async function startFakeKds(options: FakeKdsOptions): Promise<FakeVendor> {
  return startFakeVendor((url) => answer(url, options))
}

function answer(url: URL, { pki, chips, crl }: FakeKdsOptions): FakeAnswer | undefined {
  const [, key, version, product, what = ''] = url.pathname.split('/')
  if ((key !== 'vcek' && key !== 'vlek') || version !== 'v1' || product !== pki.product) {
    return undefined
  }
  const issuer = key === 'vcek' ? pki.ask : pki.asvk
  if (what === 'cert_chain') {
    return { body: [issuer.der, pki.ark.der].map((der) => encodePem(der, 'CERTIFICATE')).join('') }
  }
  if (what === 'crl') return { body: mintAmdCrl(pki, crl) }
  const chip = chips.find(({ hwid, tcb }) => {
    const { fmc, bootloader, tee, snp, microcode } = decodeTcb(tcb, pki.product)
    const wanted = { blSPL: bootloader, teeSPL: tee, snpSPL: snp, ucodeSPL: microcode }
    const all = pki.product === 'Turin' ? { fmcSPL: fmc, ...wanted } : wanted
    const names = [...url.searchParams.keys()].sort().join()
    return (
      what === toHex(hwid) &&
      names === Object.keys(all).sort().join() &&
      Object.entries(all).every(([name, spl]) => url.searchParams.get(name) === `${spl}`)
    )
  })
  return chip && { body: chip.vcek }
}
