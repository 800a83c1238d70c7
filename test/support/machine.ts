/** A machine with a minted TDX CPU and minted NVIDIA GPUs, and what its owner can make of them. */
import { appraise } from '../../src/core/appraisal/appraise.ts'
import type { Binding } from '../../src/core/appraisal/binding.ts'
import { nameSubmodules, type Submodules } from '../../src/core/appraisal/composite.ts'
import { arrangeParts, bindParts, nameDevices, type Part } from '../../src/core/appraisal/parts.ts'
import { type Policy, parsePolicy } from '../../src/core/appraisal/policy.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { concat } from '../../src/core/bytes/bytes.ts'
import { fromHex, toHex } from '../../src/core/bytes/hex.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import {
  type EndorsementSet,
  joinEndorsements,
  NO_ENDORSEMENTS,
} from '../../src/core/endorsements/endorsement-set.ts'
import type { FormatId } from '../../src/core/evidence/common/format-ids.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import type { Attester, DeviceAttester } from '../../src/core/ports/attester.ts'
import {
  type DeviceEvidence,
  deviceNonce,
  devicesDigest,
  reportData,
  statementText,
} from '../../src/core/sealing/statement.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import {
  createSimulatedAttester,
  endorseNvidia,
  mintIntelPki,
  mintNvidiaDevice,
  mintNvidiaEvidence,
  mintNvidiaPki,
  NVIDIA_PDIS,
  type NvidiaDevice,
  type NvidiaReportOptions,
} from '../../src/testing/index.ts'
import { shippedPolicy } from './appraisal.ts'

export const MACHINE_AT = new Date('2026-09-01T12:00:00Z')
export const CHALLENGE = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
export const MACHINE_KEYSET = `sha256:${'ab'.repeat(32)}`

const crypto = createCrypto()
const BLAME = { code: 'ERR_REQUEST_INVALID', at: 'test' } as const

/** Records of a GPU in protected PCIe: that it is, twice, and the switches at its links. */
export const PROTECTED = {
  21: Uint8Array.of(0xaa),
  22: concat(...NVIDIA_PDIS.switches.map(pdi)),
  36: Uint8Array.of(2, 0),
} as const

/** A statement and the evidence that was shown with it. */
export interface Shown {
  readonly statement: string
  readonly parts: readonly Part[]
}

/** One challenge and one keyset, unless a test wants others. */
export interface Asked {
  readonly nonce?: Uint8Array
  readonly keysetDigest?: string
  /** What the statement names; what is shown, by default. */
  readonly devices?: readonly DeviceEvidence[]
}

export interface TestMachine {
  readonly gpus: readonly NvidiaDevice[]
  readonly anchors: TrustAnchors
  readonly endorsements: EndorsementSet
  /** A GPU's answer to this nonce: the derived one, if it is honest. */
  gpu(index: number, nonce: Uint8Array, change?: Partial<NvidiaReportOptions>): Part
  /** The same of a switch. */
  nvswitch(index: number, nonce: Uint8Array, change?: Partial<NvidiaReportOptions>): Part
  cpu(statement: string): Promise<Part>
  /** The CPU's evidence over a statement that names these devices, and they beside it. */
  show(devices: readonly Part[], asked?: Asked): Promise<Shown>
  /** All GPUs and switches, as an honest machine does it. */
  honest(asked?: Asked): Promise<Shown>
  appraise(shown: Shown, nonce?: Uint8Array): Promise<Submodules>
  /** One part, bound as the test likes. */
  appraiseOne(part: Part, binding: Binding): Promise<AttestationResult>
  /** All GPUs and switches as the enclave sees them. */
  readonly attester: DeviceAttester
  /** The CPU as the enclave sees it. */
  readonly cpuAttester: Attester
}

/**
 * With switches it is in protected PCIe: each GPU names them all, and they name eight GPUs.
 *
 * @param gpus - How many.
 */
