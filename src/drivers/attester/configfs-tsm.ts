/**
 * Evidence from the kernel's report interface, which looks the same for Intel TDX and AMD SEV-SNP:
 * a directory per request under configfs, 64 bytes in, evidence out. To a TDX quote belongs the event
 * log that explains its RTMRs, which the kernel shows elsewhere.
 *
 * @see Linux, Documentation/ABI/testing/configfs-tsm-report
 * @packageDocumentation
 */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readFile, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { EndorsementSet } from '../../core/endorsements/endorsement-set.ts'
import { NO_ENDORSEMENTS } from '../../core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../core/errors.ts'
import type { FormatId } from '../../core/evidence/common/format-ids.ts'
import { encodeTdxEvidence } from '../../core/evidence/tdx/evidence.ts'
import type { Attestation, Attester } from '../../core/ports/attester.ts'
import { readCcel } from './configfs-tsm/ccel.ts'
import { parseSnpCertTable } from './configfs-tsm/snp-cert-table.ts'

/** Where the kernel shows the interface once configfs is mounted. */
export const TSM_REPORT_ROOT = '/sys/kernel/config/tsm/report'

const AT = 'attester.configfs_tsm'
const REPORT_DATA_SIZE = 64
const ATTEMPTS = 4
const PROVIDERS: Readonly<Record<string, FormatId>> = { tdx_guest: 'tdx', sev_guest: 'sev-snp' }

/**
 * The four file operations that the interface is made of. Its directories make and remove their
 * attribute files by themselves, which no ordinary directory does: tests emulate exactly that.
 */
export interface ReportTree {
  readonly makeEntry: (path: string) => Promise<void>
  readonly removeEntry: (path: string) => Promise<void>
  readonly read: (path: string) => Promise<Uint8Array>
  readonly write: (path: string, bytes: Uint8Array) => Promise<void>
}

/** The interface itself. */
export const KERNEL_TREE: ReportTree = {
  makeEntry: async (path) => {
    await mkdir(path, { mode: 0o700 })
  },
  removeEntry: rmdir,
  read: readFile,
  write: async (path, bytes) => {
    // One write call without O_CREAT: an attribute is replaced whole, and never made by us.
    const file = await open(path, constants.O_WRONLY)
    try {
      await file.write(bytes, 0, bytes.length)
    } finally {
      await file.close()
    }
  },
}

export interface ConfigfsTsmOptions {
  /** Usually {@link TSM_REPORT_ROOT}. */
  readonly root: string
  /** SEV-SNP: the VMPL to attest at; not written if absent, then the provider's own choice counts. */
  readonly privlevel?: number
  /** TDX: where the event log is, usually `CCEL_PATH`; evidence goes without it if absent. */
  readonly ccel?: string
  readonly tree?: ReportTree
}

/**
 * An attester on the kernel's report interface.
 *
 * @returns An attester whose `attest` throws {@link VouchsafeError} `ERR_DEPENDENCY_MISSING` where
 *   the kernel has no such interface or no TEE behind it, `ERR_EVIDENCE_UNSUPPORTED` for a provider
 *   we have no format for, `ERR_OVERLOADED` if another writer keeps interfering.
 */
export function createConfigfsTsmAttester(options: ConfigfsTsmOptions): Attester {
  const { root, privlevel, ccel, tree = KERNEL_TREE } = options
  return {
    attest: async (reportData) => {
      if (reportData.length !== REPORT_DATA_SIZE) throw new RangeError('want 64 bytes')
      // A copy: the caller may reuse its buffer while the kernel is still being asked.
      const inblob = reportData.slice()
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const report = await inEntry(tree, root, async (entry) =>
          readReport({ tree, entry, privlevel }, inblob),
        )
        if (report !== undefined) return withLog(toAttestation(report), ccel)
      }
      throw new VouchsafeError(
        { code: 'ERR_OVERLOADED', at: `${AT}.generation` },
        `the report was changed by another writer ${ATTEMPTS} times`,
      )
    },
  }
}

interface Report {
  readonly provider: string
  readonly outblob: Uint8Array
  readonly auxblob: Uint8Array
}

interface Entry {
  readonly tree: ReportTree
  readonly entry: string
  readonly privlevel: number | undefined
}

