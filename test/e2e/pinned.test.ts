/**
 * Whatever is trusted only because somebody pinned it: five kinds of passports, a TPM's key, an Arm
 * machine's. A real service appraises them on a thread, by its settings; an auditor with the same pins
 * comes to the same verdicts, and one without any of them does not.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { endorsementsToJson, NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import { PASSPORT_KINDS } from '../../src/core/endorsements/passport-trust.ts'
import { reportData, statementText } from '../../src/core/sealing/statement.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import {
  mintAkCertificate,
  mintArmPlatform,
  mintBootLog,
  mintCcaToken,
  mintPassport,
  mintPassportIssuer,
  mintTpmEvidence,
  mintTpmKey,
  mintTpmPki,
} from '../../src/testing/index.ts'
import { goodClaims, PASSPORT_BOUND } from '../../src/testing/passport-claims.ts'
import { killServices, type RunningService, runCli, startServe } from '../support/serve.ts'

const AT = new Date()
const crypto = createCrypto()
const directory = mkdtempSync(join(tmpdir(), 'pinned-'))
const issuers = PASSPORT_KINDS.map((kind) => mintPassportIssuer({ kind, at: AT }))
const arm = mintArmPlatform()
const tpmKey = mintTpmKey()
const tpmPki = mintTpmPki({ at: AT })
const certifiedKey = mintTpmKey()
const tpmDigest = createHash('sha256').update(tpmKey.spki).digest('hex')
/** The realm's challenge, as the token labels it. */
const REALM_CHALLENGE = 10
const CASES = [...PASSPORT_KINDS, 'tpm', 'tpm by its certificate', 'arm-cca'] as const

let service: RunningService
let log: readonly string[]

const trust = join(directory, 'trust.json')
const pins = {
  '--passport-trust': trust,
  '--tpm-key': tpmDigest,
  '--tpm-root': tpmPki.anchor,
  '--arm-platform-key': arm.anchor,
}

/**
 * Decisions that an auditor without the pin does not come to. Of TPMs always both: a check says what is
 * pinned of keys and of roots, whichever of the two was needed.
 */
const DIFFER: Readonly<Record<keyof typeof pins, number>> = {
  '--passport-trust': PASSPORT_KINDS.length,
  '--tpm-key': 2,
  '--tpm-root': 2,
  '--arm-platform-key': 1,
}

/** The sets that the strict policies ask for, as their own cases have them. */
function writeReferenceValues(): void {
  mkdirSync(join(directory, 'sets'))
  for (const kind of PASSPORT_KINDS) {
    const file = join(import.meta.dirname, `../../policies/${kind}-strict.cases.json`)
    const [good] = JSON.parse(readFileSync(file, 'utf8')) as { reference_values?: object[] }[]
    for (const set of good?.reference_values ?? []) {
      writeFileSync(join(directory, 'sets', `${kind}.json`), JSON.stringify(set))
    }
  }
}

beforeAll(async () => {
  writeReferenceValues()
  // Half of the issuers stand in the settings, the others in the file.
  writeFileSync(trust, JSON.stringify(issuers.map(({ config }) => config)))
  writeFileSync(
    join(directory, 'more.json'),
    JSON.stringify(issuers.slice(2).map(({ config }) => config)),
  )
  const config = {
    dataDirectory: 'data',
    listen: { port: 0 },
    verifier: {
      threads: 1,
      referenceValues: 'sets',
      passports: issuers.slice(0, 2).map((issuer) => issuer.config),
      passportTrust: 'more.json',
      tpmKeys: [tpmDigest],
      tpmRoots: [tpmPki.anchor],
      armPlatformKeys: [arm.anchor],
    },
  }
  const file = join(directory, 'vouchsafe.json')
  writeFileSync(file, JSON.stringify(config))
  service = await startServe(['--config', file])
  const key = /log key +(\S+)/.exec(service.output().stdout)?.[1] ?? ''
  log = [`${service.url}/log`, '--key', key, '--json']
}, 60_000)
afterAll(async () => {
  await killServices()
  rmSync(directory, { recursive: true })
})

