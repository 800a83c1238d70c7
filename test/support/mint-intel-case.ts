/** Cases of TDX and SGX. */
import { createHash } from 'node:crypto'
import { utf8, zeroPad } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import type { FormatId } from '../../src/core/evidence/common/format-ids.ts'
import { encodeTdxEvidence } from '../../src/core/evidence/tdx/evidence.ts'
import {
  encodePemChain,
  type MintedEvent,
  mintEventLog,
  mintIntelPki,
  mintRtmrs,
  mintSgxPki,
  mintSgxQuote,
  mintTdxBoot,
  mintTdxQuote,
} from '../../src/testing/index.ts'

import {
  AT,
  bytes,
  fieldsOf,
  type Minted,
  type Overrides,
  refuseUnknown,
  textOf,
} from './mint-overrides.ts'

export function mintTdx(
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
export function mintSgx({
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
