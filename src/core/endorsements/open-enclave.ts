/**
 * The endorsement blob that Open Enclave and Microsoft's attestation clients carry beside a quote: a
 * memory image of `sgx_ql_qve_collateral_t` with its texts appended.
 *
 * @packageDocumentation
 * @see Intel `sgx_ql_lib_common.h`, `sgx_ql_qve_collateral_t`
 */
import { ByteReader } from '../bytes/reader.ts'

const VERSIONS = [1, 3, 4]
const TEE_TYPES = [0x00, 0x81]
/** Chains, lists and documents: seven pairs of a pointer and a size. */
const PARTS = 7
const HEADER_SIZE = 8 + PARTS * 16

/**
 * The parts of a blob, in order: PCK CRL issuer chain, root CRL, PCK CRL, TCB Info issuer chain, TCB
 * Info, QE Identity issuer chain, QE Identity. `undefined` if the bytes are not such a blob. Copies.
 */
export function readOpenEnclave(blob: Uint8Array): readonly Uint8Array[] | undefined {
  if (blob.length < HEADER_SIZE) return undefined
  const r = new ByteReader(blob, 'le', { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'open-enclave' })
  if (!VERSIONS.includes(r.u32('version')) || !TEE_TYPES.includes(r.u32('tee_type'))) {
    return undefined
  }
  const sizes: number[] = []
  for (let i = 0; i < PARTS; i++) {
    r.u64('pointer') // An address in the process that wrote it; it means nothing here.
    sizes.push(Number(r.u64('size')))
  }
  // The sizes must account for every byte: that is what tells a blob from other binary.
  if (sizes.reduce((sum, size) => sum + size, 0) !== r.remaining) return undefined
  return sizes.map((size) => r.bytes(size, 'part'))
}
