import { createHash } from 'node:crypto'
import type { AppraisalInput } from '../../src/core/appraisal/appraise.ts'
import { utf8, zeroPad } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import type { CborValue } from '../../src/core/encoding/cbor.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { PassportKind } from '../../src/core/endorsements/passport-trust.ts'
import type { FormatId } from '../../src/core/evidence/common/format-ids.ts'
import { encodeTdxEvidence } from '../../src/core/evidence/tdx/evidence.ts'
import {
  type BootLogOptions,
  type CcaGeneration,
  type CcaMembers,
  encodePemChain,
  endorseNvidia,
  type MintedEvent,
  mintAkCertificate,
  mintAmdCrl,
  mintAmdPki,
  mintArmPlatform,
  mintAwsPki,
  mintAzureEvidence,
  mintBootLog,
  mintCcaToken,
  mintCsvEvidence,
  mintEventLog,
  mintHclReport,
  mintHclReportData,
  mintHygonPki,
  mintIntelPki,
  mintNitroDocument,
  mintNvidiaDevice,
  mintNvidiaEvidence,
  mintNvidiaPki,
  mintOcspAnswers,
  mintPassport,
  mintPassportIssuer,
  mintPublicArea,
  mintRim,
  mintRtmrs,
  mintRuntimeData,
  mintSgxPki,
  mintSgxQuote,
  mintSnpReport,
  mintTdxBoot,
  mintTdxQuote,
  mintTpmCrls,
  mintTpmEvidence,
  mintTpmKey,
  mintTpmPki,
  mintVek,
  type NvidiaModel,
  type OcspOptions,
  type PassportIssuer,
  type TpmPcrs,
} from '../../src/testing/index.ts'

/** What a case's evidence brings with it. */
export type Minted = Pick<AppraisalInput, 'evidence' | 'endorsements' | 'anchors' | 'now'>
type Overrides = Readonly<Record<string, Json | undefined>>

const AT = new Date('2026-09-01T12:00:00Z')
const DAY = 24 * 60 * 60 * 1000
const textOf = (value: Json | undefined): string => {
  if (typeof value !== 'string') throw new Error('cases: want text')
  return value
}
const bytes = (hex: Json | undefined): Uint8Array =>
  Uint8Array.from(Buffer.from(textOf(hex), 'hex'))
/** Hex to bytes, numbers as they are; a `0x` prefix makes a bigint. */
const fieldsOf = (value: Json | undefined): Record<string, Uint8Array | number | bigint> =>
  Object.fromEntries(
    Object.entries((value ?? {}) as Overrides).map(([name, given]) => [
      name,
      typeof given === 'number'
        ? given
        : textOf(given).startsWith('0x')
          ? BigInt(textOf(given))
          : bytes(given),
    ]),
  )

/** Mints good evidence of a format but for the overrides, and fails for one it does not know. */
export function mintCase(format: FormatId, overrides: Overrides): Minted {
  const mint = {
    nitro: mintNitro,
    'sev-snp': mintSnp,
    tdx: mintTdx,
    'arm-cca': mintCca,
    sgx: mintSgx,
    'nvidia-gpu': mintNvidia,
    'nvidia-switch': mintNvidia,
    ear: mintPassportCase,
    'intel-ita': mintPassportCase,
    'azure-maa': mintPassportCase,
    'gcp-cs': mintPassportCase,
    'nvidia-nras': mintPassportCase,
    'hygon-csv': mintCsv,
    tpm: mintTpm,
    'azure-snp-vtpm': mintAzureSnp,
    'azure-tdx-vtpm': mintAzureTdx,
    simulated: mintTdx,
  }[format]
  return mint(overrides, format)
}

function mintNitro({ members, pcrs, ageSeconds = 0, ...rest }: Overrides): Minted {
  refuseUnknown(rest)
  const timestamp = new Date(AT.getTime() - Number(ageSeconds) * 1000)
  const pki = mintAwsPki({ at: new Date(timestamp.getTime() - 60_000) })
  const changed = pcrs && {
    pcrs: new Map(Object.entries(pcrs).map(([i, value]) => [Number(i), bytes(value as Json)])),
  }
  const text = Object.fromEntries(
    Object.entries((members ?? {}) as Overrides).map(([name, value]) => [name, textOf(value)]),
  )
  return {
    evidence: mintNitroDocument({ pki, timestamp, members: { ...text, ...changed } }),
    endorsements: NO_ENDORSEMENTS,
    anchors: { ...VENDOR_ANCHORS, aws: [pki.anchor] },
    now: AT,
  }
}

