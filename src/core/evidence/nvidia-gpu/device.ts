import type { DeviceFormat } from '../nvidia-spdm/authenticate.ts'

/** A GPU is measured against the manifests of its driver and of its VBIOS. */
export const FORMAT: DeviceFormat = { prefix: 'nvgpu', rims: ['driver', 'vbios'] }