/** Good evidence of the case for a challenge and a statement. */
function evidenceOf(name: string, nonce: string, data: Uint8Array<ArrayBuffer>): Uint8Array {
  const digest = data.slice(0, 32)
  if (name.startsWith('tpm')) {
    const { log: eventLog, pcrs } = mintBootLog()
    const said = { eventLog, pcrs, extraData: digest }
    if (name === 'tpm') return mintTpmEvidence({ ...said, key: tpmKey })
    const leaf = mintAkCertificate(tpmPki, { spki: certifiedKey.spki })
    const certificates = [leaf, tpmPki.issuing.der, tpmPki.root.der]
    return mintTpmEvidence({ ...said, key: certifiedKey, certificates })
  }
  if (name === 'arm-cca') {
    return mintCcaToken({ platform: arm, realmClaims: { [REALM_CHALLENGE]: data } })
  }
  const issuer = issuers.find(({ kind }) => kind === name)
  if (issuer === undefined) throw new Error(`no issuer of ${name}`)
  const text = (encoding: 'hex' | 'base64') => Buffer.from(data).toString(encoding)
  if (issuer.kind === 'nvidia-nras') {
    // A GPU binds a nonce and nothing else: the digest of the statement, in which the challenge stands.
    const eat_nonce = Buffer.from(digest).toString('hex')
    return mintPassport({
      issuer,
      at: AT,
      claims: { eat_nonce },
      devices: { 'GPU-0': { eat_nonce } },
    })
  }
  const bound = JSON.stringify(goodClaims(issuer.kind, AT))
    .replaceAll(PASSPORT_BOUND.nonce, nonce)
    .replaceAll(PASSPORT_BOUND.reportData, text('hex'))
    .replaceAll(Buffer.from(PASSPORT_BOUND.reportData, 'hex').toString('base64'), text('base64'))
  return mintPassport({
    issuer,
    at: AT,
    claims: JSON.parse(bound) as Readonly<Record<string, Json>>,
  })
}

async function appraised(name: string): Promise<unknown> {
  const challenge = await fetch(`${service.url}/v1/challenges`, { method: 'POST' })
  const { nonce } = (await challenge.json()) as { nonce: string }
  const statement = statementText({ keysetDigest: `sha256:${'ab'.repeat(32)}`, nonce })
  const evidence = evidenceOf(name, nonce, await reportData(statement, crypto))
  const [format = ''] = name.split(' ')
  const endorsements = endorsementsToJson({ ...NO_ENDORSEMENTS, platformKeys: [arm.endorsement] })
  const isPassport = PASSPORT_KINDS.some((kind) => kind === format)
  const res = await fetch(`${service.url}/v1/appraisals`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      nonce,
      statement,
      policy: isPassport ? `${format}-strict` : `authentic-${format}`,
      evidence: [{ format, evidence: toBase64url(evidence) }],
      ...(format === 'arm-cca' && { endorsements }),
    }),
  })
  return res.json()
}

async function replay(flags: readonly string[]) {
  const { code, stdout } = await runCli(['audit', 'replay', ...log, ...flags])
  const { counts } = JSON.parse(stdout) as { counts: Readonly<Record<string, number>> }
  return { code, counts }
}

describe('a service that pins', () => {
  it.each(CASES)('%s is affirmed', async (name) => {
    expect(await appraised(name)).toMatchObject({ tier: 'affirming' })
  })

  it('is replayed by the same pins, and differs without any one of them', async () => {
    const all = Object.entries(pins)
    expect(await replay(all.flat())).toMatchObject({
      code: 0,
      counts: { same: CASES.length, differs: 0, unreplayable: 0 },
    })
    for (const [left] of all) {
      const rest = all.filter(([flag]) => flag !== left).flat()
      const { code, counts } = await replay(rest)
      expect(code, left).toBe(10)
      const differs = DIFFER[left as keyof typeof pins]
      const same = CASES.length - differs
      expect(counts, left).toMatchObject({ same, differs, unreplayable: 0 })
    }
  }, 120_000)

  it('pins everything of which nothing is pinned by default', () => {
    const isEmpty = (anchor: unknown): boolean => Array.isArray(anchor) && anchor.length === 0
    const unpinned = Object.entries(VENDOR_ANCHORS).filter(([, anchor]) => isEmpty(anchor))
    // The simulated root is development's: test/e2e/audit.test.ts.
    const named = ['arm', 'passports', 'simulated', 'tpm', 'tpmKeys']
    expect(unpinned.map(([name]) => name).sort()).toEqual(named)
    expect(Object.keys(pins)).toHaveLength(named.length - 1)
  })
})