function mintCca({ generation, platform, realm, ...rest }: Overrides): Minted {
  refuseUnknown(rest)
  const machine = mintArmPlatform()
  const evidence = mintCcaToken({
    platform: machine,
    generation: (generation ?? '2024') as CcaGeneration,
    platformClaims: claimsOf(platform),
    realmClaims: claimsOf(realm),
  })
  return {
    evidence,
    endorsements: { ...NO_ENDORSEMENTS, platformKeys: [machine.endorsement] },
    anchors: { ...VENDOR_ANCHORS, arm: [machine.anchor] },
    now: AT,
  }
}

/** `ocsp` says how the answer about the device's boot ROM, or all of them, are wrong. */
function mintNvidia(overrides: Overrides, format: FormatId): Minted {
  const { model, driver, records, measurements, blocks, flags, ocsp, ...rest } = overrides
  refuseUnknown(rest)
  const chip = (model ?? (format === 'nvidia-gpu' ? 'GH100' : 'LS10')) as NvidiaModel
  const pki = mintNvidiaPki({ at: AT, model: chip })
  const device = mintNvidiaDevice(pki, typeof flags === 'number' ? { flags } : {})
  const hex = (value: Json | undefined) =>
    Object.entries((value ?? {}) as Overrides).map(
      ([name, given]) => [name, given === null ? undefined : bytes(given)] as const,
    )
  const version = typeof driver === 'string' ? driver : undefined
  const named = version === undefined ? [] : [['3', new TextEncoder().encode(version)] as const]
  const evidence = mintNvidiaEvidence({
    device,
    records: Object.fromEntries([...named, ...hex(records)]),
    measurements: Object.fromEntries(
      hex(measurements).map(([name, value]) => [name, value ?? new Uint8Array()]),
    ),
    ...(typeof blocks === 'number' && { blocks }),
  })
  const good = endorseNvidia(pki, device)
  const rim = version !== undefined && mintRim(pki, { kind: 'driver', version })
  return {
    evidence,
    endorsements: {
      ...good,
      ...(rim && { rims: [...(good.rims ?? []), rim] }),
      ...(ocsp !== undefined && {
        ocspResponses: mintOcspAnswers(pki, device, (about) => wrongAnswer(textOf(ocsp), about)),
      }),
    },
    anchors: { ...VENDOR_ANCHORS, nvidia: pki.anchors },
    now: AT,
  }
}

function mintCsv({ version, firmware, fields, mask, ...rest }: Overrides): Minted {
  refuseUnknown(rest)
  const [major, minor] = (firmware ?? [1, 4]) as readonly [number, number]
  const pki = mintHygonPki({ firmware: [major, minor] })
  const given = fieldsOf(fields) as Readonly<Record<string, Uint8Array | number>>
  return {
    evidence: mintCsvEvidence({
      pki,
      version: version === 1 ? 1 : 2,
      fields: given,
      ...(mask !== undefined && { mask: bytes(mask) }),
    }),
    endorsements: { ...NO_ENDORSEMENTS, hygonCertificates: pki.certificates },
    anchors: { ...VENDOR_ANCHORS, hygon: [pki.anchor] },
    now: AT,
  }
}

/** One issuer for each kind: RSA keys take a while to make. */
const issuers = new Map<PassportKind, PassportIssuer>()

/** The minted issuer of a kind, the same one each time. */
export function passportIssuer(kind: PassportKind): PassportIssuer {
  const known = issuers.get(kind) ?? mintPassportIssuer({ kind, at: AT })
  issuers.set(kind, known)
  return known
}

