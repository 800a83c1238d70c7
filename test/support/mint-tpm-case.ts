/** Cases of TPMs, and of what stands behind an Azure vTPM. */
import { createHash } from 'node:crypto'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { MintedKey } from '../../src/drivers/attester/simulated/minting/x509.ts'
import {
  type BootLogOptions,
  mintAkCertificate,
  mintAzureEvidence,
  mintBootLog,
  mintHclReport,
  mintHclReportData,
  mintPublicArea,
  mintRuntimeData,
  mintTpmCrls,
  mintTpmEvidence,
  mintTpmKey,
  mintTpmPki,
  type TpmPcrs,
} from '../../src/testing/index.ts'
import { mintTdx } from './mint-intel-case.ts'
import {
  AT,
  bytes,
  DAY,
  fieldsOf,
  type Minted,
  type Overrides,
  refuseUnknown,
} from './mint-overrides.ts'
import { snpCase } from './mint-snp-case.ts'

/**
 * PCRs by bank and number, or as the log leaves them; without a certificate, the key is pinned or
 * nothing vouches for it. `log: null` leaves the log out, and whatever else it is goes into it.
 */
export function mintTpm({
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

/** `log` is what went into the vTPM's event log, and its PCRs are those; without it, none comes.
 * `vtpm` is the quote's own fields, `pcrs` its values, `runtime` the paravisor's claims. */
export function mintAzureSnp({ vtpm, pcrs, log, runtime, fields, ...hardware }: Overrides): Minted {
  const { ak, runtimeData, reportData } = paravisor(runtime)
  const changed = { reportData: Buffer.from(reportData).toString('hex'), ...(fields as object) }
  const { minted, vcek } = snpCase({ ...hardware, fields: changed })
  const hclReport = mintHclReport({ type: 'snp', hardwareReport: minted.evidence, runtimeData })
  const { quote, eventLog } = vtpmOf(ak, { vtpm, pcrs, log })
  return {
    ...minted,
    evidence: mintAzureEvidence({ type: 'snp', hclReport, vcek, quote, ...eventLog }),
  }
}

export function mintAzureTdx({ vtpm, pcrs, log, runtime, body, ...hardware }: Overrides): Minted {
  const { ak, runtimeData, reportData } = paravisor(runtime)
  const changed = { reportData: Buffer.from(reportData).toString('hex'), ...(body as object) }
  const minted = mintTdx({ ...hardware, body: changed }, 'tdx')
  const hclReport = mintHclReport({ type: 'tdx', runtimeData })
  const { quote, eventLog } = vtpmOf(ak, { vtpm, pcrs, log })
  const tdQuote = minted.evidence
  return {
    ...minted,
    evidence: mintAzureEvidence({ type: 'tdx', hclReport, tdQuote, quote, ...eventLog }),
  }
}

function vtpmOf(ak: MintedKey, { vtpm, pcrs, log }: Overrides) {
  const boot = log === undefined ? undefined : mintBootLog(log as BootLogOptions)
  const quote = {
    key: ak,
    ...(boot !== undefined && { pcrs: boot.pcrs }),
    ...(pcrs !== undefined && { pcrs: pcrsOf(pcrs) }),
    ...fieldsOf(vtpm),
  }
  return { quote, eventLog: boot === undefined ? {} : { eventLog: boot.log } }
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
