/** `vouchsafe/server`: verifier, key broker, log and gateway as one service. @packageDocumentation */

export { checkService } from '../main/check.ts'
export { developmentConfig, loadConfig, parseConfig, type ServiceSettings } from '../main/config.ts'
export { type Service, type ServiceOutput, startService } from '../main.ts'