function mintPassportCase(overrides: Overrides, format: FormatId): Minted {
  const { claims, header, devices, ageSeconds = 0, pinned = true, ...rest } = overrides
  refuseUnknown(rest)
  const issuer = passportIssuer(format as PassportKind)
  const evidence = mintPassport({
    issuer,
    at: new Date(AT.getTime() - Number(ageSeconds) * 1000),
    claims: (claims ?? {}) as Overrides,
    header: (header ?? {}) as Overrides,
    ...(devices !== undefined && { devices: devices as Readonly<Record<string, Overrides>> }),
  })
  return {
    evidence,
    endorsements: NO_ENDORSEMENTS,
    anchors: { ...VENDOR_ANCHORS, passports: pinned === true ? [issuer.trust] : [] },
    now: AT,
  }
}

function wrongAnswer(how: string, about: string): Partial<OcspOptions> {
  const daysAgo = (days: number) => ({ thisUpdate: new Date(AT.getTime() - days * DAY) })
  if (how === 'stale') return { ...daysAgo(2), nextUpdate: new Date(AT.getTime() - DAY) }
  if (how === 'old') return daysAgo(2)
  if (!about.endsWith('BROM')) return {}
  if (how === 'revoked') return { status: 'revoked', reason: 1 }
  if (how === 'hold') return { status: 'revoked', reason: 6 }
  throw new Error(`cases: no answer ${how}`)
}

/** Claims by label: `0x` texts to bytes, inside lists too. */
function claimsOf(value: Json | undefined): CcaMembers {
  const cbor = (given: Json): CborValue => {
    if (typeof given === 'string' && given.startsWith('0x')) return bytes(given.slice(2))
    if (Array.isArray(given)) return (given as readonly Json[]).map(cbor)
    if (typeof given !== 'object' || given === null) return given
    const members = Object.entries(given as Overrides)
    return new Map(members.map(([name, item]) => [Number(name), cbor(item ?? null)]))
  }
  const members = Object.entries((value ?? {}) as Overrides)
  return Object.fromEntries(members.map(([name, item]) => [name, cbor(item ?? null)]))
}

/**
 * PCRs by bank and number, or as the log leaves them; without a certificate, the key is pinned or
 * nothing vouches for it. `log: null` leaves the log out, and whatever else it is goes into it.
 */
function mintTpm({
  pcrs,
  log = {},
  attest,
  crl = 'current',
  trust = 'certificate',
  attributes,
  ...rest
}: Overrides): Minted {
  refuseUnknown(rest)
  const pki = mintTpmPki({ at: AT })
  const key = mintTpmKey()
  const certificates = [mintAkCertificate(pki, { spki: key.spki }), pki.issuing.der, pki.root.der]
  const boot = mintBootLog((log ?? {}) as BootLogOptions)
  const evidence = mintTpmEvidence({
    key,
    pcrs: boot.pcrs,
    ...(log !== null && { eventLog: boot.log }),
    ...(trust === 'certificate' && { certificates }),
    ...(pcrs !== undefined && { pcrs: pcrsOf(pcrs) }),
    ...(attributes !== undefined && {
      akPublic: mintPublicArea(key, { attributes: Number(attributes) }),
    }),
    ...fieldsOf(attest),
  })
  const nextUpdate = new Date(AT.getTime() + (crl === 'expired' ? -DAY : DAY))
  const lists = mintTpmCrls(pki, { thisUpdate: new Date(AT.getTime() - 30 * DAY), nextUpdate })
  const digest = createHash('sha256').update(key.spki).digest('hex')
  return {
    evidence,
    endorsements: { ...NO_ENDORSEMENTS, crls: crl === 'absent' ? [] : lists },
    anchors: {
      ...VENDOR_ANCHORS,
      tpm: [pki.anchor],
      tpmKeys: trust === 'pin' ? [digest] : [],
    },
    now: AT,
  }
}

function mintSnp(overrides: Overrides): Minted {
  return snpCase(overrides).minted
}