export function mintMachine(gpus = 2, switches = 0): TestMachine {
  const intel = mintIntelPki({ now: MACHINE_AT })
  const nvidia = mintNvidiaPki({ at: MACHINE_AT })
  const devices = Array.from({ length: gpus }, (_, i) =>
    mintNvidiaDevice(nvidia, { leaf: { serial: 1000 + i } }),
  )
  const switchPki = mintNvidiaPki({ at: MACHINE_AT, model: 'LS10' })
  const nvswitches = Array.from({ length: switches }, (_, i) =>
    mintNvidiaDevice(switchPki, { leaf: { serial: 2000 + i } }),
  )
  const both = {
    device: [...nvidia.anchors.device, ...switchPki.anchors.device],
    rim: [...nvidia.anchors.rim, ...switchPki.anchors.rim],
  }
  const anchors = { ...VENDOR_ANCHORS, intel: [intel.anchor], nvidia: both }
  const endorsements = [
    ...devices.map((device) => endorseNvidia(nvidia, device)),
    ...nvswitches.map((device) => endorseNvidia(switchPki, device)),
  ].reduce(joinEndorsements, intel.endorsements())
  const simulated = createSimulatedAttester(intel)

  const gpu: TestMachine['gpu'] = (index, nonce, change = {}) => {
    const device = devices[index]
    if (device === undefined) throw new Error(`no GPU ${index}`)
    const records = { ...(switches > 0 && PROTECTED), ...change.records }
    const options = { device, nonce, ...change, records }
    return { format: 'nvidia-gpu', evidence: mintNvidiaEvidence(options) }
  }
  const nvswitch: TestMachine['nvswitch'] = (index, nonce, change = {}) => {
    const device = nvswitches[index]
    if (device === undefined) throw new Error(`no switch ${index}`)
    const records = { 22: pdi(NVIDIA_PDIS.switches[index] ?? ''), ...change.records }
    const options = { device, nonce, ...change, records }
    return { format: 'nvidia-switch', evidence: mintNvidiaEvidence(options) }
  }
  const cpu: TestMachine['cpu'] = async (statement) => {
    const { evidence } = await simulated.attest(await reportData(statement, crypto))
    return { format: 'tdx', evidence }
  }
  const show: TestMachine['show'] = async (parts, asked = {}) => {
    const { nonce = CHALLENGE, keysetDigest = MACHINE_KEYSET } = asked
    const named = asked.devices ?? (await nameDevices(parts, crypto))
    const statement = statementText({
      keysetDigest,
      nonce: toHex(nonce),
      devices: await devicesDigest(named, crypto),
    })
    return { statement, parts: [await cpu(statement), ...parts] }
  }
  const memo = createMemo(1000)
  const appraiseOne: TestMachine['appraiseOne'] = async ({ format, evidence }, binding) => {
    const policy = authentic(format)
    const input = { format, evidence, endorsements, referenceValues: [], policy, binding }
    return appraise({ ...input, anchors, now: MACHINE_AT }, { crypto, memo })
  }
  const all = (derived: Uint8Array): readonly Part[] => [
    ...devices.map((_, i) => gpu(i, derived)),
    ...nvswitches.map((_, i) => nvswitch(i, derived)),
  ]
  const answers = async (nonce: Uint8Array) => {
    const derived = await deviceNonce(nonce, crypto)
    return all(derived)
  }
  return {
    gpus: devices,
    anchors,
    endorsements,
    gpu,
    nvswitch,
    cpu,
    show,
    honest: async (asked = {}) => show(await answers(asked.nonce ?? CHALLENGE), asked),
    appraise: async ({ parts, statement }, nonce = CHALLENGE) => {
      const question = { nonce: { require: nonce }, statement }
      const bound = await bindParts(arrangeParts(parts, BLAME), question, crypto)
      const results: AttestationResult[] = []
      for (const { part, binding } of bound) results.push(await appraiseOne(part, binding))
      return nameSubmodules(results)
    },
    appraiseOne,
    attester: {
      attest: async (nonce) =>
        all(nonce).map((part, i) => ({
          ...part,
          endorsements: i === 0 ? endorsements : NO_ENDORSEMENTS,
        })),
    },
    cpuAttester: {
      attest: async (data) => ({ ...(await simulated.attest(data)), format: 'tdx' }),
    },
  }
}

function pdi(hex: string): Uint8Array {
  return fromHex(hex, BLAME)
}

/** Genuine and up to date, whatever runs in it. */
export function authentic(format: FormatId): Policy {
  return parsePolicy(shippedPolicy(`authentic-${format}`))
}

/** What a GPU of the machine answers to a challenge if it is honest. */
export async function derivedNonce(nonce: Uint8Array = CHALLENGE): Promise<Uint8Array> {
  return deviceNonce(nonce, crypto)
}

/** Ids of the checks that failed, of each submodule. */
export function failedOf(submodules: Submodules): Readonly<Record<string, readonly string[]>> {
  const entries = Object.entries(submodules).map(([name, { checks }]) => [
    name,
    checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id),
  ])
  return Object.fromEntries(entries) as Record<string, readonly string[]>
}
