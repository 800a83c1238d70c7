/**
 * The identity of Intel's Quoting Enclave, version 2: which enclave may have signed the attestation
 * key, and how current its versions are.
 *
 * @packageDocumentation
 * @see Intel PCS API v4, "Get Quoting Enclave Identity"
 */
import { toHex } from '../../bytes/hex.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { bytesOf, type JsonObject, numberOf, within } from './json.ts'
import type { SgxReport } from './sgx-report.ts'
import { readSvnLevels, type SvnLevel } from './tcb-info.ts'

export interface QeIdentity {
  /** 4 bytes each, in the order of the report. */
  readonly miscSelect: Uint8Array
  readonly miscSelectMask: Uint8Array
  /** 16 bytes each. */
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
  /** 32 bytes. */
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  readonly tcbLevels: readonly SvnLevel[]
}

/**
 * Reads a QE Identity of version 2, already parsed from the bytes that were signed.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for any other version or shape.
 */
export function readQeIdentity(document: JsonObject, blame: Blame): QeIdentity {
  const version = numberOf(document, 'version', blame)
  if (version !== 2) throw new VouchsafeError(within(blame, 'version'), `${version}, want 2`)
  const bytes = (member: string, size: number): Uint8Array =>
    bytesOf({ parent: document, member }, size, blame)
  return {
    miscSelect: bytes('miscselect', 4),
    miscSelectMask: bytes('miscselectMask', 4),
    attributes: bytes('attributes', 16),
    attributesMask: bytes('attributesMask', 16),
    mrSigner: bytes('mrsigner', 32),
    isvProdId: numberOf(document, 'isvprodid', blame),
    tcbLevels: readSvnLevels(document, blame),
  }
}

/** A value and what it must be, both printable. */
export interface Comparison {
  readonly expected: string
  readonly actual: string
  readonly ok: boolean
}

/** Each part of the identity against a QE report; `isvSvn` is compared with levels, elsewhere. */
export function compareQe(
  identity: QeIdentity,
  report: SgxReport,
): Readonly<Record<'mrsigner' | 'isvprodid' | 'miscselect' | 'attributes', Comparison>> {
  const prodId = identity.isvProdId
  return {
    mrsigner: compareMasked(report.mrSigner, { value: identity.mrSigner }),
    isvprodid: {
      expected: `${prodId}`,
      actual: `${report.isvProdId}`,
      ok: report.isvProdId === prodId,
    },
    miscselect: compareMasked(report.miscSelect, {
      value: identity.miscSelect,
      mask: identity.miscSelectMask,
    }),
    attributes: compareMasked(report.attributes, {
      value: identity.attributes,
      mask: identity.attributesMask,
    }),
  }
}

/**
 * Are the bytes, under the mask, exactly the value? A value with bits outside its mask is never met:
 * such a document asks for something it also says not to look at.
 */
export function compareMasked(
  actual: Uint8Array,
  { value, mask }: { readonly value: Uint8Array; readonly mask?: Uint8Array },
): Comparison {
  const met = (byte: number, i: number): boolean => (byte & (mask?.[i] ?? 0xff)) === value[i]
  const ok = actual.length === value.length && actual.every(met)
  const found = toHex(actual)
  if (mask !== undefined) {
    return { expected: `${toHex(value)} under mask ${toHex(mask)}`, actual: found, ok }
  }
  return { expected: ok ? found : toHex(value), actual: found, ok }
}
