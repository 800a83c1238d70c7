/**
 * Every TPM and Azure vTPM sample of the shared folder, at the verdict of its manifest. What the
 * manifest calls facts was computed independently.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { appraise } from '../../src/core/appraisal/appraise.ts'
import type { Binding } from '../../src/core/appraisal/binding.ts'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { decodeCbor } from '../../src/core/encoding/cbor.ts'
import { decodePem } from '../../src/core/encoding/pem.ts'
import {
  KNOWN_TPM_ROOTS,
  type TrustAnchors,
  VENDOR_ANCHORS,
} from '../../src/core/endorsements/anchors.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
} from '../../src/core/endorsements/endorsement-set.ts'
import { withShipped } from '../../src/core/endorsements/shipped.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { parseCertifyAttest, parseQuoteAttest } from '../../src/core/evidence/tpm/attest.ts'
import { nameOf, parsePublicArea } from '../../src/core/evidence/tpm/public-area.ts'
import { parseSignature } from '../../src/core/evidence/tpm/signature.ts'
import { parseCertificate } from '../../src/core/x509/certificate.ts'
import { checkPath } from '../../src/core/x509/chain.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { readEndorsements } from '../../src/drivers/endorsements/directory.ts'
import { shippedPolicy } from '../support/appraisal.ts'
import { sharedDir } from '../support/shared.ts'
import { failures } from '../support/tpm.ts'

const dir = sharedDir()
const read = (file: string) => new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
const INSIDE = new Date('2026-09-01T00:00:00Z')
const CRYPTO = createCrypto()
const tools = { crypto: CRYPTO, memo: createMemo(100) }
const unchecked = { unchecked: 'an archive' }
const ARCHIVE: Binding = { nonce: unchecked, reportData: unchecked }

interface Sample {
  readonly file: string
  readonly role: string
  readonly expected_verdict?: string
  readonly facts?: Readonly<Record<string, unknown>>
}

function load(folder: RegExp): readonly Sample[] {
  if (dir === undefined) return []
  const { files } = JSON.parse(readFileSync(join(dir, 'evidence/MANIFEST.json'), 'utf8')) as {
    files: readonly Sample[]
  }
  return files.filter(({ file }) => folder.test(file))
}

type Id = 'azure-snp-vtpm' | 'azure-tdx-vtpm' | 'tpm'

let collateral: EndorsementSet | undefined

beforeAll(async () => {
  if (dir === undefined) return
  const found = await readEndorsements(['tdx', 'sgx'].map((name) => join(dir, 'evidence', name)))
  collateral = found.endorsements
})

function endorsementsOf(format: Id): EndorsementSet {
  const captured = format === 'azure-tdx-vtpm' ? collateral : undefined
  return withShipped(format, captured ?? NO_ENDORSEMENTS)
}

interface Case {
  readonly file: string
  readonly binding?: Binding
  readonly now?: Date
  readonly anchors?: TrustAnchors
  readonly bytes?: Uint8Array
}

async function appraised({ file, binding = ARCHIVE, now = INSIDE, ...rest }: Case) {
  const { format, evidence } = openEvidence(rest.bytes ?? read(file))
  const id = format.id as Id
  const result: AttestationResult = await appraise(
    {
      format: id,
      evidence,
      endorsements: endorsementsOf(id),
      referenceValues: [],
      policy: parsePolicy(shippedPolicy(`authentic-${id}`)),
      binding,
      anchors: rest.anchors ?? VENDOR_ANCHORS,
      now,
    },
    tools,
  )
  return result
}

describe.runIf(dir !== undefined)('TPM samples', () => {
  const file = 'tpm/trustee-tpm_evidence.json'
  const ak = () => {
    const { ak_public: text } = JSON.parse(new TextDecoder().decode(read(file))) as {
      ak_public: string
    }
    return createHash('sha256').update(Buffer.from(text, 'base64')).digest('hex')
  }
  const pinned = (): TrustAnchors => ({ ...VENDOR_ANCHORS, tpmKeys: [ak()] })

  it('are as many as there were', () => {
    expect(load(/^tpm\//)).toHaveLength(9)
  })

  it('signature, PCR digest and pin hold; nothing was ever measured, which the policy refuses', async () => {
    const result = await appraised({ file, anchors: pinned() })
    expect(failures(result)).toEqual(['tpm.policy.debug', 'tpm.pcrs.measured'])
    expect(result.claims).toMatchObject({ ak: { trust: 'pin', wrongAttributes: null } })
    expect(failures(await appraised({ file }))).toContain('tpm.ak.anchor')
  })

  it('has no date: a pinned key is believed as long as it is pinned', async () => {
    const now = new Date('2045-01-01T00:00:00Z')
    expect(failures(await appraised({ file, anchors: pinned(), now }))).toEqual([
      ...['tpm.policy.debug', 'tpm.pcrs.measured'],
    ])
  })

  it("Parsec's collection is a TPM2_Certify and a quote, and refused for what it lacks", async () => {
    const bytes = read('tpm/parsec-tpm-evidence.cbor')
    await expect(appraised({ file: 'tpm/parsec-tpm-evidence.cbor' })).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_UNSUPPORTED',
      at: 'tpm.parsec',
    })
    const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'test' } as const
    const tokens = decodeCbor(bytes, [], blame) as ReadonlyMap<
      string,
      ReadonlyMap<string, Uint8Array>
    >
    const [kat, pat] = [tokens.get('kat'), tokens.get('pat')]
    const none = new Uint8Array(0)
    const certify = parseCertifyAttest(kat?.get('certInfo') ?? none, 'certify')
    const signed = parsePublicArea(kat?.get('pubArea') ?? none, 'public')
    expect(await nameOf(signed, CRYPTO)).toEqual(certify.name)
    expect(parseQuoteAttest(pat?.get('attestInfo') ?? none, 'quote').selection).toEqual([
      { bank: 'sha256', pcrs: [0, 1, 2] },
    ])
    expect(parseSignature(pat?.get('sig') ?? none, 'sig').scheme).toBe('ECDSA')
  })

  it('published roots are those that are named, and their intermediates are theirs', async () => {
    const parse = (name: string) => {
      const bytes = read(`tpm/${name}`)
      const text = new TextDecoder().decode(bytes)
      const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: name } as const
      const der = bytes[0] === 0x30 ? bytes : decodePem(text, 'CERTIFICATE', blame)[0]
      return parseCertificate(der ?? bytes, blame)
    }
    const digest = (name: string) => createHash('sha256').update(parse(name).der).digest('hex')
    expect(digest('gcp_ek_ak_ca_root.crt')).toBe(KNOWN_TPM_ROOTS['gcp-ek-ak-ca-root'])
    expect(digest('azure-virtual-tpm-root-2023.pem')).toBe(
      KNOWN_TPM_ROOTS['azure-virtual-tpm-root-2023'],
    )
    for (const [intermediate, root] of [
      ['gcp_ek_ak_ca_intermediate_v3.crt', 'gcp_ek_ak_ca_root.crt'],
      ['tpm_ek_intermediate_2.crt', 'tpm_ek_root_1.cer'],
      ['tpm_ek_intermediate_3.crt', 'tpm_ek_root_1.cer'],
    ] as const) {
      expect(await checkPath([parse(intermediate), parse(root)], CRYPTO)).toBeUndefined()
      expect(
        await checkPath([parse(intermediate), parse('azure-virtual-tpm-root-2023.pem')], CRYPTO),
      ).toBeDefined()
    }
    expect(parse('microsoft-rsa-devices-root-ca-2021.pem').isCa).toBe(true)
  })
})
