/** `vouchsafe/enclave`: the runtime inside the TEE. @packageDocumentation */
export type { EnclaveSettings } from '../enclave/config.ts'
export { type Enclave, readEnclaveSettings, startEnclave } from '../main/enclave.ts'
