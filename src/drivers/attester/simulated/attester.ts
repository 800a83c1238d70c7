/** An Attester without hardware. @packageDocumentation */
import { createHash } from 'node:crypto'
import { fromHex } from '../../../core/bytes/hex.ts'
import { VouchsafeError } from '../../../core/errors.ts'
import type { TdReport } from '../../../core/evidence/tdx/report.ts'
import type { Attester } from '../../../core/ports/attester.ts'
import type { Clock } from '../../../core/ports/crypto.ts'
import { endorseHierarchy, type IntelPki } from './pki.ts'
import { mintQeCertification, mintTdxQuote } from './quote.ts'
import { rawPoint } from './x509.ts'

/** Registers of the simulated TD, lower-case hex of 48 bytes each. */
type SimulatedMeasurements = Readonly<
  Partial<
    Record<
      'mrtd' | 'rtmr0' | 'rtmr1' | 'rtmr2' | 'rtmr3' | 'mrconfigid' | 'mrowner' | 'mrownerconfig',
      string
    >
  >
>

export interface SimulatedAttesterOptions {
  readonly measurements?: SimulatedMeasurements
  /** Sets TDATTRIBUTES.DEBUG, to show that it is refused. */
  readonly debug?: boolean
  /** With it, endorsements are minted again when half of their time is over. */
  readonly clock?: Clock
}

const REPORT_DATA_SIZE = 64
const RENEW_AFTER = 15 * 24 * 60 * 60 * 1000
const ATTRIBUTES = {
  plain: [0, 0, 0, 0x10, 0, 0, 0, 0],
  debug: [1, 0, 0, 0x10, 0, 0, 0, 0],
} as const

/**
 * An attester that answers with quotes of a simulated TEE, each with all endorsements it needs. One
 * quote costs one P-256 signature. `attest` rejects with a TypeError for report data that is not 64
 * bytes.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` if a measurement is not 48 bytes in hex.
 */
export function createSimulatedAttester(
  pki: IntelPki,
  options: SimulatedAttesterOptions = {},
): Attester {
  const body = bodyOf(options)
  const attestationKey = rawPoint(pki.keys.attestation)
  const qeCertification = mintQeCertification(pki, { attestationKey })
  const endorsements = renewing(pki, options.clock)
  return {
    attest: async (reportData) => {
      if (reportData.length !== REPORT_DATA_SIZE) {
        throw new TypeError(`report data of ${reportData.length} bytes, want ${REPORT_DATA_SIZE}`)
      }
      const evidence = mintTdxQuote(pki, {
        body: { ...body, reportData },
        attestationKey,
        qeCertification,
      })
      return { format: 'simulated', evidence, endorsements: endorsements() }
    },
  }
}

function renewing(pki: IntelPki, clock: Clock | undefined): IntelPki['endorsements'] {
  if (clock === undefined) return pki.endorsements
  let current = pki
  let mintedAt = clock().getTime()
  return () => {
    const now = clock()
    if (Math.abs(now.getTime() - mintedAt) > RENEW_AFTER) {
      current = endorseHierarchy(pki, { now })
      mintedAt = now.getTime()
    }
    return current.endorsements()
  }
}

function bodyOf({ measurements = {}, debug = false }: SimulatedAttesterOptions): Partial<TdReport> {
  const register = (name: keyof SimulatedMeasurements): Uint8Array =>
    readRegister(name, measurements[name])
  return {
    tdAttributes: Uint8Array.from(debug ? ATTRIBUTES.debug : ATTRIBUTES.plain),
    mrTd: register('mrtd'),
    rtmrs: [register('rtmr0'), register('rtmr1'), register('rtmr2'), register('rtmr3')],
    mrConfigId: register('mrconfigid'),
    mrOwner: register('mrowner'),
    mrOwnerConfig: register('mrownerconfig'),
  }
}

/** Code is measured, so its registers are never zero; what the host sets is zero until it is set. */
function readRegister(name: keyof SimulatedMeasurements, value: string | undefined): Uint8Array {
  if (value === undefined) {
    const measured = name === 'mrtd' || name.startsWith('rtmr')
    return measured ? defaultMeasurement(name) : new Uint8Array(48)
  }
  const blame = { code: 'ERR_CONFIG_INVALID', at: `simulated.measurements.${name}` } as const
  const bytes = fromHex(value, blame)
  if (bytes.length !== 48) throw new VouchsafeError(blame, `${bytes.length} bytes, want 48`)
  return bytes
}

function defaultMeasurement(name: string): Uint8Array {
  return Uint8Array.from(createHash('sha384').update(`vouchsafe simulated ${name}`).digest())
}
