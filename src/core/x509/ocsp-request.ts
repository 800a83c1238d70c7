/**
 * Asks about one certificate by OCSP.
 *
 * @packageDocumentation
 * @see RFC 6960 §4.1
 */
import { concat } from '../bytes/bytes.ts'
import { fromHex } from '../bytes/hex.ts'
import type { CertId } from './ocsp.ts'

const BLAME = { code: 'ERR_REQUEST_INVALID', at: 'ocsp.request' } as const
const SEQUENCE = 0x30
const INTEGER = 0x02
const OCTETS = 0x04
/** AlgorithmIdentifiers with NULL parameters, as servers expect them. */
const ALGORITHMS = {
  'SHA-256': '300d06096086480165030402010500',
  'SHA-384': '300d06096086480165030402020500',
  'SHA-512': '300d06096086480165030402030500',
} as const

/**
 * An unsigned request in DER, without a nonce: the answer may be kept, and is fresh by its dates.
 *
 * @throws {@link VouchsafeError} `ERR_REQUEST_INVALID` for a serial that is no hexadecimal text.
 */
export function encodeOcspRequest(about: CertId): Uint8Array<ArrayBuffer> {
  const certId = element(
    SEQUENCE,
    fromHex(ALGORITHMS[about.hash], BLAME),
    element(OCTETS, about.issuerNameHash),
    element(OCTETS, about.issuerKeyHash),
    element(INTEGER, fromHex(about.serial, BLAME)),
  )
  // OCSPRequest { tbsRequest { requestList { Request { reqCert } } } }
  return [0, 1, 2, 3].reduce<Uint8Array<ArrayBuffer>>((inner) => element(SEQUENCE, inner), certId)
}

/** Definite lengths of up to two bytes: everything here is short. */
function element(tag: number, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const content = concat(...parts)
  const { length } = content
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff]
  return concat(Uint8Array.from(head), content)
}
