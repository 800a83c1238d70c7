/**
 * The certificate of a versioned endorsement key: VCEK, which belongs to one chip, or VLEK, which a
 * cloud provider shares among its chips. What AMD says about the key stands in private extensions.
 *
 * @packageDocumentation
 * @see AMD 57230 (VCEK), "Certificate extensions"
 */
import { readDer, readSmallInteger, TAG } from '../../encoding/der.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'
import { PRODUCTS, type Product, splArcs } from './tcb.ts'

export interface Vek {
  readonly certificate: Certificate
  /** By subject and issuer together: `SEV-VCEK` from `SEV-Milan`, `SEV-VLEK` from `SEV-VLEK-Milan`. */
  readonly kind: 'VCEK' | 'VLEK'
  readonly product: Product
  /** The TCB version it was made for, as it stands in reports; `undefined` if any part is missing. */
  readonly tcb: Uint8Array | undefined
  /** CHIP_ID, 64 bytes, or 8 on Turin. Belongs on a VCEK and on no VLEK. */
  readonly hwid: Uint8Array | undefined
  /** The cloud provider. Belongs on a VLEK and on no VCEK. */
  readonly cspId: string | undefined
}

const BLAME: Blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'snp.vek' }
const AMD = '1.3.6.1.4.1.3704.1'
const OID = { spl: `${AMD}.3`, hwid: `${AMD}.4`, cspId: `${AMD}.5` } as const
const ISSUER = new RegExp(`^SEV-(VLEK-)?(${PRODUCTS.join('|')})$`)

/**
 * Reads the extensions. Proves nothing: names choose which trust anchor the chain must end in, and
 * only that chain makes them true.
 *
 * @returns `undefined` for any other certificate, and for names of the one kind under the other's
 *   issuer: confusing the two would let a provider's key speak for a chip.
 */
export function readVek(certificate: Certificate): Vek | undefined {
  const issuer = ISSUER.exec(certificate.issuerName)
  const product = PRODUCTS.find((name) => name === issuer?.[2])
  if (issuer === null || product === undefined) return undefined
  const kind = issuer[1] === undefined ? 'VCEK' : 'VLEK'
  if (certificate.subjectName !== `SEV-${kind}`) return undefined
  return {
    certificate,
    kind,
    product,
    tcb: readTcb(certificate, product),
    // Raw bytes, without a DER header inside the extension: AMD 57230 and every certificate so far.
    hwid: certificate.extensions.get(OID.hwid)?.value,
    cspId: readCspId(certificate),
  }
}

function readTcb(certificate: Certificate, product: Product): Uint8Array | undefined {
  const parts = splArcs(product).map((arc) => readSpl(certificate, arc))
  return parts.includes(undefined) ? undefined : Uint8Array.from(parts, (part) => part ?? 0)
}

/** A DER INTEGER of one byte; from 0x80 on it takes two (`02 02 00 db`). */
function readSpl(certificate: Certificate, arc: number): number | undefined {
  const extension = certificate.extensions.get(`${OID.spl}.${arc}`)
  if (extension === undefined) return undefined
  try {
    const value = readSmallInteger(readDer(extension.value, BLAME), BLAME)
    return value <= 0xff ? value : undefined
  } catch (error) {
    // An unreadable version is a missing one: the check that compares them says so and fails.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

function readCspId(certificate: Certificate): string | undefined {
  const extension = certificate.extensions.get(OID.cspId)
  if (extension === undefined) return undefined
  try {
    const { tag, content } = readDer(extension.value, BLAME)
    const text = tag === TAG.ia5String || tag === TAG.utf8String
    return text ? new TextDecoder().decode(content) : undefined
  } catch (error) {
    // As above: the check that wants it fails.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}
