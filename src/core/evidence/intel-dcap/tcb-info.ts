/**
 * Intel TCB Info: which security versions a family of platforms had at which level. Version 3 for SGX
 * and TDX, and version 2 for SGX, from before there was TDX.
 *
 * @packageDocumentation
 * @see Intel PCS API v4, "Get SGX TCB Info" and "Get TDX TCB Info", TcbInfo V3; API v3 for version 2
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

/** A level of the platform. Lists have 16 entries; that of TDX has none in a TCB Info for SGX. */
export interface TcbLevel extends TcbVerdict {
  readonly sgxComponents: readonly number[]
  readonly pceSvn: number
  readonly tdxComponents: readonly number[]
}

const COMPONENTS = 16

/** Kinds of TEE that TCB Info is about. */
export type TcbInfoId = 'SGX' | 'TDX'

/**
 * What a TCB Info is about: its `id`, or SGX for version 2, which has none. Proves nothing about the
 * rest of it.
 */
export function tcbInfoId(document: JsonObject): unknown {
  return document['version'] === 2 && document['id'] === undefined ? 'SGX' : document['id']
}

/**
 * Reads a TCB Info document of type 0 for this kind of TEE, already parsed from the bytes that were
 * signed: version 3, or for SGX also version 2.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for any other version or type, any list of
 *   components that does not have exactly 16 entries, and any status that is not known.
 */
export function readTcbInfo(document: JsonObject, id: TcbInfoId, blame: Blame): TcbInfo {
  if (tcbInfoId(document) !== id) throw new VouchsafeError(blame, `id is not ${id}`)
  const version = numberOf(document, 'version', blame)
  const isOld = version === 2 && id === 'SGX'
  if (version !== 3 && !isOld) {
    throw new VouchsafeError(within(blame, 'version'), `${version}, want 3`)
  }
  // How levels are compared. Only one way has been defined, and it is the one below.
  const type = numberOf(document, 'tcbType', blame)
  if (type !== 0) throw new VouchsafeError(within(blame, 'tcbType'), `${type}, want 0`)
  const readLevel = isOld ? readLevel2 : { SGX: readSgxLevel, TDX: readTdxLevel }[id]
  const levels = listOf({ parent: document, member: 'tcbLevels' }, blame, readLevel)
  if (id === 'SGX') {
    return { tdxModule: undefined, tdxModuleIdentities: undefined, tcbLevels: levels }
  }
  return {
    tdxModule:
      document['tdxModule'] === undefined
        ? undefined
        : readModule(objectOf(document, 'tdxModule', blame), within(blame, 'tdxModule')),
    tdxModuleIdentities:
      document['tdxModuleIdentities'] === undefined
        ? undefined
        : listOf({ parent: document, member: 'tdxModuleIdentities' }, blame, readNamedModule),
    tcbLevels: levels,
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

function readSgxLevel(level: JsonObject, blame: Blame): TcbLevel {
  const tcb = objectOf(level, 'tcb', blame)
  const at = within(blame, 'tcb')
  return {
    sgxComponents: readComponents(tcb, 'sgxtcbcomponents', at),
    pceSvn: numberOf(tcb, 'pcesvn', at),
    tdxComponents: [],
    ...readVerdict(level, blame),
  }
}

function readTdxLevel(level: JsonObject, blame: Blame): TcbLevel {
  const tdxComponents = readComponents(
    objectOf(level, 'tcb', blame),
    'tdxtcbcomponents',
    within(blame, 'tcb'),
  )
  return { ...readSgxLevel(level, blame), tdxComponents }
}

/** Version 2 has a member for each component, from `sgxtcbcomp01svn` on. */
function readLevel2(level: JsonObject, blame: Blame): TcbLevel {
  const tcb = objectOf(level, 'tcb', blame)
  const at = within(blame, 'tcb')
  return {
    sgxComponents: Array.from({ length: COMPONENTS }, (_, i) =>
      numberOf(tcb, `sgxtcbcomp${`${i + 1}`.padStart(2, '0')}svn`, at),
    ),
    pceSvn: numberOf(tcb, 'pcesvn', at),
    tdxComponents: [],
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
  /** 16 each, but for an SGX platform none of the latter. */
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
 * @see Intel PCS API v4, "Get SGX TCB Info" and "Get TDX TCB Info", the algorithms under TcbInfo V3
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
  const { sgxComponents: sgx, tdxComponents: tdx } = platform
  const short = shortComponent('sgxtcbcomponents', { have: sgx, want: level.sgxComponents })
  if (short !== undefined) return short
  if (platform.pceSvn < level.pceSvn) return `pcesvn ${platform.pceSvn} < ${level.pceSvn}`
  return shortComponent('tdxtcbcomponents', { have: tdx, want: level.tdxComponents, first })
}

function shortComponent(
  name: string,
  {
    have,
    want,
    first = 0,
  }: {
    readonly have: readonly number[] | Uint8Array
    readonly want: readonly number[]
    readonly first?: number
  },
): string | undefined {
  // Absent reads as -1, below anything: a short list may not compare as a long one.
  const i = want.findIndex((svn, index) => index >= first && (have[index] ?? -1) < svn)
  return i === -1 ? undefined : `${name}[${i}] ${have[i] ?? 'absent'} < ${want[i] ?? 0}`
}
