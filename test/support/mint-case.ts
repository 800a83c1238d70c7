import type { Json } from '../../src/core/encoding/canonical-json.ts'
import type { CborValue } from '../../src/core/encoding/cbor.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { PassportKind } from '../../src/core/endorsements/passport-trust.ts'
import type { FormatId } from '../../src/core/evidence/common/format-ids.ts'
import {
  type CcaGeneration,
  type CcaMembers,
  endorseNvidia,
  mintArmPlatform,
  mintAwsPki,
  mintCcaToken,
  mintCsvEvidence,
  mintHygonPki,
  mintNitroDocument,
  mintNvidiaDevice,
  mintNvidiaEvidence,
  mintNvidiaPki,
  mintOcspAnswers,
  mintPassport,
  mintPassportIssuer,
  mintRim,
  type NvidiaModel,
  type OcspOptions,
  type PassportIssuer,
} from '../../src/testing/index.ts'
import { mintSgx, mintTdx } from './mint-intel-case.ts'
import {
  AT,
  bytes,
  DAY,
  fieldsOf,
  type Minted,
  type Overrides,
  refuseUnknown,
  textOf,
} from './mint-overrides.ts'
import { mintSnp } from './mint-snp-case.ts'
import { mintAzureSnp, mintAzureTdx, mintTpm } from './mint-tpm-case.ts'

export type { Minted } from './mint-overrides.ts'

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
