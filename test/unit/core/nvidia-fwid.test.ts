/** What a leaf says of its firmware, and that it says nothing is not that all is well. */
import { describe, expect, it } from 'vitest'
import { readFirmwareId } from '../../../src/core/evidence/nvidia-spdm/fwid.ts'
import { parseCertificate } from '../../../src/core/x509/certificate.ts'
import {
  mintNvidiaDevice,
  mintNvidiaEvidence,
  type NvidiaDeviceOptions,
} from '../../../src/testing/index.ts'
import { appraiseNvidia, failures, nvidiaWorld } from '../../support/nvidia.ts'

const { pki, good } = nvidiaWorld('GB100')
const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'test' } as const
const alarms = (flags: NonNullable<NvidiaDeviceOptions['flags']>) =>
  readFirmwareId(parseCertificate(mintNvidiaDevice(pki, { flags }).leaf.der, blame))?.alarms
const appraised = async (flags: NonNullable<NvidiaDeviceOptions['flags']>) => {
  const evidence = mintNvidiaEvidence({ device: mintNvidiaDevice(pki, { flags }) })
  return failures(await appraiseNvidia({ ...good, evidence }))
}

describe('operational flags of the DICE extension', () => {
  it.each<[string, number | Uint8Array, readonly string[]]>([
    ['none', 0, []],
    ['not configured, as every device of the samples', 0x80, []],
    ['not secure', 0x40, ['notSecure']],
    ['recovery', 0x20, ['recovery']],
    ['debug', 0x10, ['debug']],
    ['all of them', 0xff, ['notSecure', 'recovery', 'debug']],
    ['none, as short as they can be', Uint8Array.of(0), []],
    ['debug, as short as it can be', Uint8Array.of(4, 0x10), ['debug']],
  ])('%s', (_, flags, raised) => {
    expect(alarms(flags)).toEqual(raised)
  })

  it('left out are no good flags', async () => {
    expect(alarms('absent')).toEqual(['unstated'])
    expect(await appraised(0)).toEqual([])
    for (const flags of ['absent', 0x10] as const) {
      expect(await appraised(flags)).toEqual(['nvgpu.policy.debug'])
    }
  })

  it.each([
    ['nothing at all', new Uint8Array()],
    ['more unused bits than a byte has', Uint8Array.of(8, 0)],
    ['unused bits of nothing', Uint8Array.of(1)],
  ])('%s is no bit string', (_, flags) => {
    expect(() => alarms(flags)).toThrow(expect.objectContaining({ code: blame.code }))
  })

  it('what cannot be read is no firmware id', async () => {
    expect(await appraised(new Uint8Array())).toEqual(['nvgpu.report.fwid'])
  })
})
