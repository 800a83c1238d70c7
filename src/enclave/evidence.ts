/**
 * Evidence that this enclave holds its keyset, over a nonce that somebody else chose.
 *
 * @packageDocumentation
 */
import { nameDevices } from '../core/appraisal/parts.ts'
import { fromHex } from '../core/bytes/hex.ts'
import {
  type EndorsementSet,
  joinEndorsements,
  NO_ENDORSEMENTS,
} from '../core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Attestation, Attester, DeviceAttester } from '../core/ports/attester.ts'
import type { Hasher } from '../core/ports/crypto.ts'
import {
  deviceNonce,
  devicesDigest,
  MAX_DEVICES,
  reportData,
  statementText,
} from '../core/sealing/statement.ts'
import { createGate } from '../server/limits.ts'

/** Evidence, and the text that it vouches for. */
interface Testimony {
  readonly statement: string
  /** The CPU's first, then that of the devices that the statement names, in its order. */
  readonly attestations: readonly [Attestation, ...Attestation[]]
}

/** @param nonce - 64 lower-case hex digits. */
export type Testify = (keysetDigest: string, nonce: string) => Promise<Testimony>

/** What of this machine can be asked. */
export interface Attesters {
  readonly cpu: Attester
  readonly devices: readonly DeviceAttester[]
}

/**
 * Asks the hardware each time: the devices first, so that the CPU's statement can name what they
 * answered.
 *
 * @returns A {@link Testify} that throws {@link VouchsafeError} `ERR_DEPENDENCY_MISSING` if there are
 *   more devices than a statement may name, and what the attesters throw.
 */
export function createTestify({ cpu, devices }: Attesters, hasher: Hasher): Testify {
  return async (keysetDigest, nonce) => {
    const challenge = fromHex(nonce, { code: 'ERR_STATEMENT_MALFORMED', at: 'statement.nonce' })
    const derived = await deviceNonce(challenge, hasher)
    const answers = await Promise.all(devices.map(async (device) => device.attest(derived)))
    const companions = answers.flat()
    if (companions.length > MAX_DEVICES) {
      const blame = { code: 'ERR_DEPENDENCY_MISSING', at: 'enclave.devices' } as const
      throw new VouchsafeError(blame, `${companions.length} devices, at most ${MAX_DEVICES}`)
    }
    const named = await nameDevices(companions, hasher)
    const statement = statementText({
      keysetDigest,
      nonce,
      // Without devices the form that ACI's own verifiers know.
      ...(named.length > 0 && { devices: await devicesDigest(named, hasher) }),
    })
    const own = await cpu.attest(await reportData(statement, hasher))
    return { statement, attestations: [own, ...companions] }
  }
}

/** What the platform handed over with the evidence, of all parts. */
export function endorsementsOf(attestations: readonly Attestation[]): EndorsementSet {
  return attestations.reduce(
    (all, { endorsements }) => joinEndorsements(all, endorsements),
    NO_ENDORSEMENTS,
  )
}

/**
 * Bounds what strangers can make the hardware do: at most `concurrency` questions at once, `waiting`
 * more in line, and the same question asked twice at once is answered once.
 *
 * @returns A {@link Testify} that also throws {@link VouchsafeError} `ERR_OVERLOADED`.
 */
export function boundTestify(
  testify: Testify,
  { concurrency, waiting }: { readonly concurrency: number; readonly waiting: number },
): Testify {
  const gate = createGate(concurrency, waiting)
  const asked = new Map<string, Promise<Testimony>>()
  return async (keysetDigest, nonce) => {
    const question = `${keysetDigest} ${nonce}`
    const same = asked.get(question)
    if (same !== undefined) return same
    const answer = gate(async () => testify(keysetDigest, nonce)).finally(() =>
      asked.delete(question),
    )
    asked.set(question, answer)
    return answer
  }
}
