/**
 * Intel TCB Info, version 3: which security versions a family of platforms had at which level.
 *
 * @packageDocumentation
 * @see Intel PCS API v4, "Get TDX TCB Info", TcbInfo V3
 */
import { type Blame, VouchsafeError } from '../../errors.ts'
import { bytesOf, type JsonObject, listOf, numberOf, objectOf, textOf, within } from './json.ts'
import { readVerdict, type TcbVerdict } from './tcb-status.ts'

export interface TcbInfo {
  /** The module of version 0, which no entry of `tdxModuleIdentities` names. */
  readonly tdxModule: ModuleIdentity | undefined
  /** `undefined`: the member is absent, which is not the same as no modules at all. */
  readonly tdxModuleIdentities: readonly ModuleIdentity[] | undefined
  /** In the order of the document, best first, as Intel specifies. */
  readonly tcbLevels: readonly TcbLevel[]
}

/** One generation of the TDX module. */
export interface ModuleIdentity {
  /** `TDX_<version>` in two hexadecimal digits; `''` for `tdxModule`. */
  readonly id: string
  /** 48 bytes. */
  readonly mrSigner: Uint8Array
  /** 8 bytes each. */
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
  readonly tcbLevels: readonly SvnLevel[]
}

/** A level of a component with one security version. */
export interface SvnLevel extends TcbVerdict {
  readonly isvSvn: number
}

/** A level of the platform. Both lists have 16 entries. */
export interface TcbLevel extends TcbVerdict {
  readonly sgxComponents: readonly number[]
  readonly pceSvn: number
  readonly tdxComponents: readonly number[]
}

const COMPONENTS = 16

/**
 * Reads a TDX TCB Info document of version 3 and type 0, already parsed from the bytes that were signed.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for any other version or type, any list of
 *   components that does not have exactly 16 entries, and any status that is not known.
 */
export function readTcbInfo(document: JsonObject, blame: Blame): TcbInfo {
  if (textOf(document, 'id', blame) !== 'TDX') throw new VouchsafeError(blame, 'id is not TDX')
  const version = numberOf(document, 'version', blame)
  if (version !== 3) throw new VouchsafeError(within(blame, 'version'), `${version}, want 3`)
  // How levels are compared. Only one way has been defined, and it is the one below.
  const type = numberOf(document, 'tcbType', blame)
  if (type !== 0) throw new VouchsafeError(within(blame, 'tcbType'), `${type}, want 0`)
  return {
    tdxModule:
      document['tdxModule'] === undefined
        ? undefined
        : readModule(objectOf(document, 'tdxModule', blame), within(blame, 'tdxModule')),
    tdxModuleIdentities:
      document['tdxModuleIdentities'] === undefined
        ? undefined
        : listOf({ parent: document, member: 'tdxModuleIdentities' }, blame, readNamedModule),
    tcbLevels: listOf({ parent: document, member: 'tcbLevels' }, blame, readLevel),
  }
}

/** Levels of a component with one security version, in the order of the document. */
export function readSvnLevels(parent: JsonObject, blame: Blame): readonly SvnLevel[] {
  return listOf({ parent, member: 'tcbLevels' }, blame, (level, at) => ({
    isvSvn: numberOf(objectOf(level, 'tcb', at), 'isvsvn', within(at, 'tcb')),
    ...readVerdict(level, at),
  }))
}

/** The first, and so best, level that a security version reaches. */
export function findSvnLevel(levels: readonly SvnLevel[], svn: number): SvnLevel | undefined {
  return levels.find(({ isvSvn }) => svn >= isvSvn)
}

function readModule(module: JsonObject, blame: Blame): ModuleIdentity {
  return {
    id: '',
    mrSigner: bytesOf({ parent: module, member: 'mrsigner' }, 48, blame),
    attributes: bytesOf({ parent: module, member: 'attributes' }, 8, blame),
    attributesMask: bytesOf({ parent: module, member: 'attributesMask' }, 8, blame),
    tcbLevels: [],
  }
}

function readNamedModule(module: JsonObject, blame: Blame): ModuleIdentity {
  return {
    ...readModule(module, blame),
    id: textOf(module, 'id', blame),
    tcbLevels: readSvnLevels(module, blame),
  }
}

function readLevel(level: JsonObject, blame: Blame): TcbLevel {
  const tcb = objectOf(level, 'tcb', blame)
  const at = within(blame, 'tcb')
  return {
    sgxComponents: readComponents(tcb, 'sgxtcbcomponents', at),
    pceSvn: numberOf(tcb, 'pcesvn', at),
    tdxComponents: readComponents(tcb, 'tdxtcbcomponents', at),
    ...readVerdict(level, blame),
  }
}

/** A short list would compare fewer components than there are, and pass. */
function readComponents(tcb: JsonObject, member: string, blame: Blame): readonly number[] {
  const svns = listOf({ parent: tcb, member }, blame, (item, at) => numberOf(item, 'svn', at))
  if (svns.length !== COMPONENTS) {
    throw new VouchsafeError(within(blame, member), `${svns.length} entries, want ${COMPONENTS}`)
  }
  return svns
}

/** What a platform has, to be compared with levels. */
export interface PlatformSvns {
  /** 16 each. */
  readonly sgxComponents: readonly number[]
  readonly pceSvn: number
  readonly tdxComponents: Uint8Array
}

/**
 * The first level that the platform reaches in every component.
 *
 * Where the second TDX component, the major version of the module, is not 0, the first two are left
 * out: then the module has levels of its own.
 *
 * @see Intel PCS API v4, "Get TDX TCB Info", the algorithm under TcbInfo V3
 */
export function findTcbLevel(
  levels: readonly TcbLevel[],
  platform: PlatformSvns,
): TcbLevel | undefined {
  return levels.find((level) => shortOf(level, platform) === undefined)
}

/** The first component in which the platform falls short of the level, in words. */
export function shortOf(level: TcbLevel, platform: PlatformSvns): string | undefined {
  const first = (platform.tdxComponents[1] ?? 0) > 0 ? 2 : 0
  const sgx = shortComponent('sgxtcbcomponents', platform.sgxComponents, level.sgxComponents)
  if (sgx !== undefined) return sgx
  if (platform.pceSvn < level.pceSvn) return `pcesvn ${platform.pceSvn} < ${level.pceSvn}`
  const have = [...platform.tdxComponents].map((svn, i) => (i < first ? Infinity : svn))
  return shortComponent('tdxtcbcomponents', have, level.tdxComponents)
}

function shortComponent(
  name: string,
  have: readonly number[],
  want: readonly number[],
): string | undefined {
  // Absent reads as -1, below anything: a short list may not compare as a long one.
  const i = want.findIndex((svn, index) => (have[index] ?? -1) < svn)
  return i === -1 ? undefined : `${name}[${i}] ${have[i] ?? 'absent'} < ${want[i] ?? 0}`
}
