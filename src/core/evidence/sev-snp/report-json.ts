/**
 * Reports as guests of Trustee send them: member by member, as the library `sev` prints them, never as
 * the bytes that were signed. Those are put together again; what was reserved is taken as zero, and a
 * report in which it was not fails its signature.
 *
 * @packageDocumentation
 */
import { concat } from '../../bytes/bytes.ts'
import { type JsonNode, memberOf } from '../../encoding/json-tree.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'

/** A document being read. Numbers are taken from its text: doubles would round those of 64 bits. */
export interface JsonDocument {
  readonly text: string
  readonly blame: Blame
}

/** A member and what it becomes: so many bytes, an integer of so many, a TCB version, a version. */
type Part =
  | readonly [kind: 'bytes' | 'integer' | 'optional', name: string, size: number]
  | readonly [kind: 'tcb', name: string]
  | readonly [kind: 'version', name: string]
  | readonly [kind: 'zeros', size: number]

const LAYOUT: readonly Part[] = [
  ['integer', 'version', 4],
  ['integer', 'guest_svn', 4],
  ['integer', 'policy', 8],
  ['bytes', 'family_id', 16],
  ['bytes', 'image_id', 16],
  ['integer', 'vmpl', 4],
  ['integer', 'sig_algo', 4],
  ['tcb', 'current_tcb'],
  ['integer', 'plat_info', 8],
  ['integer', 'key_info', 4],
  ['zeros', 4],
  ['bytes', 'report_data', 64],
  ['bytes', 'measurement', 48],
  ['bytes', 'host_data', 32],
  ['bytes', 'id_key_digest', 48],
  ['bytes', 'author_key_digest', 48],
  ['bytes', 'report_id', 32],
  ['bytes', 'report_id_ma', 32],
  ['tcb', 'reported_tcb'],
  ['optional', 'cpuid_fam_id', 1],
  ['optional', 'cpuid_mod_id', 1],
  ['optional', 'cpuid_step', 1],
  ['zeros', 21],
  ['bytes', 'chip_id', 64],
  ['tcb', 'committed_tcb'],
  ['version', 'current'],
  ['zeros', 1],
  ['version', 'committed'],
  ['zeros', 1],
  ['tcb', 'launch_tcb'],
  ['optional', 'launch_mit_vector', 8],
  ['optional', 'current_mit_vector', 8],
  ['zeros', 152],
  ['bytes', 'signature.r', 72],
  ['bytes', 'signature.s', 72],
  ['zeros', 368],
]
/** Family of the processors whose TCB versions have an FMC in front (Turin). */
const ZEN_5 = 0x1a

/**
 * The 1184 bytes of a printed report. Proves nothing.
 *
 * @throws {@link VouchsafeError} with the code of the document's blame for a member that is absent or
 *   of another shape. Members besides are not looked at.
 */
export function reportOfJson(node: JsonNode, document: JsonDocument): Uint8Array<ArrayBuffer> {
  const family = optionalInteger(node, 'cpuid_fam_id', { size: 1, document })
  const turin = family === BigInt(ZEN_5)
  const parts = LAYOUT.map((part) => {
    if (part[0] === 'zeros') return new Uint8Array(part[1])
    if (part[0] === 'optional') {
      return littleEndian(optionalInteger(node, part[1], { size: part[2], document }), part[2])
    }
    const [, name] = part
    const member = need(node, name, document)
    if (part[0] === 'tcb') return tcb(member, turin, document)
    if (part[0] === 'version') return version(member, document)
    if (part[0] === 'bytes') return bytesOf(member, part[2], at(document, name))
    return littleEndian(integerOf(member, { size: part[2], document, name }), part[2])
  })
  return concat(...parts)
}

/** The bytes of a list of that many numbers. */
export function bytesOf(node: JsonNode, size: number, blame: Blame): Uint8Array {
  const items = node.kind === 'array' ? node.items : []
  if (node.kind !== 'array' || items.length !== size) {
    throw new VouchsafeError(blame, `want a list of ${size} bytes`)
  }
  return Uint8Array.from(items, (item) => {
    const value = item.kind === 'number' ? item.value : -1
    if (Number.isInteger(value) && value >= 0 && value <= 0xff) return value
    throw new VouchsafeError(blame, 'want numbers from 0 to 255')
  })
}

/** `bootloader tee 0 0 0 0 snp microcode`, and on Turin `fmc bootloader tee snp 0 0 0 microcode`. */
function tcb(node: JsonNode, turin: boolean, document: JsonDocument): Uint8Array {
  const one = (name: string): number =>
    Number(integerOf(need(node, name, document), { size: 1, document, name }))
  const [bootloader, tee, snp, microcode] = ['bootloader', 'tee', 'snp', 'microcode'].map(one)
  const fmc = Number(optionalInteger(node, 'fmc', { size: 1, document }))
  return turin
    ? Uint8Array.of(fmc, bootloader ?? 0, tee ?? 0, snp ?? 0, 0, 0, 0, microcode ?? 0)
    : Uint8Array.of(bootloader ?? 0, tee ?? 0, 0, 0, 0, 0, snp ?? 0, microcode ?? 0)
}

/** As a report has it: `build minor major`. */
function version(node: JsonNode, document: JsonDocument): Uint8Array {
  return Uint8Array.from(['build', 'minor', 'major'], (name) =>
    Number(integerOf(need(node, name, document), { size: 1, document, name })),
  )
}

interface Size {
  readonly size: number
  readonly document: JsonDocument
}

/** What is absent or `null` was not in the report, whose bytes are zero there. */
function optionalInteger(node: JsonNode, name: string, { size, document }: Size): bigint {
  const member = memberOf(node, name)?.node
  if (member === undefined || (member.kind === 'literal' && member.value === null)) return 0n
  return integerOf(member, { size, document, name })
}

function integerOf(
  { kind, start, end }: JsonNode,
  { size, document, name }: Size & { readonly name: string },
): bigint {
  const digits = document.text.slice(start, end)
  const value = kind === 'number' && /^[0-9]{1,20}$/.test(digits) ? BigInt(digits) : -1n
  if (value >= 0n && value < 1n << BigInt(8 * size)) return value
  throw new VouchsafeError(at(document, name), `want an integer of ${size} bytes`)
}

function littleEndian(value: bigint, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))
}

/** A member by its path. */
function need(node: JsonNode, path: string, document: JsonDocument): JsonNode {
  let found = node
  for (const name of path.split('.')) {
    const member = memberOf(found, name)
    if (member === undefined) throw new VouchsafeError(at(document, path), 'absent')
    found = member.node
  }
  return found
}

function at({ blame }: JsonDocument, name: string): Blame {
  return { code: blame.code, at: `${blame.at}.${name}` }
}
