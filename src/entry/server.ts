/** `vouchsafe/server`: verifier, key broker, log and gateway as one service. @packageDocumentation */
export { developmentConfig, loadConfig, parseConfig, type ServiceSettings } from '../main/config.ts'
export { checkService, type Service, type ServiceOutput, startService } from '../main.ts'
