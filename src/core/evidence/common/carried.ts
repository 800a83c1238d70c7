/**
 * Evidence carried inside another binary structure: an X.509 certificate (RA-TLS, of which the Nitro
 * world has its own) or dstack's attestation record. Only the evidence is taken out; the carrier is neither checked nor
 * believed.
 *
 * @packageDocumentation
 */
import { fromHex } from '../../bytes/hex.ts'
import {
  contextTag,
  type Der,
  readChildren,
  readDer,
  readOctets,
  readOid,
  TAG,
} from '../../encoding/der.ts'
import { VouchsafeError } from '../../errors.ts'
import { quoteInCertificate } from './ra-tls.ts'

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'evidence.certificate' } as const
const SUBJECT_ALT_NAME = '2.5.29.17'
const DNS_NAME = 0x82
/** Shorter hexadecimal names are names. */
const LEAST_BYTES = 512

/**
 * The quote that a certificate carries in an extension of RA-TLS, or the attestation document that it
 * carries as a hexadecimal DNS name, if it does.
 *
 * @see RFC 5280 §4.2.1.6
 */
export function evidenceInCertificate(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (bytes[0] !== TAG.sequence) return undefined
  const certified = quoteInCertificate(bytes)
  if (certified !== undefined) return certified.quote.slice()
  try {
    const [tbs] = readChildren(readDer(bytes, BLAME), BLAME)
    const wrapper = tbs && readChildren(tbs, BLAME).find((child) => child.tag === contextTag(3))
    const [extensions] = wrapper ? readChildren(wrapper, BLAME) : []
    for (const extension of extensions ? readChildren(extensions, BLAME) : []) {
      const found = inAltNames(extension)
      if (found !== undefined) return found
    }
  } catch (error) {
    // Some other binary that begins like DER: for its own format to judge.
    if (!(error instanceof VouchsafeError)) throw error
  }
  return undefined
}

function inAltNames(extension: Der): Uint8Array<ArrayBuffer> | undefined {
  const [id, ...rest] = readChildren(extension, BLAME)
  const value = rest.at(-1)
  if (!id || !value || readOid(id, BLAME) !== SUBJECT_ALT_NAME) return undefined
  for (const name of readChildren(readDer(readOctets(value, BLAME), BLAME), BLAME)) {
    if (name.tag !== DNS_NAME) continue
    // The document may be cut into labels, and the host's own name may follow.
    const labels = new TextDecoder().decode(name.content).split('.')
    const end = labels.findIndex((label) => !/^[0-9a-fA-F]+$/.test(label))
    const text = labels.slice(0, end === -1 ? labels.length : end).join('')
    if (text.length >= 2 * LEAST_BYTES && text.length % 2 === 0) return fromHex(text, BLAME)
  }
  return undefined
}

/**
 * The TDX quote in a dstack `VersionedAttestation` (SCALE: version 0, variant 0, then the quote as a
 * vector with a two-byte compact length), if it is one.
 */
export function quoteInDstackRecord(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const [version, variant, low = 0, high = 0, quoteVersion = 0, zero, keyType] = bytes
  const TWO_BYTE_MODE = 1
  if (version !== 0 || variant !== 0 || (low & 3) !== TWO_BYTE_MODE) return undefined
  const length = (low + 256 * high) >> 2
  const isQuote = (quoteVersion === 4 || quoteVersion === 5) && zero === 0 && keyType === 2
  if (!isQuote || 4 + length > bytes.length) return undefined
  return bytes.slice(4, 4 + length)
}
