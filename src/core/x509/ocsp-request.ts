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

/** The nonce extension's type, id-pkix-ocsp-nonce. */
const NONCE = '06092b0601050507300102'
const REQUEST_EXTENSIONS = 0xa2

/**
 * An unsigned request in DER.
 *
 * @param nonce - 32 octets, which the responder signs with its answer (RFC 9654 §2.1).
 * @throws {@link VouchsafeError} `ERR_REQUEST_INVALID` for a serial that is no hexadecimal text.
 */
export function encodeOcspRequest(about: CertId, nonce: Uint8Array): Uint8Array<ArrayBuffer> {
  const certId = element(
    SEQUENCE,
    fromHex(ALGORITHMS[about.hash], BLAME),
    element(OCTETS, about.issuerNameHash),
    element(OCTETS, about.issuerKeyHash),
    element(INTEGER, fromHex(about.serial, BLAME)),
  )
  const requestList = element(SEQUENCE, element(SEQUENCE, certId))
  const extension = element(
    SEQUENCE,
    fromHex(NONCE, BLAME),
    element(OCTETS, element(OCTETS, nonce)),
  )
  const extensions = element(REQUEST_EXTENSIONS, element(SEQUENCE, extension))
  return element(SEQUENCE, element(SEQUENCE, requestList, extensions))
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