/** With the VCEK, which Azure's evidence carries. */
function snpCase({
  product = 'Genoa',
  signingKey = 'VCEK',
  crl = 'current',
  fields,
  ...rest
}: Overrides): { readonly minted: Minted; readonly vcek: Uint8Array } {
  refuseUnknown(rest)
  const name = product as 'Milan' | 'Genoa' | 'Turin'
  const kind = signingKey as 'VCEK' | 'VLEK'
  const dates = {
    notBefore: new Date(AT.getTime() - 30 * DAY),
    notAfter: new Date(AT.getTime() + 900 * DAY),
  }
  const pki = mintAmdPki(name, { ...dates, rsaBits: 2048 })
  const changes = fieldsOf(fields)
  const tcb = changes['reportedTcb']
  const vek = mintVek(pki, { kind, ...dates, ...(tcb instanceof Uint8Array && { tcb }) })
  const nextUpdate = new Date(AT.getTime() + (crl === 'expired' ? -DAY : DAY))
  const list = mintAmdCrl(pki, { thisUpdate: dates.notBefore, nextUpdate })
  const minted = {
    evidence: mintSnpReport({ product: name, key: vek.key, signingKey: kind, fields: changes }),
    endorsements: {
      ...NO_ENDORSEMENTS,
      certificates: [vek.der, pki.ask.der, pki.asvk.der, pki.ark.der],
      crls: crl === 'absent' ? [] : [list],
    },
    anchors: { ...VENDOR_ANCHORS, amd: { ...VENDOR_ANCHORS.amd, [name]: [pki.anchor] } },
    now: AT,
  }
  return { minted, vcek: vek.der }
}

/** `vtpm` is the quote's own fields, `pcrs` its values, `runtime` the paravisor's claims. */
function mintAzureSnp({ vtpm, pcrs, runtime, fields, ...hardware }: Overrides): Minted {
  const { ak, runtimeData, reportData } = paravisor(runtime)
  const changed = { reportData: Buffer.from(reportData).toString('hex'), ...(fields as object) }
  const { minted, vcek } = snpCase({ ...hardware, fields: changed })
  const hclReport = mintHclReport({ type: 'snp', hardwareReport: minted.evidence, runtimeData })
  const quote = { key: ak, ...(pcrs !== undefined && { pcrs: pcrsOf(pcrs) }), ...fieldsOf(vtpm) }
  return { ...minted, evidence: mintAzureEvidence({ type: 'snp', hclReport, vcek, quote }) }
}

function mintAzureTdx({ vtpm, pcrs, runtime, body, ...hardware }: Overrides): Minted {
  const { ak, runtimeData, reportData } = paravisor(runtime)
  const changed = { reportData: Buffer.from(reportData).toString('hex'), ...(body as object) }
  const minted = mintTdx({ ...hardware, body: changed }, 'tdx')
  const hclReport = mintHclReport({ type: 'tdx', runtimeData })
  const quote = { key: ak, ...(pcrs !== undefined && { pcrs: pcrsOf(pcrs) }), ...fieldsOf(vtpm) }
  const tdQuote = minted.evidence
  return { ...minted, evidence: mintAzureEvidence({ type: 'tdx', hclReport, tdQuote, quote }) }
}

function paravisor(runtime: Json | undefined) {
  const ak = mintTpmKey('RS256')
  const runtimeData = mintRuntimeData(ak, (runtime ?? {}) as Overrides)
  return { ak, runtimeData, reportData: mintHclReportData(runtimeData) }
}

/** By bank and number. */
function pcrsOf(given: Json): TpmPcrs {
  const banks = Object.entries(given as Readonly<Record<string, Overrides>>)
  return Object.fromEntries(
    banks.map(([bank, list]) => [
      bank,
      Object.fromEntries(Object.entries(list).map(([pcr, value]) => [pcr, bytes(value)])),
    ]),
  )
}