/**
 * @returns `undefined` if the generation shows a write that was not ours: then what was read may
 *   answer somebody else's 64 bytes.
 */
async function readReport(at: Entry, inblob: Uint8Array): Promise<Report | undefined> {
  const { tree, entry, privlevel } = at
  try {
    const before = await readGeneration(at)
    let writes = 0
    if (privlevel !== undefined) {
      await tree.write(join(entry, 'privlevel'), Buffer.from(String(privlevel)))
      writes += 1
    }
    await tree.write(join(entry, 'inblob'), inblob)
    writes += 1
    const outblob = Uint8Array.from(await tree.read(join(entry, 'outblob')))
    const provider = Buffer.from(await tree.read(join(entry, 'provider')))
      .toString('latin1')
      .trim()
    const auxblob = await readOptional(tree, join(entry, 'auxblob'))
    if ((await readGeneration(at)) !== before + writes) return undefined
    return { provider, outblob, auxblob }
  } catch (cause) {
    if (isErrno(cause, 'EAGAIN', 'EBUSY', 'EINTR')) return undefined
    throw cause
  }
}

async function readGeneration({ tree, entry }: Entry): Promise<number> {
  const text = Buffer.from(await tree.read(join(entry, 'generation')))
    .toString('latin1')
    .trim()
  if (!/^[0-9]{1,15}$/.test(text)) {
    const blame = { code: 'ERR_DEPENDENCY_MISSING', at: `${AT}.generation` } as const
    throw new VouchsafeError(blame, 'the kernel gave no number')
  }
  return Number(text)
}

/** `auxblob` is there only for providers that have one. */
async function readOptional(tree: ReportTree, path: string): Promise<Uint8Array> {
  try {
    return Uint8Array.from(await tree.read(path))
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return new Uint8Array()
    throw cause
  }
}

async function inEntry<T>(
  tree: ReportTree,
  root: string,
  use: (entry: string) => Promise<T>,
): Promise<T> {
  const entry = join(root, `vouchsafe-${randomUUID()}`)
  try {
    await tree.makeEntry(entry)
  } catch (cause) {
    throw missing(root, cause)
  }
  try {
    return await use(entry)
  } catch (cause) {
    throw cause instanceof VouchsafeError ? cause : missing(root, cause)
  } finally {
    await tree.removeEntry(entry)
  }
}

function missing(root: string, cause: unknown): VouchsafeError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
  const next = isErrno(cause, 'EACCES', 'EPERM')
    ? 'run as root, or give this user the directory'
    : 'this needs a TDX or SEV-SNP guest, Linux 6.7 or newer, and configfs mounted'
  const blame = { code: 'ERR_DEPENDENCY_MISSING', at: AT } as const
  return new VouchsafeError(blame, `${root} gave no report (${code}): ${next}`, { cause })
}

function toAttestation({ provider, outblob, auxblob }: Report): Attestation {
  const format = Object.hasOwn(PROVIDERS, provider) ? PROVIDERS[provider] : undefined
  if (format === undefined) {
    const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${AT}.provider` } as const
    throw new VouchsafeError(blame, `no evidence format for provider ${JSON.stringify(provider)}`)
  }
  if (outblob.length === 0) {
    const blame = { code: 'ERR_DEPENDENCY_MISSING', at: `${AT}.outblob` } as const
    throw new VouchsafeError(blame, 'the kernel gave an empty report')
  }
  const endorsements: EndorsementSet =
    format === 'sev-snp' && auxblob.length > 0 ? parseSnpCertTable(auxblob) : NO_ENDORSEMENTS
  return { format, evidence: outblob, endorsements }
}

/** The log was written before the quote was made, and only RTMR3 grows without it. */
async function withLog(attestation: Attestation, ccel: string | undefined): Promise<Attestation> {
  if (attestation.format !== 'tdx' || ccel === undefined) return attestation
  const log = await readCcel(ccel)
  if (log === undefined) return attestation
  return { ...attestation, evidence: encodeTdxEvidence(attestation.evidence, log) }
}

function isErrno(err: unknown, ...codes: readonly string[]): boolean {
  return err instanceof Error && 'code' in err && codes.includes(String(err.code))
}
