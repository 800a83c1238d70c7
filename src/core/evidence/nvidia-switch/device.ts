import type { DeviceFormat } from '../nvidia-spdm/authenticate.ts'

/** A switch runs no driver: it is measured against the manifest of its BIOS alone. */
export const FORMAT: DeviceFormat = { prefix: 'nvswitch', rims: ['bios'] }