function mintTdx(
  { body, version = 4, root = 'pinned', evaluationDataNumber = 20, boot, ...rest }: Overrides,
  format: FormatId,
): Minted {
  refuseUnknown(rest)
  const number = (document: Readonly<Record<string, unknown>>) => ({
    ...document,
    tcbEvaluationDataNumber: evaluationDataNumber,
  })
  const pki = mintIntelPki({ now: AT, tcbInfo: number, qeIdentity: number })
  const { rtmrs, ...fields } = (body ?? {}) as Overrides
  const booted = bootOf(boot)
  const quote = mintTdxQuote(pki, {
    version: version as 4 | 5,
    body: {
      ...fieldsOf(fields),
      ...(booted && { rtmrs: mintRtmrs(booted.measured) }),
      ...(Array.isArray(rtmrs) && {
        rtmrs: (rtmrs as readonly Json[]).map(bytes) as [
          Uint8Array,
          Uint8Array,
          Uint8Array,
          Uint8Array,
        ],
      }),
    },
    ...(format === 'tdx' && { header: { userData: new Uint8Array(20) } }),
  })
  const pinned = root === 'pinned' ? [pki.anchor] : []
  return {
    evidence: booted ? encodeTdxEvidence(quote, mintEventLog(booted.said)) : quote,
    endorsements: pki.endorsements(),
    anchors: {
      ...VENDOR_ANCHORS,
      ...(format === 'tdx' ? { intel: pinned } : { simulated: pinned }),
    },
    now: AT,
  }
}

/** `platformLevel`: how many SVNs the platform is behind; `heldData`: the quote's own, or another. */
function mintSgx({
  report,
  version = 3,
  root = 'pinned',
  evaluationDataNumber = 20,
  platformLevel = 0,
  qeIsvSvn,
  heldData,
  ...rest
}: Overrides): Minted {
  refuseUnknown(rest)
  const number = (document: Readonly<Record<string, unknown>>) => ({
    ...document,
    tcbEvaluationDataNumber: evaluationDataNumber,
  })
  const pki = mintSgxPki({ now: AT, tcbInfo: number, qeIdentity: number })
  const [first = 0, ...others] = pki.platform.sgxComponents
  // The same Intel, and a platform whose certificate says less than TCB Info asks for.
  const behind = mintSgxPki({
    now: AT,
    keys: pki.keys,
    platform: { ...pki.platform, sgxComponents: [first - Number(platformLevel), ...others] },
  })
  const held = Uint8Array.of(1, 2, 3)
  const digest = Uint8Array.from(createHash('sha256').update(held).digest())
  const quote = mintSgxQuote(behind, {
    version: version as 3 | 4 | 5,
    report: {
      ...(heldData !== undefined && { reportData: zeroPad(digest, 64) }),
      ...fieldsOf(report),
    },
    ...(qeIsvSvn !== undefined && { qeReport: { isvSvn: Number(qeIsvSvn) } }),
    certification: {
      data: encodePemChain([
        behind.certificates.pck,
        pki.certificates.platformCa,
        pki.certificates.root,
      ]),
    },
  })
  const given = heldData === 'own' ? held : Uint8Array.of(4)
  const json = { QuoteHex: toHex(quote), EnclaveHeldDataHex: toHex(given) }
  return {
    evidence: heldData === undefined ? quote : utf8(JSON.stringify(json)),
    endorsements: pki.endorsements(),
    anchors: { ...VENDOR_ANCHORS, intel: root === 'pinned' ? [pki.anchor] : [] },
    now: AT,
  }
}

/**
 * A TD that measured its boot, and the log it sends: `measured` and `said` are a command line, whether
 * Secure Boot is on, and events of dstack with payloads in hex. What `said` does not say is true.
 */
function bootOf(
  value: Json | undefined,
):
  | { readonly measured: readonly MintedEvent[]; readonly said: readonly MintedEvent[] }
  | undefined {
  if (value === undefined) return undefined
  const { measured, said, ...rest } = value as Overrides
  refuseUnknown(rest)
  const mint = (given: Json | undefined): readonly MintedEvent[] => {
    const {
      secureBoot = true,
      commandLine = '/vmlinuz ro',
      dstack,
      ...more
    } = {
      ...(measured as Overrides | undefined),
      ...(given as Overrides | undefined),
    }
    refuseUnknown(more)
    const events = Object.entries((dstack ?? {}) as Overrides)
    return mintTdxBoot({
      secureBoot: secureBoot === true,
      commandLine: textOf(commandLine),
      dstack: events.map(([name, payload]) => [name, bytes(payload)]),
    })
  }
  return { measured: mint(measured), said: mint(said) }
}

function refuseUnknown(rest: Overrides): void {
  const [name] = Object.keys(rest)
  if (name !== undefined) throw new Error(`cases: no override ${name}`)
}
